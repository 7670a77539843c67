"""The corpus builder on real files made here: splits, layouts, resumption, refusals."""

import io
import json
import os
import random
import shutil
import subprocess
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import yaml

from conftest import sound, write_corpus
from underscore_training.corpus import debian, fluidsynth, layouts, multitracks, scores, stems, store, timidity, voices
from underscore_training.corpus.__main__ import main
from underscore_training.corpus.build import build
from underscore_training.corpus.debian import Source
from underscore_training.corpus.decode import Undecodable, decode
from underscore_training.corpus.errors import CorpusError
from underscore_training.corpus.scores import composed_song
from underscore_training.corpus.track import KINDS, SPLITS, TRACK_RATE_HZ, Track, drawn_split
from underscore_training.evaluate.songs import OF_ARRANGEMENT

SPEECH = Source("voices", "sounds", "*/*", "speech", 1, "test")
NUM_PIECES = 4
MUSIC = Source("tunes", "music", "*.wav", "music", 0, "test")


def write_noise(path: Path, length_s: float = 3.5, rate_hz: int = 16_000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, 0.1 * rng.standard_normal((int(length_s * rate_hz), channels)), rate_hz)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    for speaker in ("a", "b", "b@x"):
        for word in ("hi", "ho"):
            write_noise(folder / "voices" / "sounds" / speaker / f"{word}.wav")
    for idx in range(NUM_PIECES):
        for suffix in ("", "_fast", "-intro"):
            write_noise(folder / "tunes" / "music" / f"piece{idx}{suffix}.wav")
    return folder


def stored(corpus: Path) -> list[store.Row]:
    return [row for split in SPLITS for kind in KINDS for row in store.rows(corpus, split, kind)]


def test_no_piece_and_no_speaker_is_in_two_splits(packages: Path) -> None:
    tracks = list(debian.tracks(packages, seed=1, listed=(SPEECH, MUSIC)))
    splits: dict[str, set[str]] = {}
    for track in tracks:
        group = debian.piece_of(MUSIC, Path(track.name.split("/", 1)[1])) if track.kind == "music" else track.name
        splits.setdefault(group, set()).add(track.split)
    assert len(splits) == NUM_PIECES + 2 and all(len(found) == 1 for found in splits.values())
    # Spellings of one voice are one speaker.
    assert {track.name for track in tracks if track.kind == "speech"} == {"voices/a", "voices/b"}


def test_a_soundfont_a_voice_and_a_score_serve_one_split() -> None:
    fonts = [path for split in SPLITS for path in scores.SOUNDFONTS[split]]
    assert len(set(fonts)) == len(fonts)
    names = [track.name for track in voices.tracks(7)]
    assert len(set(names)) == len(names)


def test_an_interrupted_build_goes_on_and_ends_as_an_unbroken_one(packages: Path, tmp_path: Path) -> None:
    def tracks() -> list:
        return list(debian.tracks(packages, seed=1, listed=(SPEECH, MUSIC)))

    build(tmp_path / "one", tracks())
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "two", interrupted(tracks(), after=5))
    assert len(stored(tmp_path / "two")) == 5
    build(tmp_path / "two", tracks())
    assert stored(tmp_path / "one") == stored(tmp_path / "two") and len(stored(tmp_path / "one")) == len(tracks())
    assert {row.group for row in stored(tmp_path / "one") if row.kind == "music"} == {
        f"tunes/piece{idx}" for idx in range(NUM_PIECES)
    }
    # An Ogg file carries a random serial number, so that the sound is compared and not the bytes.
    for row in stored(tmp_path / "one"):
        one, two = (store.read_track(tmp_path / name, row, 48_000) for name in ("one", "two"))
        assert np.array_equal(one, two), row.name


def test_what_is_known_of_a_stored_track_is_brought_up_to_date_without_making_it_again(tmp_path: Path) -> None:
    track = Track("t", "s", "music", "train", "old", 1.0, "f", lambda: sound("music", 0))
    build(tmp_path, [track])

    def make() -> np.ndarray:
        raise AssertionError("made again")

    build(tmp_path, [replace(track, licence="new", group="g", fine="x", make=make)])
    assert [(row.licence, row.group, row.fine) for row in stored(tmp_path)] == [("new", "g", "x")]
    note = next((tmp_path / "tracks").glob("*/*/*.json"))
    note.write_text("{")
    with pytest.raises(CorpusError, match="cannot be read"):
        stored(tmp_path)


def test_a_recording_of_the_user_s_that_was_changed_in_place_is_stale(tmp_path: Path) -> None:
    write_noise(tmp_path / "mine" / "a.wav")
    (before,) = layouts.music_folder(tmp_path / "mine", 0)
    os.utime(tmp_path / "mine" / "a.wav", (1, 1))
    (after,) = layouts.music_folder(tmp_path / "mine", 0)
    assert before.fingerprint != after.fingerprint


def test_a_split_that_stayed_empty_is_told_from_a_corpus_that_is_none(tmp_path: Path) -> None:
    build(tmp_path, [Track("t", "s", "music", "train", "l", 1.0, "f", lambda: sound("music", 0))])
    with pytest.raises(CorpusError, match="no music in its valid split, 1 in the others"):
        store.load_arrays(tmp_path, "valid", "music", 16_000)


def interrupted(tracks: list, after: int) -> list:
    """The same tracks, one of which is stopped by Ctrl-C."""
    def stop() -> np.ndarray:
        raise KeyboardInterrupt

    return [*tracks[:after], replace(tracks[after], make=stop), *tracks[after + 1 :]]


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (22_050, 2), (44_100, 1), (96_000, 6), (11_025, 3)])
def test_any_rate_and_number_of_channels_is_read(tmp_path: Path, rate_hz: int, channels: int) -> None:
    write_noise(tmp_path / "a.wav", 2.0, rate_hz, channels)
    assert decode(tmp_path / "a.wav").size == pytest.approx(2 * 48_000, abs=50)


def test_unusable_files_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    music = tmp_path / "music"
    write_noise(music / "good.wav", 4)
    (music / "text.mp3").write_text("this is no sound")
    soundfile.write(music / "silent.wav", np.zeros(80_000), 16_000)
    write_noise(music / "short.wav", 0.5)
    speech = tmp_path / "speech"
    write_noise(speech / "anna" / "1.wav", 4)
    (speech / "anna" / "2.flac").write_bytes(b"fLaC broken")
    main(["--out", str(tmp_path / "corpus"), "--speech", str(speech), "--music", str(music)])
    printed = capsys.readouterr().out
    for name in ("text.mp3", "silent.wav", "short.wav", "2.flac"):
        assert name in printed, name
    assert {row.name for row in stored(tmp_path / "corpus")} == {"music/good.wav", "speech/anna"}


def test_a_folder_without_audio_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    for reader in (layouts.speech_folder, layouts.music_folder, layouts.musdb18, layouts.slakh, layouts.divide_and_remaster):
        with pytest.raises(CorpusError, match="holds no audio: expected"):
            list(reader(tmp_path, 1))
    with pytest.raises(SystemExit, match="is no folder"):
        main(["--out", str(tmp_path / "corpus"), "--music", str(tmp_path / "absent")])


def test_nothing_but_silence_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(80_000), 16_000)
    with pytest.raises(CorpusError, match="no usable recording"):
        build(tmp_path / "corpus", layouts.music_folder(tmp_path, 1))
    with pytest.raises(Undecodable, match="silent"):
        decode(tmp_path / "silent.wav")


def test_what_a_command_does_not_name_stays_unless_it_prunes_and_goes_with_its_arrays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus"
    for name in ("a", "b"):
        write_noise(tmp_path / name / f"{name}.wav", 4)
    (tmp_path / "silent").mkdir()
    soundfile.write(tmp_path / "silent" / "silent.wav", np.zeros(80_000), 16_000)
    build(corpus, [*layouts.music_folder(tmp_path / "a", 1), Track("v", "s", "speech", "train", "l", 1.0, "f", lambda: sound("speech", 0))])
    (row,) = (row for row in stored(corpus) if row.kind == "music")
    store.load_arrays(corpus, row.split, "music", 16_000)
    main(["--out", str(corpus), "--music", str(tmp_path / "b"), "--seed", "1"])
    assert {row.name for row in stored(corpus)} == {"a/a.wav", "b/b.wav", "v"}
    assert "1 of an earlier build that this command does not name are kept" in capsys.readouterr().out
    assert len(list(corpus.glob("arrays/*/*.i16"))) == 1
    with pytest.raises(CorpusError, match="no usable recording"):
        build(corpus, layouts.music_folder(tmp_path / "silent", 1), prune=True)
    assert len(stored(corpus)) == 3, "a wrong folder costs nothing"
    main(["--out", str(corpus), "--music", str(tmp_path / "b"), "--seed", "1", "--prune"])
    assert {row.name for row in stored(corpus)} == {"b/b.wav", "v"}, "speech was not what the command makes"
    said = capsys.readouterr().out
    assert "removed:" in said and "a-a-wav" in said
    assert not list(corpus.glob("arrays/*/*.i16")) and len(list(corpus.rglob("*.opus"))) == 2


def test_what_evaluation_reads_can_be_had_alone_and_the_rest_be_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for idx in range(12):
        write_noise(tmp_path / "pieces" / f"{idx}.wav", 4)
    command = ["--out", str(tmp_path / "corpus"), "--music", str(tmp_path / "pieces")]
    main([*command, "--test-only"])
    alone = stored(tmp_path / "corpus")
    assert alone and {row.split for row in alone} == {"test"}
    main(command)
    whole = stored(tmp_path / "corpus")
    assert len(whole) == 12 and [row for row in whole if row.split == "test"] == alone
    with pytest.raises(SystemExit):
        main([*command, "--test-only", "--prune"])
    assert "would remove all that is trained on" in capsys.readouterr().err
    assert len(stored(tmp_path / "corpus")) == 12


def test_a_piece_that_is_kept_in_one_split_is_not_put_into_another(tmp_path: Path) -> None:
    def track(name: str, split: str) -> Track:
        return Track(name, "s", "music", split, "l", 1.0, "f", lambda: sound("music", 0), "piece")

    build(tmp_path, [track("slow", "train")])
    with pytest.raises(CorpusError, match="slow is stored in .* as train, and this command puts it into test: give the --seed"):
        build(tmp_path, [track("fast", "test")])
    build(tmp_path, [track("fast", "test")], prune=True)
    assert [(row.name, row.split) for row in stored(tmp_path)] == [("fast", "test")]


def test_of_a_speaker_who_never_ends_as_much_is_decoded_as_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{idx:02}.wav" for idx in range(20)]
    for idx, path in enumerate(paths):
        write_noise(path, 2 + idx % 3)
    whole = debian.speech_from(paths, "7/x")
    decoded: list[Path] = []

    def counted(path: Path, limit_s: float) -> np.ndarray:
        decoded.append(path)
        return decode(path, limit_s)

    monkeypatch.setattr(debian, "decode", counted)
    monkeypatch.setattr(debian, "SPEAKER_LIMIT_S", 100.0)
    assert np.array_equal(debian.speech_from(paths, "7/x"), whole), "who is short enough sounds as before"
    assert len(decoded) == 20
    decoded.clear()
    monkeypatch.setattr(debian, "SPEAKER_LIMIT_S", 10.0)
    some = debian.speech_from(paths, "7/x")
    assert 9.0 < some.size / 48_000 < 10 + 6 * 0.5 and len(decoded) <= 6
    assert sorted(decoded) != paths[: len(decoded)], "drawn, not the first"
    assert np.array_equal(debian.speech_from(paths, "7/x"), some)
    monkeypatch.setattr(debian, "SPEAKER_LIMIT_S", 1.0)
    assert debian.speech_from(paths[:1], "7/x").size < 2 * 48_000, "one long file is cut"


def test_little_is_made_before_it_can_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from underscore_training.corpus import build as builder

    num_threads, num_made, most_waiting = 2, 0, 0
    monkeypatch.setattr(builder.os, "cpu_count", lambda: num_threads)
    monkeypatch.setattr(builder, "AHEAD_S", 1.0)

    def make(idx: int) -> np.ndarray:
        nonlocal num_made
        time.sleep(0.3 if idx == 0 else 0.0)
        num_made += 1
        return np.zeros(48_000 * 4, np.float32)

    listed = [Track(f"t{idx}", "s", "music", "train", "l", 1.0, "f", partial(make, idx)) for idx in range(12)]
    for num_taken, (_, made) in enumerate(builder._made_ahead(tmp_path, listed)):
        time.sleep(0.05)
        most_waiting = max(most_waiting, num_made - num_taken)
        assert made is not None and made.result().size
    assert num_made == 12 and most_waiting <= 1 + num_threads + 1


def test_public_layouts_keep_their_own_splits(tmp_path: Path) -> None:
    for split, song in (("train", "x"), ("test", "y")):
        for stem in ("drums", "bass", "other", "vocals"):
            write_noise(tmp_path / "musdb" / split / song / f"{stem}.wav")
    found = {track.name: track for track in layouts.musdb18(tmp_path / "musdb", 1)}
    assert found["musdb18/y"].split == "test" and found["musdb18/x"].split in ("train", "valid")
    assert found["musdb18/x"].make().size > 0
    for split in ("train", "validation", "test"):
        write_noise(tmp_path / "slakh" / split / f"Track{split}" / "mix.flac")
    assert [track.split for track in layouts.slakh(tmp_path / "slakh", 1)] == ["train", "valid", "test"]
    for split in ("tr", "cv", "tt"):
        for kind in ("speech", "music"):
            write_noise(tmp_path / "dnr" / split / "17" / f"{kind}.wav")
    kinds = [(track.split, track.kind) for track in layouts.divide_and_remaster(tmp_path / "dnr", 1)]
    assert kinds == [(split, kind) for split in SPLITS for kind in ("speech", "music")]


def test_songs_that_come_apart_give_a_track_per_class_and_keep_their_own_splits(tmp_path: Path) -> None:
    stems = {
        "S00": {"is_drum": True, "program_num": 128}, "S01": {"is_drum": False, "program_num": 33},
        "S02": {"is_drum": False, "program_num": 4}, "S03": {"is_drum": False, "program_num": 0},
        "S04": {"is_drum": False, "program_num": 120}, "S05": {"is_drum": False, "program_num": 60},
    }
    for split in ("train", "validation", "test"):
        song = tmp_path / "slakh" / split / f"Track{split}"
        for stem in ("S00", "S01", "S02", "S03", "S04"):
            write_noise(song / "stems" / f"{stem}.wav", 4 if stem == "S02" else 2)
        (song / "stems" / "S01.wav.asd").write_text("what a DAW leaves beside a file")
        write_noise(song / "stems" / "S03.flac", 2)
        (song / "metadata.yaml").write_text(yaml.safe_dump({"UUID": "1", "stems": stems}))
    found = list(multitracks.slakh(tmp_path / "slakh"))
    kinds = ("bass", "drums", "piano")
    assert [(track.split, track.name) for track in found] == [
        (split, f"slakh/Track{own}/0/{kind}") for own, split in (("train", "train"), ("validation", "valid"), ("test", "test")) for kind in kinds
    ], "an effect is of no class, and a stem that was not rendered is none"
    assert [track.fine for track in found[:3]] == ["electric bass", "", ""], "two pianos that sound otherwise, and a kit, have no finer label"
    piano = found[2]
    assert piano.group == "stems/slakh/Tracktrain" and found[1].make().size == 2 * TRACK_RATE_HZ
    whole, half = (decode(tmp_path / "slakh" / "train" / "Tracktrain" / "stems" / name) for name in ("S02.wav", "S03.flac"))
    np.testing.assert_allclose(piano.make(), whole + np.pad(half, (0, whole.size - half.size)), atol=1e-6)
    for stem in ("drums", "bass", "other", "vocals"):
        write_noise(tmp_path / "musdb" / "test" / "x" / f"{stem}.wav")
    found = list(multitracks.musdb18(tmp_path / "musdb", 1))
    assert {(track.kind, track.split, track.group) for track in found} == {(kind, "test", "stems/musdb18/x") for kind in ("drums", "bass", "singing")}
    assert all(OF_ARRANGEMENT.search(track.name)[1] == "sung" for track in found), "a song that is sung is scored as one"
    (tmp_path / "slakh" / "test" / "Tracktest" / "metadata.yaml").write_text("stems: [S00]")
    with pytest.raises(CorpusError, match="Tracktest/metadata.yaml: expected Slakh2100's `stems`"):
        list(multitracks.slakh(tmp_path / "slakh"))
    with pytest.raises(CorpusError, match="holds no audio: expected Slakh2100"):
        list(multitracks.slakh(tmp_path / "musdb"))


def test_songs_of_ones_own_are_taken_apart_without_any_scores_and_what_has_no_parts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in ("drums", "bass", "vocals"):
        write_noise(tmp_path / "musdb" / "test" / "x" / f"{stem}.wav", 4)
    given = ["--out", str(tmp_path / "corpus"), "--stems", "--musdb18", str(tmp_path / "musdb")]
    main(given)
    assert {row.name for row in stored(tmp_path / "corpus")} == {f"musdb18/x/sung0/{kind}" for kind in ("drums", "bass", "singing")}
    with pytest.raises(SystemExit, match="--speech cannot be taken apart by class"):
        main([*given, "--speech", str(tmp_path)])


def test_a_missing_package_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="apt-get download voices"):
        list(debian.tracks(tmp_path, seed=1, listed=(SPEECH,)))


def test_a_full_disk_stops_the_build_and_keeps_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "corpus", 1)
    before = len(stored(tmp_path / "corpus"))
    write_noise(tmp_path / "music" / "a.wav", 4)
    track = next(iter(layouts.music_folder(tmp_path / "music", 1)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(CorpusError, match="No space left on device.*run the command again"):
        store.write_track(tmp_path / "corpus", track, track.make())
    assert len(stored(tmp_path / "corpus")) == before
    assert not list((tmp_path / "corpus").rglob("*.draft"))


def test_stored_sound_is_what_was_given_and_its_band_is_known(tmp_path: Path) -> None:
    write_corpus(tmp_path, 1)
    (row,) = store.rows(tmp_path, "train", "music")
    assert row.is_full_band
    read = store.read_track(tmp_path, row, 48_000).astype(np.float64) / 32767
    original = sound("music", 0)
    assert read.size == original.size
    assert 10 * np.log10(np.sum(original**2) / np.sum((read - original) ** 2)) > 15
    assert not store.is_full_band(decode_limited(original))


def decode_limited(signal: np.ndarray) -> np.ndarray:
    from underscore_training.mixtures.augment import band_limited

    return band_limited(signal, 48_000, 0, 7_000)


def test_packed_chunks_unpack_to_the_same_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "corpus")
    monkeypatch.setattr(store, "CHUNK_BYTES", 100_000)
    chunks = store.pack(tmp_path / "corpus", tmp_path / "chunks")
    assert len(chunks) > 1 and all(chunk.stat().st_size < 200_000 for chunk in chunks)
    for chunk in chunks:
        subprocess.run(["tar", "-C", str(tmp_path / "chunks"), "-xf", str(chunk)], check=True)
    assert stored(tmp_path / "chunks") == stored(tmp_path / "corpus")


def test_packing_a_smaller_corpus_anew_leaves_no_chunk_of_the_larger_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "corpus")
    monkeypatch.setattr(store, "CHUNK_BYTES", 100_000)
    before = store.pack(tmp_path / "corpus", tmp_path / "chunks")
    shutil.rmtree(tmp_path / "corpus" / "tracks" / "train")
    after = store.pack(tmp_path / "corpus", tmp_path / "chunks")
    assert len(after) < len(before) and sorted((tmp_path / "chunks").iterdir()) == after
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="chunks cannot be written"):
        store.pack(tmp_path / "corpus", tmp_path / "file" / "chunks")


def test_without_scores_there_are_no_parts_and_the_message_offers_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="openttd-openmsx and unpack it there$"):
        main(["--packages", str(tmp_path), "--out", str(tmp_path / "corpus"), "--stems"])


def test_the_demo_programme_is_held_out() -> None:
    from underscore_training import programme

    assert programme.SPEECH[0] in debian.TEST_SPEAKERS
    source = next(source for source in debian.SOURCES if source.package == programme.MUSIC[0])
    relative = Path(programme.MUSIC[1]).relative_to(source.folder)
    assert drawn_split(debian.piece_of(source, relative), seed=7) == "test"


def test_every_track_of_the_shipped_corpus_names_its_licence() -> None:
    assert all(source.licence for source in debian.SOURCES) and all(voice.licence for voice in voices.VOICES)


def test_a_composed_song_is_a_midi_file_and_the_same_again() -> None:
    import io

    import mido

    one, two = scores.composed_song("7/x"), scores.composed_song("7/x")
    assert one == two
    assert 80 < mido.MidiFile(file=io.BytesIO(one)).length < 140
    assert json.dumps([track.name for track in voices.tracks(7)])


def organ_note(is_ended: bool) -> bytes:
    score = mido.MidiFile(ticks_per_beat=480)
    score.tracks.append(track := mido.MidiTrack())
    track.append(mido.Message("program_change", program=19))
    track.append(mido.Message("note_on", note=60, velocity=90))
    if is_ended:
        track.append(mido.Message("note_off", note=60, time=960))
    file = io.BytesIO()
    score.save(file=file)
    return file.getvalue()


@pytest.mark.parametrize("ends_by", ["note_off", "note_on"])
def test_notes_that_sound_when_a_score_is_cut_end_there(ends_by: str) -> None:
    score = mido.MidiFile(ticks_per_beat=480)
    score.tracks.append(track := mido.MidiTrack())
    # A note a second, each of which sounds for ten: the last ones are cut.
    events = [(960 * at, "note_on", 40 + at, 90) for at in range(70)] + [(960 * (at + 10), ends_by, 40 + at, 0) for at in range(70)]
    now = 0
    for tick, kind, note, velocity in sorted(events):
        track.append(mido.Message(kind, note=note, velocity=velocity, time=tick - now))
        now = tick
    short = stems._shortened(score)
    assert short.length == pytest.approx(stems.LENGTH_S, abs=1.0)
    sounding = set()
    for message in short.tracks[0]:
        begins = message.type == "note_on" and message.velocity > 0
        (sounding.add if begins else sounding.discard)(message.note)
    assert len({message.note for message in short.tracks[0]}) > 40 and not sounding


def test_what_is_kept_for_the_test_of_parts_is_played_nowhere_else() -> None:
    kept = [name for name, _, _ in scores.kept_scores(7)]
    heard = {f"music21/{name}/{path.stem}" for name, path in scores._drawn(scores.MUSIC21_PIECES, 7)}
    assert len(kept) == sum(scores.KEPT_PIECES.values()) and not heard & set(kept)
    works = {name for name in scores.KEPT_PIECES if name.startswith(scores.WORKS)}
    assert not works & set(scores.MUSIC21_PIECES), "movements of one work"


@pytest.mark.skipif(
    shutil.which("fluidsynth") is None or not any(Path(path).exists() for path in stems.SPLIT_SOUNDFONTS["valid"]),
    reason="fluidsynth or its soundfont is not installed",
)
def test_a_score_that_never_ends_is_given_up_by_what_it_has_played() -> None:
    soundfont = stems.soundfonts("valid")[0]
    assert fluidsynth.played(organ_note(is_ended=True), soundfont, "a note", 5.0, limit_s=100).size > 48_000
    began_s = time.monotonic()
    with pytest.raises(Undecodable, match="a note"):
        fluidsynth.played(organ_note(is_ended=False), soundfont, "a note", 5.0, limit_s=100)
    assert time.monotonic() - began_s < 50, "it was waited for"


@pytest.mark.parametrize(
    ("complaint", "advice"),
    [
        ("fluidsynth: error: Audio file write error: System error : No space left on device.", "No space left on device.*make room"),
        ("Failed to load the SoundFont sound.sf2", "Failed to load the SoundFont.*package anew"),
    ],
)
def test_a_synthesiser_that_complains_and_ends_as_if_nothing_had_been_is_not_believed(
    complaint: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_noise(tmp_path / "sound.wav", 4)
    program = tmp_path / "bin" / "fluidsynth"
    program.parent.mkdir()
    # The sound is written to what follows -F, as the program itself does in spite of either.
    program.write_text(f'#!/bin/sh\nwhile [ "$1" != -F ]; do shift; done\ncp {tmp_path}/sound.wav "$2"\necho "{complaint}" >&2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    with pytest.raises(CorpusError, match=f"a note: .*{advice}"):
        fluidsynth.played(organ_note(is_ended=True), "sound.sf2", "a note", 3.0, limit_s=20)


PATCH_CONFIG = "dir /patches\ndrumset 0\n 35 kick.pat\nbank 0\n 0 piano.pat amp=120\n 33\tbass.pat \n 46 harp.pat\n 80 square.pat\nbank 8\n 4 other.pat\n"


def test_an_arrangement_by_patches_has_the_instruments_that_there_are_and_none_that_training_has(tmp_path: Path) -> None:
    config = tmp_path / "patches.cfg"
    config.write_text(PATCH_CONFIG)
    assert timidity.programs(str(config)) == {0, 33, 46, 80}
    instruments = stems.patches(str(config))
    assert instruments.programs == {"piano": (0,), "bass": (33,), "lead": (80,)}, "the harp is from elsewhere"
    parts = [part for number in range(8) for part in stems.arranged(composed_song(f"song {number}"), random.Random(2), instruments=instruments).items()]
    kinds = {kind for kind, _ in parts}
    assert kinds <= {*instruments.programs, "drums", *stems.DRUM_PIECES} and "drums" in kinds
    for kind, part in parts:
        messages = list(mido.MidiFile(file=io.BytesIO(part.midi)))
        played = {message.program for message in messages if message.type == "program_change"}
        assert played <= {0} if kind in ("drums", *stems.DRUM_PIECES) else played <= set(instruments.programs[kind])
        assert kind != "drums" or not {message.note for message in messages if message.type == "note_on"} & stems.TOMS


@pytest.mark.parametrize(("script", "error", "told"), [
    ("exit 1", CorpusError, "a note: timidity failed: apt install timidity freepats"), ("sleep 9", Undecodable, "timidity is not done after"),
])
def test_a_player_of_patches_that_fails_or_never_ends_is_told_as_what_it_is(
    script: str, error: type[Exception], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "timidity"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(error, match=told):
        timidity.played(organ_note(is_ended=True), "patches.cfg", "a note", 3.0, limit_s=1)


@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="fluidsynth is not installed")
def test_a_soundfont_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half.sf2").write_bytes(b"RIFF" + (1000).to_bytes(4, "little") + b"sfbk" + bytes(500))
    for soundfont in ("half.sf2", "absent.sf2"):
        with pytest.raises(CorpusError, match=f"a note: .*{soundfont}.*install"):
            fluidsynth.played(organ_note(is_ended=True), str(tmp_path / soundfont), "a note", 3.0, limit_s=20)


def test_temporary_files_that_cannot_be_written_stop_the_build_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(CorpusError, match="a note: temporary files cannot be written.*set TMPDIR"):
        fluidsynth.played(organ_note(is_ended=True), "sound.sf2", "a note", 3.0, limit_s=20)

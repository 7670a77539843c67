"""Speech that is made to sing: its syllables, a score's notes."""

import io
import random
from collections import Counter
from pathlib import Path

import mido
import numpy as np
import pytest

from underscore_training.corpus import debian, singing, stems
from underscore_training.corpus.scores import composed_song
from underscore_training.corpus.singing import FRAME_S, Note, Syllable
from underscore_training.corpus.track import TRACK_RATE_HZ

NOTES = [Note(0.1, 0.7, 60, 0), Note(0.7, 1.5, 64, 1), Note(1.8, 2.6, 62, 2)]


def spoken(hz: float) -> np.ndarray:
    """Four vowels a second, each a harmonic tone that swells and dies away, `[sample]` at 48 kHz."""
    time_s = np.arange(4 * TRACK_RATE_HZ) / TRACK_RATE_HZ
    tone = sum(np.sin(2 * np.pi * hz * harmonic * time_s) / harmonic for harmonic in range(1, 20))
    return (0.05 * tone * np.sin(np.pi * 4 * time_s) ** 2).astype(np.float32)


def test_what_is_sung_is_the_top_of_the_highest_part_one_note_at_a_time() -> None:
    song = mido.MidiFile(type=1)
    for channel, low in ((0, 40), (1, 64), (singing.DRUM_CHANNEL, 90)):
        track = mido.MidiTrack()
        for step in range(16):
            for third in (0, 4):
                track.append(mido.Message("note_on", channel=channel, note=low + step % 3 + third, velocity=80))
            for third in (0, 4):
                track.append(mido.Message("note_off", channel=channel, note=low + step % 3 + third, time=480 if third == 0 else 0))
        song.tracks.append(track)
    assert singing.melody_channel(song) == 1
    notes = singing.melody(song, 8.1)
    assert [note.pitch for note in notes[:4]] == [68, 69, 70, 68] and len(notes) == 16 and notes[-1].end_s == 8.0
    assert all(first.end_s <= second.begin_s for first, second in zip(notes, notes[1:]))
    assert singing.melody(song, 7.0) == [], "too short a song"
    song.tracks.pop(1)
    assert singing.melody_channel(song) is None, "too low to be sung"


def played(part: mido.MidiFile) -> list[tuple[int, int]]:
    """Channel and pitch of all notes."""
    return [(message.channel, message.note) for message in part if message.type == "note_on" and message.velocity > 0]


def test_nobody_plays_what_is_sung_and_all_else_is_played() -> None:
    content = composed_song("7/songs/1001")
    song = mido.MidiFile(file=io.BytesIO(content))
    channel, sung = singing.melody_channel(song), singing.melody(song, float("inf"))
    rest = singing.accompaniment(song, channel, sung)
    before, after = Counter(played(song)), Counter(played(rest))
    assert before - after == Counter((channel, note.pitch) for note in sung) and after < before
    assert song.length == pytest.approx(rest.length)
    heard = {
        channel for part in stems.arranged(content, random.Random(1), is_sung=True).values()
        for channel, _ in played(mido.MidiFile(file=io.BytesIO(part.midi)))
    }
    assert len(heard) >= 3 and channel not in heard


def test_of_a_long_score_the_same_channel_is_sung_and_left_out_though_another_is_higher_at_its_beginning() -> None:
    song = mido.MidiFile(type=1)
    for channel, low, leap in ((0, 60, 24), (1, 64, 0)):
        track = mido.MidiTrack()
        for step in range(200):
            pitch = low + step % 3 + (leap if step >= 100 else 0)
            track += [mido.Message("note_on", channel=channel, note=pitch, velocity=80), mido.Message("note_off", channel=channel, note=pitch, time=480)]
        song.tracks.append(track)
    file = io.BytesIO()
    song.save(file=file)
    assert (singing.melody_channel(song), singing.melody_channel(stems._shortened(song))) == (0, 1)
    notes = singing.melody(song, stems.LENGTH_S)
    left = [pitch for part in stems.arranged(file.getvalue(), random.Random(1), is_sung=True).values() for _, pitch in played(mido.MidiFile(file=io.BytesIO(part.midi)))]
    assert {note.pitch for note in notes} == {60, 61, 62} and set(left) == {64, 65, 66}


def test_every_swell_of_a_voice_is_a_syllable() -> None:
    seconds = np.arange(400) * FRAME_S
    level_db = 20 * np.log10(np.abs(np.sin(np.pi * 4 * seconds)) + 0.01)
    found = singing.syllables(level_db, np.ones(400, bool))
    assert len(found) == 8
    for idx, syllable in enumerate(found):
        assert abs(syllable.vowel * FRAME_S - (idx + 0.5) / 4) < 0.01 and syllable.begin < syllable.vowel < syllable.end


def test_what_is_hardly_heard_is_no_syllable() -> None:
    level_db = np.full(400, -90.0)
    for vowel, loud_db in ((50, -20), (150, -22), (250, -58), (350, -18)):
        level_db[vowel - 10 : vowel + 11] = loud_db - np.abs(np.arange(-10, 11))
    assert [syllable.vowel for syllable in singing.syllables(level_db, level_db > -80)] == [50, 150, 350]


@pytest.mark.parametrize("num_frames", [5, 40, 300])
def test_a_note_has_the_syllable_s_beginning_and_end_and_holds_its_vowel(num_frames: int) -> None:
    found = singing.places(Syllable(100, 120, 140), num_frames)
    assert found.size == num_frames and found[0] == 100 and abs(found[-1] - 139) < 1e-9
    near_vowel = np.abs(found - 120) <= singing.HELD_S / FRAME_S
    assert near_vowel.sum() >= num_frames - 40


@pytest.mark.parametrize("hz", [110.0, 260.0])
def test_a_voice_sings_the_notes_in_its_own_octave_and_is_silent_between_them(hz: float) -> None:
    pyworld = pytest.importorskip("pyworld", reason="singing needs the extra of that name")
    sung = singing.sung(NOTES, spoken(hz), np.random.default_rng(2))
    assert sung.dtype == np.float32 and abs(sung.size / TRACK_RATE_HZ - 2.6) < 0.05
    found_hz, at_s = pyworld.dio(sung.astype(np.float64), TRACK_RATE_HZ)
    octaves = set()
    for note in NOTES:
        held = (at_s > note.begin_s + 0.2) & (at_s < note.end_s - 0.15) & (found_hz > 0)
        assert held.mean() * at_s[-1] > 0.1
        pitch = 69 + 12 * np.log2(float(np.median(found_hz[held])) / 440)
        away = (pitch - note.pitch + 6) % 12 - 6
        print(f"{hz} Hz: note {note.pitch} is sung {100 * away:.0f} cents off")
        assert abs(away) < 0.6
        octaves.add(round((pitch - note.pitch) / 12))
        assert 0.7 < np.median(found_hz[held]) / hz < 2.5
    assert len(octaves) == 1
    energy = sung.astype(np.float64) ** 2
    between = energy[round(1.6 * TRACK_RATE_HZ) : round(1.75 * TRACK_RATE_HZ)].mean()
    assert 10 * np.log10(between / energy.mean() + 1e-12) < -40


def test_who_sings_is_of_the_score_s_split(monkeypatch: pytest.MonkeyPatch) -> None:
    source = debian.SOURCES[0]
    people = {name: (source, []) for name in (debian.SINGER, "a", "b", *debian.TEST_SPEAKERS, *debian.VALID_SPEAKERS)}
    monkeypatch.setattr(debian, "speakers", lambda packages, excluded: people)
    score = ("songs/1001", "CC0-1.0", lambda: composed_song("7/songs/1001"), False, "")
    monkeypatch.setattr(stems, "listed_scores", lambda packages, seed: [score])
    monkeypatch.setattr(stems, "kept_scores", lambda seed: [])
    monkeypatch.setattr(stems, "NUM_SONGS", 0)
    chosen = []
    monkeypatch.setattr(stems, "file_fingerprint", lambda paths: "")
    monkeypatch.setattr(stems, "soundfonts", lambda split: ("a.sf2",))
    for split, expected in (("train", {"a", "b"}), ("test", debian.TEST_SPEAKERS)):
        monkeypatch.setattr(stems, "drawn_split", lambda name, seed, split=split: split)
        monkeypatch.setattr(random.Random, "choice", lambda rng, found: chosen.append(set(found)) or sorted(found)[0])
        tracks = [track for track in stems.tracks(Path("packages"), 7) if track.kind == stems.SINGING]
        assert {track.split for track in tracks} == {split, "test"} and len(tracks) == stems.NUM_SUNG[split] + 1
        assert expected in chosen
        chosen.clear()

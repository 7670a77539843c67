"""Music rendered from scores with fluidsynth: OpenTTD's tunes, music21's corpus, songs composed by rule.

Each score is rendered with one soundfont; parts take General MIDI programs at random
within their family, so that one piece does not always come with one sound. A soundfont
serves one split only, and so does a piece. But that of the test grew out of that of the training: many of its instruments are the same samples
(`likeness`).
"""

import io
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import mido
import numpy as np

from .decode import Undecodable
from .errors import NoScores
from .fluidsynth import played
from .track import Split, Track, drawn_split, fingerprint

SOUNDFONTS: dict[Split, tuple[str, ...]] = {
    "train": ("/usr/share/sounds/sf2/FluidR3_GM.sf2",),
    "valid": ("/usr/share/sounds/sf2/TimGM6mb.sf2",),
    "test": ("/usr/share/sounds/sf3/MuseScore_General_Full.sf3", "/usr/share/sounds/sf3/MuseScore_General.sf3"),
}
"""The first that exists is taken."""
LENGTH_S = 110.0
RENDER_LIMIT_S = 40
"""Some scores never end; whole ones take a few seconds."""
WEIGHT = 0.5
OPENMSX = "usr/share/games/openttd/baseset/openmsx"
NUM_SONGS = 48
MUSIC21_PIECES: dict[str, int] = {
    "bach": 16, "opus18no1": 1, "opus74no1": 1, "k155": 1, "k156": 1, "k80": 1, "joplin": 1, "monteverdi": 2,
    "palestrina": 3, "ryansMammoth": 8, "oneills1850": 4,
}
"""Folders of music21's corpus and how many of their scores are taken."""
KEPT_PIECES: dict[str, int] = {
    "bach": 6, "opus59no1": 1, "opus59no2": 1, "opus59no3": 1, "opus1no1": 1, "k458": 1, "opus41no1": 1, "opus17": 1, "opus3no1": 1,
}
"""The same of those that are kept for the test of `stems`: chorales, quartets and trios that nothing else plays."""
MUSIC21_LICENCE = "music21's corpus: scores free to use"
WORKS = ("opus", "k1", "k8")
"""Folders that begin so hold the movements of one work."""

PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 3), (5, 3, 0, 4), (0, 2, 3, 4), (0, 5, 1, 4), (0, 6, 3, 0))
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10))
CHORD_PROGRAMS = (0, 4, 5, 16, 19, 24, 25, 26, 27, 29, 30, 46, 48, 49, 50, 52, 61, 62, 88, 89, 90, 91, 94)
MELODY_PROGRAMS = (0, 11, 12, 22, 25, 40, 42, 52, 53, 54, 56, 60, 64, 65, 68, 71, 73, 75, 80, 81, 85)
BASS_PROGRAMS = (32, 33, 34, 35, 36, 38, 39)
TICKS = 480
DRUM_CHANNEL = 9


def composed_song(seed: str) -> bytes:
    """A song by rule as a MIDI file: drums, bass, chords and a melody that walks over the scale."""
    rng = random.Random(seed)
    key, scale = rng.randint(40, 51), rng.choice(SCALES)
    progression = rng.choice(PROGRESSIONS)
    has_drums, has_melody = rng.random() < 0.7, rng.random() < 0.8
    arpeggio = rng.random() < 0.5
    song = mido.MidiFile(ticks_per_beat=TICKS)
    events: list[tuple[int, mido.Message]] = []

    def note(channel: int, pitch: int, start: float, beats: float, velocity: int) -> None:
        pitch, velocity = max(0, min(127, pitch)), max(1, min(127, velocity + rng.randint(-8, 8)))
        begin, end = round(start * TICKS), round((start + beats * 0.95) * TICKS)
        events.append((begin, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
        events.append((end, mido.Message("note_off", channel=channel, note=pitch)))

    def degree(step: int) -> int:
        return key + 12 * (step // 7) + scale[step % 7]

    for channel, programs in enumerate((BASS_PROGRAMS, CHORD_PROGRAMS, MELODY_PROGRAMS)):
        events.append((0, mido.Message("program_change", channel=channel, program=rng.choice(programs))))
    tempo_bpm = rng.uniform(62, 150)
    num_bars = round(LENGTH_S * tempo_bpm / 240)
    place = 14
    for bar in range(num_bars):
        start, root = bar * 4.0, progression[bar % len(progression)]
        for beat in range(4):
            if beat in (0, 2) or rng.random() < 0.4:
                note(0, degree(root) - 12 if degree(root) > 40 else degree(root), start + beat, 1, 84)
            if has_drums:
                note(DRUM_CHANNEL, 36 if beat % 2 == 0 else 38, start + beat, 0.25, 96)
                for half in (0, 0.5):
                    note(DRUM_CHANNEL, 42 if rng.random() < 0.9 else 46, start + beat + half, 0.25, 64)
        if has_drums and bar % 8 == 0:
            note(DRUM_CHANNEL, 49, start, 1, 90)
        for idx, third in enumerate((0, 2, 4, 7)):
            if arpeggio:
                for repeat in range(2):
                    note(1, degree(root + third) + 12, start + repeat * 2 + idx * 0.5, 0.5, 66)
            else:
                note(1, degree(root + third) + 12, start, 4, 62)
        beat = 0.0
        while has_melody and beat < 4:
            length = rng.choice((0.5, 0.5, 1, 1, 1.5, 2))
            place = max(7, min(24, place + rng.choice((-3, -2, -1, -1, 0, 1, 1, 2, 3))))
            if rng.random() < 0.8:
                note(2, degree(place) + 12, start + beat, min(length, 4 - beat), 80)
            beat += length
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo_bpm))])
    now = 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        track.append(message.copy(time=tick - now))
        now = tick
    song.tracks.append(track)
    file = io.BytesIO()
    song.save(file=file)
    return file.getvalue()


def music21_score(path: str) -> bytes:
    """A score of music21's corpus as MIDI."""
    from music21 import converter, exceptions21, midi

    try:
        return midi.translate.music21ObjectToMidiFile(converter.parse(path)).writestr()
    except exceptions21.Music21Exception as error:
        raise Undecodable(f"{path}: music21 cannot play it: {error}") from error


def reorchestrated(content: bytes, rng: random.Random) -> bytes:
    """The same notes with each channel's program drawn anew within its family of eight or, at times, from all."""
    song = mido.MidiFile(file=io.BytesIO(content), clip=True)
    programs: dict[int, int] = {}
    for track in song.tracks:
        heard: set[int] = set()
        for message in list(track):
            if message.type == "program_change" and message.channel != DRUM_CHANNEL:
                family = message.program // 8 * 8 if rng.random() < 0.5 else 8 * rng.randint(0, 11)
                message.program = programs.setdefault(message.channel, family + rng.randint(0, 7))
                heard.add(message.channel)
        for channel in {m.channel for m in track if m.type == "note_on"} - heard - {DRUM_CHANNEL}:
            program = programs.setdefault(channel, 8 * rng.randint(0, 11) + rng.randint(0, 7))
            track.insert(0, mido.Message("program_change", channel=channel, program=program))
    file = io.BytesIO()
    song.save(file=file)
    return file.getvalue()


def soundfont(split: Split) -> str:
    for path in SOUNDFONTS[split]:
        if Path(path).exists():
            return path
    raise NoScores(
        f"no soundfont for the {split} split, expected one of {', '.join(SOUNDFONTS[split])}: apt install "
        "fluid-soundfont-gm timgm6mb-soundfont musescore-general-soundfont"
    )


def rendered(content: Callable[[], bytes], split: Split, seed: str, reorchestrate: bool) -> np.ndarray:
    """A score played with its split's soundfont; float32 `[sample]` at 48 kHz."""
    score = content()
    if reorchestrate:
        score = reorchestrated(score, random.Random(seed))
    return played(score, soundfont(split), seed, LENGTH_S, RENDER_LIMIT_S)


def _drawn(counts: dict[str, int], seed: int, other_than: Iterable[Path] = ()) -> Iterator[tuple[str, Path]]:
    """So many scores of each folder of music21's corpus, and the folder's name."""
    from music21 import corpus as music21_corpus

    by_folder: dict[str, list[Path]] = {}
    for path in sorted(set(map(Path, music21_corpus.getCorePaths())) - set(other_than)):
        by_folder.setdefault(path.parent.name, []).append(path)
    for name, count in counts.items():
        listed = by_folder.get(name, [])
        for path in random.Random(f"{seed}/{name}").sample(listed, min(count, len(listed))):
            yield name, path


def kept_scores(seed: int) -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Name, licence and MIDI content of scores that are played in the test of `stems` alone."""
    for name, path in _drawn(KEPT_PIECES, seed, [path for _, path in _drawn(MUSIC21_PIECES, seed)]):
        yield f"music21/{name}/{path.stem}", MUSIC21_LICENCE, partial(music21_score, str(path))


Listed = tuple[str, str, Callable[[], bytes], bool, str]
"""Name, licence, MIDI content, whether programs are drawn anew, group."""


def listed_scores(packages: Path, seed: int) -> Iterator[Listed]:
    """Every score that there is."""
    folder = packages / "openttd-openmsx" / OPENMSX
    tunes = sorted(folder.rglob("*.mid"))
    if not tunes:
        raise NoScores(f"{folder} holds no MIDI files: apt-get download openttd-openmsx and unpack it there")
    for tune in tunes:
        yield f"openttd-openmsx/{tune.stem}", "GPL-2", tune.read_bytes, False, f"openmsx/{tune.stem}"
    for name, path in _drawn(MUSIC21_PIECES, seed):
        # Movements of one work stay together.
        group = f"music21/{name}" if name.startswith(WORKS) else f"music21/{name}/{path.stem}"
        yield f"music21/{name}/{path.stem}", MUSIC21_LICENCE, partial(music21_score, str(path)), True, group
    for idx in range(NUM_SONGS):
        name = f"songs/{idx:03}"
        yield name, "CC0-1.0 (composed by rule)", partial(composed_song, f"{seed}/{name}"), False, name


def tracks(packages: Path, seed: int) -> Iterator[Track]:
    """Every score that is rendered."""
    for name, licence, content, reorchestrate, group in listed_scores(packages, seed):
        split = drawn_split(group, seed)
        yield Track(
            name, name.split("/")[0], "music", split, licence, WEIGHT, fingerprint(name, seed, LENGTH_S),
            partial(rendered, content, split, f"{seed}/{name}", reorchestrate),
        )

"""Songs apart: each score's parts, rendered one by one and sorted into classes of instruments.

A separator that is asked for one sound must have heard mixtures of many whose parts are
known. The same scores as in `scores`, each with its channels' programs drawn anew a few
times; a track is all that one class plays in one of these arrangements, or one piece of its drum kit. All tracks of a
score are one group, so they are in one split. Training takes its own soundfont, that of validation and a third one in turn. The test's is another one, but
no stranger: MuseScore_General grew out of FluidR3, which is trained with, and most of its drums, basses, guitars, organs, pipes and choirs are the very
samples. So further arrangements of the test are played by patches that share none with any (`patches`).
Splits are drawn anew: a score may be heard whole in the training of a network that takes speech and music apart.

In further arrangements the top of a score is sung (`singing`), by a speaker of the split; in those of the test all else is played beside it.

Ambience is noise by rule: wind, rain, rooms and crowds of it.
"""

import io
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import mido
import numpy as np

from . import debian, fluidsynth, singing, timidity
from .decode import Undecodable
from .errors import CorpusError
from .scores import DRUM_CHANNEL, SOUNDFONTS, composed_song, kept_scores, listed_scores
from .track import TRACK_RATE_HZ, Split, Track, drawn_split, file_fingerprint, fingerprint

PROGRAMS: dict[str, tuple[int, ...]] = {
    "piano": (0, 1, 2, 3, 4, 5, 6, 7),
    "mallets": (8, 9, 10, 11, 12, 13, 14, 15),
    "organ": (16, 17, 18, 19, 20, 21, 22, 23),
    "guitar": (24, 25, 26, 27, 28, 29, 30),
    "bass": (32, 33, 34, 35, 36, 37, 38, 39),
    "strings": (40, 41, 42, 43, 44, 45, 46, 48, 49, 50, 51),
    "choir": (52, 53, 54),
    "brass": (56, 57, 58, 59, 60, 61, 62, 63),
    "reed": (64, 65, 66, 67, 68, 69, 70, 71),
    "pipe": (72, 73, 74, 75, 76, 77, 78, 79),
    "lead": (80, 81, 82, 83, 84, 85, 86, 87),
    "pad": (88, 89, 90, 91, 92, 93, 94, 95),
}
"""Classes of General MIDI's programs: Slakh's, and `choir`, which sings."""
DRUM_KITS = (0, 8, 16, 24, 25, 32, 40)
"""Programs of channel 10: standard, room, power, electronic, analogue, jazz, brushes."""
CLASSES = (*PROGRAMS, "drums", "ambience")
FINE: dict[str, dict[str, tuple[int, ...]]] = {
    "piano": {"grand piano": (0, 1, 2, 3), "electric piano": (4, 5), "harpsichord": (6, 7)},
    "organ": {"electric organ": (16, 17, 18), "church organ": (19,), "accordion": (20, 21, 22, 23)},
    "guitar": {"acoustic guitar": (24, 25), "electric guitar": (26, 27, 28), "distorted guitar": (29, 30)},
    "bass": {"double bass": (32,), "electric bass": (33, 34, 35, 36, 37), "synth bass": (38, 39)},
    "strings": {"solo strings": (40, 41, 42, 43), "plucked strings": (45, 46), "string ensemble": (44, 48, 49, 50, 51)},
    "brass": {"solo brass": (56, 57, 58, 59, 60), "brass section": (61,), "synth brass": (62, 63)},
    "reed": {"saxophone": (64, 65, 66, 67), "oboe and bassoon": (68, 69, 70), "clarinet": (71,)},
    "pipe": {"flute": (72, 73, 74, 75), "blown bottle": (76, 77), "whistle": (78, 79)},
    "drums": {"acoustic drums": (0, 8, 16, 32, 40), "electronic drums": (24, 25)},
}
"""Within a class, instruments that sound alike: programs, of drums kits. Classes that are not here have no finer label: what their programs are called is not what they
share from one soundfont to the next."""
DRUM_PIECES: dict[str, tuple[int, ...]] = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "cymbals": (42, 44, 46, 49, 51, 52, 53, 55, 57, 59),
}
"""Notes of channel 10 by what is hit: parts of `drums` that can be asked for alone. Toms and the rest seldom play."""
UNHEARD = ("mallets",)
"""Never trained on: what asking for a new sound is measured with."""

LENGTH_S = 45.0
NUM_ARRANGEMENTS: dict[Split, int] = {"train": 3, "valid": 2, "test": 6}
"""More to be tested with: scores of the test split are few, and classes that seldom play in them would be scored by one clip."""
NUM_KEPT_ARRANGEMENTS = 3
"""Of each score that is kept for the test."""
NUM_SUNG: dict[Split, int] = {"train": 2, "valid": 1, "test": 1}
"""Arrangements of each score that are sung, beside the others."""
SUNG = "sung"
"""Their names begin so, after the score's."""
PATCHES = "/etc/timidity/freepats.cfg"
NUM_PATCHED: dict[Split, int] = {"train": 0, "valid": 0, "test": 2}
"""Arrangements that are played by patches, beside the others."""
PATCHED = "patches"
"""Their names begin so, after the score's."""
FROM_ELSEWHERE = frozenset({46, 56, 58, 75})
"""Programs whose patches were made of samples that a soundfont of the training has, too (harp, pan flute), or may have been (trumpet, tuba); see
`likeness`."""
TOMS = frozenset({41, 43, 45, 47, 48, 50})
"""Notes of channel 10 of which that may be so, too."""
SINGING = "singing"
NUM_SONGS = 60
"""By rule, beyond those of `scores`: most of the drums and basses."""
NUM_AMBIENCES = 60
RENDER_LIMIT_S = 30
"""Some parts never end; a part takes one second, and two with the compressed soundfonts of the test split."""
FEWEST_NOTES = 12
LOW_PITCH = 50
"""A part whose mean pitch lies below is a bass mostly."""
SPLIT_SOUNDFONTS: dict[Split, tuple[str, ...]] = {
    "train": (*SOUNDFONTS["train"], *SOUNDFONTS["valid"], "/usr/share/sounds/sf2/sf_GMbank.sf2"), "valid": SOUNDFONTS["valid"], "test": SOUNDFONTS["test"],
}
"""What is trained on takes them in turn."""


def read(content: bytes) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(content), clip=True)


def fine_label(kind: str, programs: Iterable[int]) -> str:
    """What `FINE` calls all of the programs of a class that play; nothing where they are of several labels, or one is of none."""
    labels = {program: label for label, those in FINE.get(kind, {}).items() for program in those}
    found = {labels.get(program, "") for program in programs}
    return found.pop() if len(found) == 1 else ""


@dataclass(frozen=True)
class Part:
    """All that one class plays in an arrangement, or one piece of its drum kit."""

    midi: bytes
    """A MIDI file."""
    fine: str
    """Its fine label, or nothing."""


@dataclass(frozen=True)
class Instruments:
    """What there is to play an arrangement with."""

    programs: Mapping[str, tuple[int, ...]]
    """By class."""
    kits: tuple[int, ...]
    drum_notes: tuple[int, ...] | None = None
    """Notes of channel 10; none: all."""


GENERAL_MIDI = Instruments(PROGRAMS, DRUM_KITS)


@cache
def patches(config: str) -> Instruments:
    """Those that share no sample with what is trained with."""
    own = timidity.programs(config) - FROM_ELSEWHERE
    programs = {name: tuple(program for program in those if program in own) for name, those in PROGRAMS.items()}
    notes = tuple(note for note in range(128) if note not in TOMS)
    return Instruments({name: those for name, those in programs.items() if those}, DRUM_KITS[:1], notes)


def arranged(content: bytes, rng: random.Random, is_sung: bool = False, instruments: Instruments = GENERAL_MIDI) -> dict[str, Part]:
    """The parts of a score by class, and by piece of the drum kit; each channel's program is drawn anew. Nobody plays what is sung."""
    score = read(content)
    song = _shortened(score)
    if is_sung:
        song = singing.accompaniment(song, singing.melody_channel(score), singing.melody(score, LENGTH_S))
    pitches: dict[int, list[int]] = {}
    before: dict[int, int] = {}
    for message in (message for track in song.tracks for message in track):
        if message.type == "note_on" and message.velocity > 0:
            pitches.setdefault(message.channel, []).append(message.note)
        elif message.type == "program_change":
            before.setdefault(message.channel, message.program)
    family = {program: name for name, programs in PROGRAMS.items() for program in programs if name in instruments.programs}
    drawn: dict[int, tuple[str, int]] = {}
    for channel, heard in sorted(pitches.items()):
        if len(heard) < FEWEST_NOTES:
            continue
        if channel == DRUM_CHANNEL:
            drawn[channel] = ("drums", rng.choice(instruments.kits))
            continue
        name = rng.choice([name for name in instruments.programs if name != "bass"])
        if rng.random() < 0.4:
            name = family.get(before.get(channel, 0), name)
        if np.mean(heard) < LOW_PITCH and rng.random() < 0.8:
            name = "bass"
        drawn[channel] = (name, rng.choice(instruments.programs[name]))
    parts = {}
    for name in sorted({name for name, _ in drawn.values()}):
        programs = {channel: program for channel, (of, program) in drawn.items() if of == name}
        parts[name] = Part(_only(song, programs, instruments.drum_notes if name == "drums" else None), fine_label(name, programs.values()))
        if name == "drums":
            hit = pitches[DRUM_CHANNEL]
            parts |= {
                piece: Part(_only(song, programs, notes), "")
                for piece, notes in DRUM_PIECES.items() if sum(note in notes for note in hit) >= FEWEST_NOTES
            }
    return parts


def _shortened(song: mido.MidiFile) -> mido.MidiFile:
    """Without what begins after `LENGTH_S`."""
    ticks, seconds, tempo = 0, 0.0, 500_000
    for message in mido.merge_tracks(song.tracks):
        seconds += mido.tick2second(message.time, song.ticks_per_beat, tempo)
        if seconds > LENGTH_S:
            break
        ticks += message.time
        tempo = message.tempo if message.type == "set_tempo" else tempo
    short = mido.MidiFile(ticks_per_beat=song.ticks_per_beat, type=song.type)
    for track in song.tracks:
        kept, at, left = mido.MidiTrack(), 0, 0
        for message in track:
            at += message.time
            ends_note = message.type == "note_off" or (message.type == "note_on" and message.velocity == 0)
            if at <= ticks or ends_note:
                # Notes that still sound then end there.
                kept.append(message.copy(time=min(at, ticks) - left))
                left = min(at, ticks)
        short.tracks.append(kept)
    return short


def _only(song: mido.MidiFile, programs: dict[int, int], notes: tuple[int, ...] | None = None) -> bytes:
    """The channels of `programs` alone, played by these; of their notes only `notes`, where some are named."""
    part = mido.MidiFile(ticks_per_beat=song.ticks_per_beat, type=song.type)
    for track in song.tracks:
        kept, waited = mido.MidiTrack(), 0
        for message in track:
            waited += message.time
            if message.type == "program_change" or (hasattr(message, "channel") and message.channel not in programs):
                continue
            if notes is not None and hasattr(message, "note") and message.note not in notes:
                continue
            kept.append(message.copy(time=waited))
            waited = 0
        part.tracks.append(kept)
    for channel, program in programs.items():
        part.tracks[0].insert(0, mido.Message("program_change", channel=channel, program=program))
    file = io.BytesIO()
    part.save(file=file)
    return file.getvalue()


@cache
def soundfonts(split: Split) -> tuple[str, ...]:
    found = tuple(path for path in SPLIT_SOUNDFONTS[split] if Path(path).exists())
    if not found:
        raise CorpusError(f"no soundfont for the {split} split, expected one of {', '.join(SPLIT_SOUNDFONTS[split])}")
    return found[:1] if split == "test" else found


def rendered(content: Callable[[], bytes], name: str, seed: str, soundfont: str, is_sung: bool = False) -> np.ndarray:
    """What class `name` plays in the arrangement of `seed`; float32 `[sample]` at 48 kHz."""
    part = arranged(content(), random.Random(seed), is_sung, instruments_of(soundfont)).get(name)
    if part is None:
        raise Undecodable(f"{seed}: nobody plays {name}")
    player = timidity if soundfont == PATCHES else fluidsynth
    return player.played(part.midi, soundfont, seed, LENGTH_S, RENDER_LIMIT_S)


def instruments_of(soundfont: str) -> Instruments:
    return patches(soundfont) if soundfont == PATCHES else GENERAL_MIDI


def ambience(seed: str) -> np.ndarray:
    """Noise with a random slope and random bands, swelling slowly, at times in drops; float32 `[sample]` at 48 kHz."""
    rng = np.random.default_rng(list(seed.encode()))
    num_samples = round(LENGTH_S * TRACK_RATE_HZ)
    hz = np.fft.rfftfreq(num_samples, 1 / TRACK_RATE_HZ)
    shape_db = -rng.uniform(0, 9) * np.log2(np.maximum(hz, 40) / 40)
    for _ in range(rng.integers(0, 4)):
        centre, width = np.exp(rng.uniform(np.log(80), np.log(9_000))), rng.uniform(0.1, 0.8)
        shape_db += rng.uniform(3, 18) * np.exp(-0.5 * (np.log(np.maximum(hz, 1) / centre) / width) ** 2)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(num_samples)) * 10 ** (shape_db / 20), num_samples)
    seconds = np.arange(num_samples) / TRACK_RATE_HZ
    for _ in range(rng.integers(1, 4)):
        noise *= 1 + rng.uniform(0.2, 0.9) * np.sin(2 * np.pi * (rng.uniform(0.05, 1.5) * seconds + rng.random()))
    if rng.random() < 0.3:
        drops = (rng.random(num_samples) < rng.uniform(5, 60) / TRACK_RATE_HZ) * rng.standard_normal(num_samples)
        decay = np.exp(-np.arange(2400) / rng.uniform(30, 500)) * rng.standard_normal(2400)
        noise = 0.3 * noise / noise.std() + np.convolve(drops, decay)[:num_samples]
    return (0.1 * noise / max(float(noise.std()), 1e-9)).astype(np.float32)


def sung(content: Callable[[], bytes], singer: list[Path], seed: str) -> np.ndarray:
    """The melody of a score in a speaker's voice; float32 `[sample]` at 48 kHz."""
    speech = singing.some_speech(singer, random.Random(seed))
    return singing.sung(singing.melody(read(content()), LENGTH_S), speech, np.random.default_rng(list(seed.encode())))


@dataclass(frozen=True)
class Score:
    """What is played."""

    name: str
    split: Split
    licence: str
    content: Callable[[], bytes]
    """A MIDI file."""
    num_arrangements: int

    def played(self, arrangement: str, soundfont: str, seed: int, is_sung: bool = False) -> Iterator[Track]:
        """Every class of an arrangement, and the pieces of its drum kit, kind by class."""
        arrangement_seed = f"{seed}/{self.name}/{arrangement}"
        for kind, part in arranged(self.content(), random.Random(arrangement_seed), is_sung, instruments_of(soundfont)).items():
            yield Track(
                f"{self.name}/{arrangement}/{kind}", self.name.split("/")[0], kind, self.split, self.licence, 1.0,
                fingerprint(self.name, arrangement, kind, soundfont, seed, LENGTH_S),
                partial(rendered, self.content, kind, arrangement_seed, soundfont, is_sung), f"stems/{self.name}", part.fine,
            )

    def sung(self, arrangement: str, singers: dict[str, tuple[debian.Source, list[Path]]], seed: int) -> Track:
        """The melody, in the voice of one of `singers`."""
        arrangement_seed = f"{seed}/{self.name}/{arrangement}"
        singer = random.Random(arrangement_seed).choice(sorted(singers))
        source, paths = singers[singer]
        return Track(
            f"{self.name}/{arrangement}/{SINGING}", source.package, SINGING, self.split, f"{self.licence}; its voice {source.licence}", 1.0,
            fingerprint(self.name, arrangement, singer, file_fingerprint(paths), seed, LENGTH_S),
            partial(sung, self.content, paths, arrangement_seed), f"stems/{self.name}",
        )


def listed(packages: Path, seed: int) -> Iterator[Score]:
    """Every score; those that are kept for the test last."""
    scores = [
        (f"songs/{idx:03}", "CC0-1.0 (composed by rule)", partial(composed_song, f"{seed}/songs/{idx:03}"))
        for idx in range(1000, 1000 + NUM_SONGS)
    ]
    scores += [(name, licence, content) for name, licence, content, _, _ in listed_scores(packages, seed)]
    for name, licence, content in scores:
        split = drawn_split(f"stems/{name}", seed)
        yield Score(name, split, licence, cache(content), NUM_ARRANGEMENTS[split])
    for name, licence, content in kept_scores(seed):
        yield Score(name, "test", licence, cache(content), NUM_KEPT_ARRANGEMENTS)


def tracks(packages: Path, seed: int, with_singing: bool = True) -> Iterator[Track]:
    """Ambiences, every arrangement of every score, their melodies sung, and somebody who sings."""
    for idx in range(NUM_AMBIENCES):
        name = f"ambience/{idx:03}"
        yield Track(
            name, "ambience", "ambience", drawn_split(name, seed), "CC0-1.0 (noise by rule)", 1.0,
            fingerprint(name, seed, LENGTH_S), partial(ambience, f"{seed}/{name}"),
        )
    singers: dict[Split, dict[str, tuple[debian.Source, list[Path]]]] = {}
    scores = list(listed(packages, seed))
    if with_singing:
        try:
            everybody = debian.speakers(packages, excluded=())
        except CorpusError as error:
            raise CorpusError(f"{error}, or pass --no-singing") from error
        for name in sorted(everybody.keys() - debian.EXCLUDED_SPEAKERS):
            singers.setdefault(debian.split_of_speaker(name), {})[name] = everybody[name]
        if debian.SINGER in everybody:
            source, paths = everybody[debian.SINGER]
            yield Track(
                debian.SINGER, source.package, SINGING, "test", source.licence, 1.0,
                file_fingerprint(paths), partial(debian.speech_from, paths, f"{seed}/{debian.SINGER}"),
            )
    for score in scores:
        fonts = soundfonts(score.split)
        try:
            for arrangement in range(score.num_arrangements):
                yield from score.played(str(arrangement), fonts[arrangement % len(fonts)], seed)
            for arrangement in range(NUM_PATCHED[score.split] if timidity.is_there(PATCHES) else 0):
                yield from score.played(f"{PATCHED}{arrangement}", PATCHES, seed)
            is_sung = score.split in singers and singing.melody(read(score.content()), LENGTH_S)
            for arrangement in range(NUM_SUNG[score.split] if is_sung else 0):
                yield score.sung(f"{SUNG}{arrangement}", singers[score.split], seed)
                if score.split == "test":
                    yield from score.played(f"{SUNG}{arrangement}", fonts[arrangement % len(fonts)], seed, is_sung=True)
        except (OSError, ValueError, EOFError, KeyError, Undecodable):
            # A score that mido cannot read plays in `scores`, whole.
            continue

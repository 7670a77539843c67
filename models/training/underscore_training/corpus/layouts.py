"""A user's own recordings: plain folders, or MUSDB18, Slakh2100 and Divide-and-Remaster as they are published.

| Layout | What is expected | Split |
|---|---|---|
| speech folder | a folder per speaker, or a file per speaker | by a hash of the speaker |
| music folder | a file per piece, at any depth | by a hash of the piece |
| MUSDB18(-HQ) | `train/*/vocals.wav` and the three others, or `train/*.stem.mp4`; `test` alike | its own |
| Slakh2100 | `train|validation|test/Track*/mix.flac` (or `.wav`) | its own |
| DnR | `tr|cv|tt/*/speech.wav` and `music.wav` | its own |
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from .debian import speech_from
from .decode import AUDIO_SUFFIXES, PIECE_LIMIT_S, decode
from .errors import CorpusError
from .track import Kind, Split, Track, drawn_split, file_fingerprint, fingerprint

LICENCE = "the user's own"
MUSDB_ACCOMPANIMENT = ("drums", "bass", "other")
MUSDB_SPLITS: dict[str, Split | None] = {"train": None, "test": "test"}
"""By folder. The publisher has no validation split: a part of its training songs is drawn for it (`musdb_split`)."""
SLAKH_SPLITS: dict[str, Split] = {"train": "train", "validation": "valid", "test": "test"}
MUSDB_STEM_STREAMS = (1, 2, 3)
"""Streams of a `.stem.mp4` after the mixture: drums, bass, other; the fourth is the vocals."""


def audio_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CorpusError(f"{folder} is no folder")
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()]


def require(found: list, folder: Path, expected: str) -> None:
    """Refuses a folder in which nothing was found."""
    if not found:
        raise CorpusError(f"{folder} holds no audio: expected {expected}")


def own_fingerprint(paths: list[Path]) -> str:
    """By their times too: a user's recordings are changed in place."""
    return fingerprint(file_fingerprint(paths), *(path.stat().st_mtime_ns for path in paths))


def _piece(name: str, source: str, split: Split, path: Path) -> Track:
    make = partial(decode, path, PIECE_LIMIT_S)
    return Track(name, source, "music", split, LICENCE, 1.0, own_fingerprint([path]), make)


def _speaker(name: str, source: str, split: Split, paths: list[Path], seed: int) -> Track:
    make = partial(speech_from, paths, f"{seed}/{name}")
    return Track(name, source, "speech", split, LICENCE, 1.0, own_fingerprint(paths), make)


def speech_folder(folder: Path, seed: int) -> Iterator[Track]:
    """Each subfolder is a speaker; each file beside them too."""
    files = audio_files(folder)
    require(files, folder, "speech, a folder or a file per speaker")
    speakers: dict[str, list[Path]] = {}
    for path in files:
        relative = path.relative_to(folder)
        speakers.setdefault(relative.parts[0] if len(relative.parts) > 1 else relative.stem, []).append(path)
    for speaker, paths in sorted(speakers.items()):
        name = f"{folder.name}/{speaker}"
        yield _speaker(name, folder.name, drawn_split(name, seed), paths, seed)


def music_folder(folder: Path, seed: int) -> Iterator[Track]:
    """Each file is a piece."""
    files = audio_files(folder)
    require(files, folder, "music, a file per piece")
    for path in files:
        name = f"{folder.name}/{path.relative_to(folder)}"
        yield _piece(name, folder.name, drawn_split(name, seed), path)


def accompaniment(paths: list[Path]) -> np.ndarray:
    """Drums, bass and other of a MUSDB18 song, added; a `.stem.mp4` holds them as streams."""
    if len(paths) == 1:
        return decode(paths[0], PIECE_LIMIT_S, MUSDB_STEM_STREAMS)
    stems = [decode(path, PIECE_LIMIT_S, silence_allowed=True) for path in paths]
    length = min(stem.size for stem in stems)
    return np.sum([stem[:length] for stem in stems], axis=0)


def musdb_split(name: str, seed: int) -> Split:
    """Of a song that is published to be trained on."""
    return "valid" if drawn_split(name, seed) == "valid" else "train"


def musdb18(folder: Path, seed: int) -> Iterator[Track]:
    """The songs without their voices are music; a sung voice is neither dialogue nor background here."""
    found = 0
    for own, split in MUSDB_SPLITS.items():
        songs = [[song / f"{stem}.wav" for stem in MUSDB_ACCOMPANIMENT] for song in sorted((folder / own).glob("*/"))]
        songs += [[song] for song in sorted((folder / own).glob("*.stem.mp4"))]
        for paths in songs:
            if not all(path.exists() for path in paths):
                continue
            found += 1
            title = paths[0].parent.name if len(paths) > 1 else paths[0].name.removesuffix(".stem.mp4")
            name = f"musdb18/{title}"
            yield Track(
                name, "musdb18", "music", split or musdb_split(name, seed), LICENCE, 1.0, own_fingerprint(paths),
                partial(accompaniment, paths),
            )
    require([None] * found, folder, "MUSDB18's train/ and test/ with song folders or .stem.mp4 files")


def slakh(folder: Path, seed: int) -> Iterator[Track]:
    del seed
    found = 0
    for own, split in SLAKH_SPLITS.items():
        for song in sorted((folder / own).glob("Track*/")):
            for path in (song / "mix.flac", song / "mix.wav"):
                if path.exists():
                    found += 1
                    yield _piece(f"slakh/{song.name}", "slakh", split, path)
                    break
    require([None] * found, folder, "Slakh2100's train/, validation/ and test/ with Track*/mix.flac")


def divide_and_remaster(folder: Path, seed: int) -> Iterator[Track]:
    found = 0
    kinds: tuple[Kind, ...] = ("speech", "music")
    for own, split in (("tr", "train"), ("cv", "valid"), ("tt", "test")):
        for clip in sorted((folder / own).glob("*/")):
            for kind in kinds:
                path = clip / f"{kind}.wav"
                if not path.exists():
                    continue
                found += 1
                name = f"dnr/{own}/{clip.name}/{kind}"
                yield (
                    _speaker(name, "dnr", split, [path], seed) if kind == "speech" else _piece(name, "dnr", split, path)
                )
    require([None] * found, folder, "DnR's tr/, cv/ and tt/ with speech.wav and music.wav")

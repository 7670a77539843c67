"""A user's own songs apart, by class: MUSDB18 and Slakh2100 as they are published, beside or instead of rendered scores (see `stems`).

| Layout | What is expected | Classes |
|---|---|---|
| Slakh2100 | `train|validation|test/Track*/metadata.yaml` and `stems/S*.flac` (or `.wav`) | of General MIDI's programs, and `drums` |
| MUSDB18(-HQ) | `train|test/*/drums.wav`, `bass.wav` and `vocals.wav`, or `*.stem.mp4` | `drums`, `bass`, `singing`; `other` is of no class |

All that one class plays in a song is one track, from the song's beginning on, so that its tracks can be mixed again.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from .decode import AUDIO_SUFFIXES, PIECE_LIMIT_S, SILENT_PEAK, Undecodable, decode
from .errors import CorpusError
from .layouts import LICENCE, MUSDB_SPLITS, SLAKH_SPLITS, musdb_split, own_fingerprint, require
from .stems import PROGRAMS, SINGING, SUNG, fine_label
from .track import Split, Track

MUSDB_PARTS: dict[str, tuple[str, int]] = {"drums": ("drums", 1), "bass": ("bass", 2), SINGING: ("vocals", 4)}
"""By class: the name of its file, and its stream in a `.stem.mp4`, after the mixture."""
FAMILIES = {program: name for name, programs in PROGRAMS.items() for program in programs}


def added(paths: list[Path], streams: tuple[int, ...] = ()) -> np.ndarray:
    """What is in all of the files together, float32 `[sample]` at 48 kHz; the longest one says how long."""
    parts = [decode(path, PIECE_LIMIT_S, streams, silence_allowed=True) for path in paths]
    total = np.zeros(max(part.size for part in parts), np.float32)
    for part in parts:
        total[: part.size] += part
    if float(np.abs(total).max()) < SILENT_PEAK:
        raise Undecodable(f"{paths[0]}: silent")
    return total


def _part(
    song: str, arrangement: str, kind: str, split: Split, paths: list[Path], streams: tuple[int, ...] = (), fine: str = ""
) -> Track:
    source, title = song.split("/", 1)
    make = partial(added, paths, streams)
    return Track(f"{song}/{arrangement}/{kind}", source, kind, split, LICENCE, 1.0, own_fingerprint(paths), make, f"stems/{source}/{title}", fine)


def classes_of(metadata: Path) -> dict[str, dict[str, int]]:
    """The stems of a Slakh song by the class that plays them, with the program of each; -1 of drums, whose kits are not named."""
    try:
        listed = yaml.safe_load(metadata.read_text())["stems"].items()
        found: dict[str, dict[str, int]] = {}
        for stem, about in listed:
            kind = "drums" if about["is_drum"] else FAMILIES.get(about["program_num"])
            if kind:
                found.setdefault(kind, {})[stem] = -1 if about["is_drum"] else about["program_num"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"{metadata}: expected Slakh2100's `stems`, each with `is_drum` and `program_num` ({error!r})") from error
    return found


def slakh(folder: Path) -> Iterator[Track]:
    found = 0
    for own, split in SLAKH_SPLITS.items():
        for song in sorted((folder / own).glob("Track*/")):
            if not (song / "metadata.yaml").exists():
                continue
            for kind, stems in sorted(classes_of(song / "metadata.yaml").items()):
                # Not every stem that is listed was rendered; of one that is there twice, the first is as good.
                files = {
                    stem: [path for path in sorted((song / "stems").glob(f"{stem}.*")) if path.suffix in AUDIO_SUFFIXES] for stem in sorted(stems)
                }
                there = {stem: paths[0] for stem, paths in files.items() if paths}
                if there:
                    found += 1
                    fine = fine_label(kind, (stems[stem] for stem in there))
                    yield _part(f"slakh/{song.name}", "0", kind, split, list(there.values()), fine=fine)
    require([None] * found, folder, "Slakh2100's train/, validation/ and test/ with Track*/metadata.yaml and stems/")


def musdb18(folder: Path, seed: int) -> Iterator[Track]:
    found = 0
    for own, split in MUSDB_SPLITS.items():
        songs = [(song.name, song, None) for song in sorted((folder / own).glob("*/"))]
        songs += [(path.name.removesuffix(".stem.mp4"), path.parent, path) for path in sorted((folder / own).glob("*.stem.mp4"))]
        for title, place, container in songs:
            song = f"musdb18/{title}"
            for kind, (stem, stream) in MUSDB_PARTS.items():
                path = container or place / f"{stem}.wav"
                if path.exists():
                    found += 1
                    yield _part(song, f"{SUNG}0", kind, split or musdb_split(song, seed), [path], (stream,) if container else ())
    require([None] * found, folder, "MUSDB18's train/ and test/ with song folders or .stem.mp4 files")

"""The unit of the corpus: all that one speaker says, or one piece of music."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

Kind = Literal[
    "speech", "music", "piano", "mallets", "organ", "guitar", "bass", "strings", "choir", "brass", "reed", "pipe", "lead", "pad",
    "drums", "kick", "snare", "cymbals", "ambience", "singing",
]
"""Speakers, whole pieces, and what single classes of instruments, or pieces of a drum kit, play or sing in them (see `stems`)."""
Split = Literal["train", "valid", "test"]

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
KINDS: tuple[Kind, ...] = get_args(Kind)
TRACK_RATE_HZ = 48_000
VALID_FRACTION = 0.06
TEST_FRACTION = 0.12


@dataclass(frozen=True)
class Track:
    """One speaker or piece, and how its sound is made. It is in one split only."""

    name: str
    """Unique in the corpus: `source/speaker` or `source/piece`."""
    source: str
    kind: Kind
    split: Split
    licence: str
    weight: float
    """How often it is drawn, relative to a real recording of the same length."""
    fingerprint: str
    """Changes with the recordings that `make` reads, so that a resumed build knows what is stale. A change of how
    they are made into a track does not show in it: build into another folder then."""
    make: Callable[[], np.ndarray]
    """Float32 mono `[sample]` at 48 kHz."""
    group: str = ""
    """Tracks of one group are variants of one piece: in one split, and one piece in statistics. Empty: the track alone."""
    fine: str = ""
    """The fine label within its kind (`stems.FINE`), where all that plays is of one."""


def drawn_split(group: str, seed: int) -> Split:
    """The split of a group that must stay together, by a hash of its name: stable when others come or go."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{group}".encode()).digest()[:8], "little") / 2**64
    if draw < TEST_FRACTION:
        return "test"
    return "valid" if draw < TEST_FRACTION + VALID_FRACTION else "train"


def fingerprint(*parts: object) -> str:
    """Of all that decides how a track sounds."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def file_fingerprint(paths: list[Path]) -> str:
    """Of files, by their names and sizes."""
    return fingerprint(*((path.name, path.stat().st_size) for path in paths))

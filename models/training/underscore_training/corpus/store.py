"""The corpus on disk: one Opus file per track with a note beside it, and arrays made from them.

`tracks/{split}/{kind}/{slug}.opus` is 48 kHz mono; `{slug}.json` is its `Row`. Both are
written under a draft name and renamed, the note last, so that an interrupted build leaves
only whole tracks, and the next one goes on from there. `arrays/` is a cache of
decoded tracks, `int16` at the rate that a model wants.
"""

import hashlib
import json
import os
import re
import tarfile
from dataclasses import asdict, dataclass, replace
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

from .errors import CorpusError
from .track import KINDS, SPLITS, TEST_FRACTION, TRACK_RATE_HZ, VALID_FRACTION, Track

COMPRESSION = 0.72
"""libsndfile's scale from 256 kbit/s at 0 to 6 at 1: about 70 kbit/s for full-band music."""
CHUNK_BYTES = 58_000_000
"""Chunks stay below 60 MB, so that each can be carried through a narrow door."""
PEAK = 0.95
FULL_BAND_HZ = (9_000, 14_000)
FULL_BAND_RATIO = 10 ** (-48 / 10)
"""A track counts as full band when this much of its energy lies in `FULL_BAND_HZ`."""
FULL_BAND_STEP = 31_337
BLOCK = 1 << 19


@dataclass(frozen=True)
class Row:
    """What is known of a track."""

    name: str
    source: str
    kind: str
    split: str
    licence: str
    weight: float
    fingerprint: str
    num_samples: int
    """At 48 kHz."""
    is_full_band: bool
    group: str = ""
    fine: str = ""
    """See `Track`, both."""


def slug(name: str) -> str:
    """A file name that is readable and, by its hash, unique."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:48]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def is_full_band(signal: np.ndarray) -> bool:
    """Whether `[sample]` at 48 kHz has any sound to speak of between 9 and 14 kHz."""
    power = np.zeros(1025)
    # A step that is no round number of seconds: sounds that come in a steady beat are not always missed.
    for start in range(0, max(signal.size - 2048, 1), FULL_BAND_STEP):
        frame = signal[start : start + 2048]
        power += np.abs(np.fft.rfft(frame * np.hanning(frame.size), 2048)) ** 2
    low, high = (round(hz / TRACK_RATE_HZ * 2048) for hz in FULL_BAND_HZ)
    return bool(power[low:high].sum() > FULL_BAND_RATIO * power.sum() > 0)


def track_folder(corpus: Path, split: str, kind: str) -> Path:
    return corpus / "tracks" / split / kind


def read_note(note: Path) -> Row:
    try:
        return Row(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CorpusError(f"{note}: cannot be read ({error}); delete it and run `corpus` again") from error


def refresh(corpus: Path, track: Track) -> bool:
    """Bring the note of a stored track up to date; false where the track is not there, whole and of the same recordings."""
    note = track_folder(corpus, track.split, track.kind) / f"{slug(track.name)}.json"
    if not note.exists():
        return False
    row = read_note(note)
    if row.fingerprint != track.fingerprint:
        return False
    now = replace(row, source=track.source, licence=track.licence, weight=track.weight, group=track.group, fine=track.fine)
    if now != row:
        write_note(note, now)
    return True


def write_note(note: Path, row: Row) -> None:
    draft = note.with_suffix(".draft")
    try:
        draft.write_text(json.dumps(asdict(row), indent=1))
        draft.replace(note)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CorpusError(f"{note}: cannot be written ({error}); what is complete stays, run the command again") from error


def write_track(corpus: Path, track: Track, signal: np.ndarray) -> Row:
    """Encode `[sample]` at 48 kHz and note what it is."""
    folder = track_folder(corpus, track.split, track.kind)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sound = folder / f"{slug(track.name)}.opus"
        draft = sound.with_suffix(".draft")
        signal = signal * min(1.0, PEAK / max(float(np.abs(signal).max()), 1e-9))
        with soundfile.SoundFile(
            draft, "w", TRACK_RATE_HZ, 1, format="OGG", subtype="OPUS", compression_level=COMPRESSION
        ) as file:
            # In one piece libsndfile's Opus encoder overflows its stack.
            for start in range(0, signal.size, BLOCK):
                file.write(signal[start : start + BLOCK])
        draft.replace(sound)
        row = Row(
            track.name, track.source, track.kind, track.split, track.licence, track.weight, track.fingerprint,
            signal.size, is_full_band(signal), track.group, track.fine,
        )
        write_note(sound.with_suffix(".json"), row)
    except (OSError, soundfile.LibsndfileError) as error:
        draft.unlink(missing_ok=True)
        raise CorpusError(f"{folder}: cannot be written ({error}); what is complete stays, run the command again") from error
    return row


def rows(corpus: Path, split: str, kind: str) -> list[Row]:
    """The tracks of a split and kind by name."""
    found = [read_note(note) for note in track_folder(corpus, split, kind).glob("*.json")]
    return sorted(found, key=lambda row: row.name)


def read_track(corpus: Path, row: Row, sample_rate_hz: int) -> np.ndarray:
    """Int16 `[sample]` of a track at the rate asked for."""
    path = track_folder(corpus, row.split, row.kind) / f"{slug(row.name)}.opus"
    try:
        signal, rate_hz = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"{path}: cannot be read ({error}); delete its .json and run `corpus` again") from error
    if rate_hz != sample_rate_hz:
        common = gcd(rate_hz, sample_rate_hz)
        signal = resample_poly(signal, sample_rate_hz // common, rate_hz // common)
    return (np.clip(signal, -1, 1) * 32767).astype(np.int16)


def load_arrays(corpus: Path, split: str, kind: str, sample_rate_hz: int) -> list[tuple[Row, np.ndarray]]:
    """All tracks of a split and kind, int16 at the rate asked for, mapped from the cache in `arrays/`."""
    listed = rows(corpus, split, kind)
    if not listed:
        num_others = sum(len(rows(corpus, other, kind)) for other in SPLITS)
        if num_others == 0:
            raise CorpusError(f"{corpus} holds no {kind}: run `python -m underscore_training.corpus` first")
        raise CorpusError(
            f"{corpus} has no {kind} in its {split} split, {num_others} in the others. Splits are drawn by name ({VALID_FRACTION:.0%} "
            f"valid, {TEST_FRACTION:.0%} test), and so few may leave one empty: add recordings, or build with another --seed"
        )
    folder = corpus / "arrays" / str(sample_rate_hz)
    missing = [row for row in listed if not cached(folder, row).exists()]
    for row in tqdm(missing, desc=f"{split} {kind} at {sample_rate_hz} Hz", disable=not missing):
        folder.mkdir(parents=True, exist_ok=True)
        draft = cached(folder, row).with_suffix(f".draft{os.getpid()}")
        try:
            read_track(corpus, row, sample_rate_hz).tofile(draft)
            draft.replace(cached(folder, row))
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise CorpusError(f"{folder}: cannot be written ({error})") from error
    return [(row, np.memmap(cached(folder, row), np.int16, "r")) for row in listed]


def cached(folder: Path, row: Row) -> Path:
    return folder / f"{slug(row.name)}-{row.fingerprint}.i16"


def remove_track(corpus: Path, note: Path) -> None:
    """A stored track by its note: its sound, and the arrays that were made from it at any rate. The note goes first, so that what an
    interruption leaves is no track."""
    try:
        note.unlink()
        note.with_suffix(".opus").unlink(missing_ok=True)
        for array in (corpus / "arrays").glob(f"*/{note.stem}-*.i16"):
            array.unlink(missing_ok=True)
    except OSError as error:
        raise CorpusError(f"{note}: cannot be removed ({error}); run the command again") from error


def pack(corpus: Path, out: Path, splits: tuple[str, ...] = SPLITS) -> list[Path]:
    """The tracks as plain tar archives `chunk-000.tar`... of less than 60 MB each, to be unpacked into one folder."""
    files = [
        file
        for split in splits
        for kind in KINDS
        for file in sorted(track_folder(corpus, split, kind).glob("*"))
        if file.suffix in (".opus", ".json")
    ]
    chunks: list[list[Path]] = [[]]
    size = 0
    for file in files:
        # A tar entry has a header of 512 bytes and is rounded up to 512.
        cost = file.stat().st_size + 1024
        if size + cost > CHUNK_BYTES and chunks[-1]:
            chunks.append([])
            size = 0
        chunks[-1].append(file)
        size += cost
    paths = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for idx, chunk in enumerate(chunks):
            path = out / f"chunk-{idx:03}.tar"
            draft = path.with_suffix(".draft")
            with tarfile.open(draft, "w") as archive:
                for file in chunk:
                    archive.add(file, file.relative_to(corpus))
            draft.replace(path)
            paths.append(path)
        # Those of a larger corpus would bring tracks back that are no longer in this one.
        for path in out.glob("chunk-*.tar"):
            if path not in paths:
                path.unlink()
    except OSError as error:
        raise CorpusError(f"{out}: chunks cannot be written ({error}): make room, and pack again") from error
    return paths

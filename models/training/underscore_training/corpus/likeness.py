"""Which samples of instruments are those of others, by whatever name: `python -m underscore_training.corpus.likeness OF --beside SOUNDFONT ...`.

A soundfont that the test's scores are played with says nothing of new instruments where its samples are those of the training's. Of each of its samples the
loudest twelfth of a second of the beginning is laid along every sample of the others: the highest correlation is 1 where it was copied, and above 0.9 by
chance where both are near a sine. Resampled copies are not found.
"""

import argparse
import io
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import fft

from .errors import CorpusError

STRETCH = 4096
"""Samples that are looked for."""
LENGTH = 1 << 15
"""Samples of the others in which they are, from their beginning on."""
STARTS = (0, 500, 1500, 3000)
SILENT = 100.0
"""Mean square of 16 bits below which there is nothing to compare."""
ALIKE = 0.95
BATCH = 128
OGG = 0x10
"""Bit of a sample's type in a compressed soundfont."""


@dataclass(frozen=True)
class Sample:
    name: str
    values: np.ndarray
    """Float32 `[sample]`, of 16 bits."""


def samples(path: Path) -> list[Sample]:
    """Of a soundfont (SF2, SF3), or of all patches (GF1) in a folder."""
    try:
        return [sample for patch in sorted(path.rglob("*.pat")) for sample in _of_patch(patch)] if path.is_dir() else list(_of_soundfont(path))
    except (OSError, ValueError, struct.error) as error:
        raise CorpusError(f"{path}: expected a soundfont, or a folder of patches ({error})") from error


def _of_patch(path: Path) -> Iterator[Sample]:
    """Header of 129 bytes, instrument of 63, layer of 47, then samples of 96 bytes and their values."""
    content = path.read_bytes()
    at = 129 + 63 + 47
    for number in range(content[129 + 63 + 6]):
        (size,), mode = struct.unpack("<I", content[at + 8 : at + 12]), content[at + 55]
        values = content[at + 96 : at + 96 + size]
        found = np.frombuffer(values[: size // 2 * 2], "<i2") if mode & 1 else np.frombuffer(values, np.int8).astype(np.int16) * 256
        # Unsigned ones are the same but for the highest bit.
        found = found ^ np.int16(-32768) if mode & 2 else found
        yield Sample(f"{path.stem}:{number}", found.astype(np.float32))
        at += 96 + size


def _of_soundfont(path: Path) -> Iterator[Sample]:
    content = path.read_bytes()
    chunk = {}
    for name in (b"smpl", b"shdr"):
        at = content.index(name)
        (size,) = struct.unpack("<I", content[at + 4 : at + 8])
        chunk[name] = content[at + 8 : at + 8 + size]
    for at in range(0, len(chunk[b"shdr"]) - 46, 46):
        header = chunk[b"shdr"][at : at + 46]
        name = header[:20].split(b"\0")[0].decode("latin1")
        begin, end = struct.unpack("<2I", header[20:28])
        (kind,) = struct.unpack("<H", header[44:46])
        if kind & OGG:
            import soundfile

            values = soundfile.read(io.BytesIO(chunk[b"smpl"][begin:end]), dtype="float32")[0] * 32768
        else:
            values = np.frombuffer(chunk[b"smpl"][2 * begin : 2 * end], "<i2").astype(np.float32)
        yield Sample(name, values)


class Shelf:
    """Samples to look in."""

    def __init__(self, found: list[Sample]):
        self.names, spectra, norms = [], [], []
        for sample in found:
            values = sample.values[: LENGTH - STRETCH]
            if values.size < STRETCH:
                continue
            values = values - values.mean()
            power = np.concatenate([[0.0], np.cumsum(np.square(values, dtype=np.float64))])
            norm = np.full(LENGTH, np.inf)
            num_places = values.size - STRETCH + 1
            norm[:num_places] = np.sqrt(np.maximum(power[STRETCH:] - power[:num_places], 0.25 * SILENT * STRETCH))
            self.names.append(sample.name)
            spectra.append(fft.rfft(values, LENGTH).astype(np.complex64))
            norms.append(norm.astype(np.float32))
        self.spectra, self.norms = np.array(spectra), np.array(norms)

    def best(self, stretch: np.ndarray) -> tuple[float, str]:
        """The highest correlation with a stretch of norm 1, and with which sample."""
        sought = np.conj(fft.rfft(stretch, LENGTH).astype(np.complex64))
        best, name = 0.0, ""
        for at in range(0, len(self.names), BATCH):
            found = np.abs(fft.irfft(self.spectra[at : at + BATCH] * sought, axis=1) / self.norms[at : at + BATCH]).max(axis=1)
            if (highest := float(found.max())) > best:
                best, name = highest, self.names[at + int(found.argmax())]
        return best, name


def likeness(own: list[Sample], others: dict[str, Shelf]) -> list[tuple[float, str, str]]:
    """Highest correlation, own sample, and which of which other it is with, the most alike first."""
    rows = []
    for sample in own:
        values = sample.values - sample.values.mean() if sample.values.size else sample.values
        stretches = [values[start : start + STRETCH] for start in STARTS if start + STRETCH <= values.size]
        loudest = max(stretches, key=lambda stretch: float(np.square(stretch).sum()), default=None)
        if loudest is None or (power := float(np.square(loudest).sum())) < SILENT * STRETCH:
            continue
        best = max((*shelf.best(loudest / np.sqrt(power)), of) for of, shelf in others.items())
        rows.append((best[0], sample.name, f"{best[2]}: {best[1]}"))
    return sorted(rows, reverse=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m underscore_training.corpus.likeness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("own", type=Path, metavar="OF", help="a soundfont, or a folder of patches")
    parser.add_argument("--beside", type=Path, nargs="+", required=True, metavar="SOUNDFONT", help="what its samples may be of")
    parser.add_argument("--all", action="store_true", help="list all of its samples, not the alike ones alone")
    args = parser.parse_args(argv)
    try:
        rows = likeness(samples(args.own), {path.name: Shelf(samples(path)) for path in args.beside})
    except CorpusError as error:
        sys.exit(f"error: {error}")
    alike = [row for row in rows if row[0] > ALIKE]
    for correlation, name, other in rows if args.all else alike:
        print(f"{correlation:.3f} {name}  {other}")
    print(f"{len(alike)} of {len(rows)} samples correlate by more than {ALIKE}")


if __name__ == "__main__":
    main()

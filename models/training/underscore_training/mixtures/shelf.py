"""All recordings of one kind in one split, and stretches drawn from them."""

from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..corpus.errors import CorpusError
from ..corpus.store import load_arrays

SILENT_RMS = 1e-3
TRIES = 30
PARTS_OF = "stems/"
"""What the name of a piece begins with whose recording is one of its parts."""


@dataclass(frozen=True)
class Recording:
    """One speaker or piece."""

    name: str
    piece: str
    """Its name, or that of the piece that it is a variant of."""
    source: str
    is_full_band: bool
    """Whether there is sound above 8 kHz in it."""
    samples: np.ndarray
    """Int16 `[sample]`."""
    fine: str = ""
    """Its fine label within its kind, if it has one."""


@dataclass(frozen=True)
class Drawn:
    """A stretch of a recording."""

    recording: Recording
    samples: np.ndarray
    """Float32 `[sample]`, RMS 1."""
    start: int = 0
    """Sample of the recording that it begins with."""

    def overlaps(self, start: int, num_samples: int) -> bool:
        """Whether a stretch of the same recording shares any of its samples."""
        return start < self.start + self.samples.size and self.start < start + num_samples


class Shelf:
    """The recordings of `kind` in `split`, at `sample_rate_hz`."""

    def __init__(self, corpus: Path, split: str, kind: str, sample_rate_hz: int):
        loaded = load_arrays(corpus, split, kind, sample_rate_hz)
        self.recordings = [Recording(row.name, row.group or row.name, row.source, row.is_full_band, samples, row.fine) for row, samples in loaded]
        # The square root lets small voices be heard without repeating them endlessly.
        odds = np.array([row.weight * np.sqrt(samples.size) for row, samples in loaded])
        self.odds = odds / odds.sum()

    def only(self, names: Collection[str]) -> "Shelf":
        """Its recordings of these names, of which it has one at least."""
        places = [place for place, recording in enumerate(self.recordings) if recording.name in names]
        found = copy(self)
        found.recordings = [self.recordings[place] for place in places]
        found.odds = self.odds[places] / self.odds[places].sum()
        return found

    def draw(self, rng: np.random.Generator, num_samples: int, other_than: str | None = None) -> Drawn:
        """A stretch of a random recording that is not silent, of another piece than `other_than`."""
        for _ in range(TRIES):
            recording = self.recordings[rng.choice(len(self.recordings), p=self.odds)]
            if recording.piece == other_than:
                continue
            drawn = self._cut(recording, rng, num_samples)
            if drawn is not None:
                return drawn
        raise CorpusError(f"{TRIES} stretches in a row are silent: the corpus is not usable")

    def stretch(self, recording: Recording, rng: np.random.Generator, num_samples: int, apart_from: Drawn | None = None) -> Drawn:
        """A stretch of a given recording, which shares nothing with another one of it."""
        for _ in range(TRIES):
            drawn = self._cut(recording, rng, num_samples)
            if drawn is not None and (apart_from is None or not apart_from.overlaps(drawn.start, num_samples)):
                return drawn
        raise CorpusError(f"{recording.name}: {TRIES} stretches in a row are silent{' or overlap' if apart_from else ''}")

    @staticmethod
    def _cut(recording: Recording, rng: np.random.Generator, num_samples: int) -> Drawn | None:
        """With RMS 1, or nothing when it is silent; a short recording is laid into silence, and begins before its first sample then."""
        surplus = recording.samples.size - num_samples
        if surplus >= 0:
            start = int(rng.integers(surplus + 1))
            found = _at_unit_rms(recording.samples[start : start + num_samples])
        else:
            found = np.zeros(num_samples, np.int16)
            start = -int(rng.integers(-surplus + 1))
            found[-start : recording.samples.size - start] = recording.samples
            found = _at_unit_rms(found)
        return None if found is None else Drawn(recording, found, start)


def _at_unit_rms(samples: np.ndarray) -> np.ndarray | None:
    """Int16 -> float32, nothing where they are silent."""
    cut = np.asarray(samples).astype(np.float32) / 32768
    rms = float(np.sqrt(np.mean(cut**2)))
    return cut / rms if rms > SILENT_RMS else None


Score = Mapping[str, Recording]
"""Parts of one arrangement of a score, by class: they lie at the same time and play together."""


def scores_in_parts(shelves: Mapping[str, Shelf]) -> dict[str, Score]:
    """By the name of the arrangement, all of which there is any part."""
    found: dict[str, dict[str, Recording]] = {}
    for kind, shelf in shelves.items():
        for recording in shelf.recordings:
            if recording.piece.startswith(PARTS_OF):
                found.setdefault(recording.name.rsplit("/", 1)[0], {})[kind] = recording
    return found


def played_at(score: Score, start: int, num_samples: int) -> dict[str, np.ndarray]:
    """What of its parts plays in a stretch, by class: float32 `[num_samples]`, RMS 1."""
    cuts = {
        kind: _at_unit_rms(part.samples[start : start + num_samples]) for kind, part in score.items() if start + num_samples <= part.samples.size
    }
    return {kind: cut for kind, cut in cuts.items() if cut is not None}

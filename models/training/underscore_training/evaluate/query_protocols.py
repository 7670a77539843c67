"""What an embedding tells of a sound, by the further protocols of Lee, Choi and Lee (ISMIR 2019), on recordings that it was never asked for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, zip_longest

import numpy as np
import torch
from scipy.stats import spearmanr

from ..corpus.errors import CorpusError
from ..mixtures import examples
from ..mixtures.asked import query_samples
from ..mixtures.recipe import at_unit_rms
from ..mixtures.shelf import Shelf
from ..nets.asked import AskedCRN
from .metrics import sdr_db
from .statistics import Interval, tail

SEED = 37
CLIP_S = 6.0
EXAMPLES_PER_RECORDING = 2
NUM_NEIGHBOURS = 5
NUM_DRAWS = 1000
MOST_DRAWS = 20
"""For each clip that is wanted: where parts hardly play, or are too short for an example apart from what is asked for, there are fewer."""
COARSE = {"winds": ("brass", "reed", "pipe"), "keys": ("piano", "organ"), "synths": ("lead", "pad"), "sustained": ("strings", "choir")}
"""Coarse classes of fine ones."""


@dataclass(frozen=True)
class Sample:
    """An example of the test split in the space."""

    kind: str
    piece: str
    embedding: torch.Tensor


def samples(net: AskedCRN, by_class: dict[str, Shelf]) -> list[Sample]:
    """Some stretches of every recording."""
    found, length = [], query_samples(net.sample_rate_hz)
    for kind, shelf in by_class.items():
        rng = np.random.default_rng(SEED)
        for recording in shelf.recordings:
            for _ in range(EXAMPLES_PER_RECORDING):
                try:
                    stretch = shelf.stretch(recording, rng, length).samples
                except CorpusError:
                    break
                found.append(Sample(kind, recording.piece, examples.embedding(net, stretch)))
    return found


def neighbours_of_the_class(found: list[Sample]) -> dict[str, float]:
    """By class, which share of the class' examples in other pieces is among an example's nearest neighbours there (by cosine), of
    `NUM_NEIGHBOURS` or as many as there are; classes of one piece are left out."""
    points = torch.nn.functional.normalize(torch.stack([sample.embedding for sample in found]), dim=1)
    cosines = points @ points.T
    shares: dict[str, list[float]] = {}
    for idx, sample in enumerate(found):
        others = [other for other in cosines[idx].argsort(descending=True).tolist() if found[other].piece != sample.piece]
        most = min(NUM_NEIGHBOURS, sum(found[other].kind == sample.kind for other in others))
        if most > 0:
            of_class = sum(found[other].kind == sample.kind for other in others[:NUM_NEIGHBOURS])
            shares.setdefault(sample.kind, []).append(of_class / most)
    return {kind: float(np.mean(values)) for kind, values in shares.items()}


@torch.no_grad()
def separated(net: AskedCRN, mixture: np.ndarray, embedding: torch.Tensor) -> np.ndarray:
    return net.separate(torch.from_numpy(mixture)[None], embedding[None])[0].numpy()


def pairs(shelf: Shelf, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Recordings of different pieces, all pairs in random order: one of each two pieces first, then a second one of each."""
    of_pieces: dict[frozenset[str], list[tuple[int, int]]] = {}
    listed = list(combinations(range(len(shelf.recordings)), 2))
    for place in rng.permutation(len(listed)):
        first, second = listed[place]
        both = frozenset((shelf.recordings[first].piece, shelf.recordings[second].piece))
        if len(both) == 2:
            of_pieces.setdefault(both, []).append((first, second))
    for in_turn in zip_longest(*of_pieces.values()):
        yield from (pair for pair in in_turn if pair is not None)


def pulls(net: AskedCRN, by_class: dict[str, Shelf], most: int) -> list[dict]:
    """Two recordings of one class, equally loud, each asked for by another stretch of itself: SDR of what was asked for, and of the
    other, dB, and the piece that was asked for. A class alone would find as much of either. `most` pairs of a class."""
    rows, length = [], round(CLIP_S * net.sample_rate_hz)
    for kind, shelf in by_class.items():
        rng = np.random.default_rng(SEED)
        num_pairs = 0
        for places in pairs(shelf, rng):
            if num_pairs == most:
                break
            recordings = [shelf.recordings[place] for place in places]
            try:
                drawn = [shelf.stretch(recording, rng, length) for recording in recordings]
                asked = [shelf.stretch(part.recording, rng, query_samples(net.sample_rate_hz), part).samples for part in drawn]
            except CorpusError:
                # A part that hardly plays.
                continue
            num_pairs += 1
            parts = [part.samples for part in drawn]
            mixture = (0.05 * (parts[0] + parts[1])).astype(np.float32)
            for idx in range(2):
                found = separated(net, mixture, examples.embedding(net, asked[idx]))
                rows.append({
                    "class": kind, "piece": recordings[idx].piece,
                    "asked": sdr_db(0.05 * parts[idx], found), "other": sdr_db(0.05 * parts[1 - idx], found),
                })
    return rows


def coarse_against_fine(net: AskedCRN, by_class: dict[str, Shelf], means: dict[str, torch.Tensor], most: int) -> list[dict]:
    """A fine class over one that is not of its coarse class, equally loud, asked for by the mean of either: SDR, dB."""
    rows, length = [], round(CLIP_S * net.sample_rate_hz)
    for coarse, kinds in COARSE.items():
        kinds = [kind for kind in kinds if kind in by_class and kind in means]
        if not kinds:
            continue
        mean = torch.stack([means[kind] for kind in kinds]).mean(dim=0)
        others = [kind for kind in by_class if kind in means and kind not in kinds]
        for kind in kinds:
            rng = np.random.default_rng(SEED)
            for _ in range(most):
                part, rest = by_class[kind].draw(rng, length).samples, by_class[str(rng.choice(others))].draw(rng, length).samples
                mixture = (0.05 * (at_unit_rms(part) + at_unit_rms(rest))).astype(np.float32)
                row = {"class": kind, "coarse class": coarse}
                for name, point in (("fine", means[kind]), ("coarse", mean)):
                    row[name] = sdr_db(0.05 * part, separated(net, mixture, point))
                rows.append(row)
    return rows


def unheard(net: AskedCRN, shelf: Shelf, by_class: dict[str, Shelf], most: int) -> list[dict]:
    """A sound of a class that was never asked for in training, over two of the test classes, all equally loud, asked for by another stretch of itself
    (`GQ`) and by another recording of its class (`RQ`): SDR above the mixture's, dB."""
    rows, length = [], round(CLIP_S * net.sample_rate_hz)
    rng = np.random.default_rng(SEED)
    for _ in range(MOST_DRAWS * most):
        if len(rows) == most:
            break
        drawn = shelf.draw(rng, length)
        others = [by_class[str(kind)].draw(rng, length).samples for kind in rng.choice(sorted(by_class), 2, replace=False)]
        part = (0.05 * drawn.samples).astype(np.float32)
        mixture = (part + 0.05 * np.sum(others, axis=0)).astype(np.float32)
        others_of_class = [recording for recording in shelf.recordings if recording.piece != drawn.recording.piece]
        asked = {"GQ": drawn.recording}
        if others_of_class:
            asked["RQ"] = others_of_class[rng.integers(len(others_of_class))]
        row = {}
        for name, recording in asked.items():
            try:
                apart_from = drawn if name == "GQ" else None
                query = shelf.stretch(recording, rng, query_samples(net.sample_rate_hz), apart_from).samples
            except CorpusError:
                # A part that hardly plays.
                break
            row[name] = sdr_db(part, separated(net, mixture, examples.embedding(net, query))) - sdr_db(part, mixture)
        if len(row) == len(asked):
            rows.append(row)
    return rows


def over_recordings(net: AskedCRN, voices: Shelf, pieces: Shelf, mean: torch.Tensor, most: int) -> list[dict]:
    """A voice over a piece as it was recorded, equally loud, asked for by another stretch of itself (`GQ`) and by the mean of voices: SDR above the
    mixture's, dB."""
    rows, length = [], round(CLIP_S * net.sample_rate_hz)
    rng = np.random.default_rng(SEED)
    for _ in range(MOST_DRAWS * most):
        if len(rows) == most:
            break
        drawn, piece = voices.draw(rng, length), pieces.draw(rng, length)
        part = (0.05 * at_unit_rms(drawn.samples)).astype(np.float32)
        mixture = (part + 0.05 * at_unit_rms(piece.samples)).astype(np.float32)
        asked = {"mean": mean}
        try:
            asked["GQ"] = examples.embedding(net, voices.stretch(drawn.recording, rng, query_samples(net.sample_rate_hz), drawn).samples)
        except CorpusError:
            # One that speaks too little.
            continue
        before = sdr_db(part, mixture)
        rows.append({query: sdr_db(part, separated(net, mixture, point)) - before for query, point in asked.items()})
    return rows


def distance_against_loss(rows: list[dict]) -> Interval:
    """Of scores by class: rank correlation (Spearman) of what each random query loses against the song's own with the cosine distance
    between the two; its interval by scores drawn anew, because clips of one score are not independent."""
    of_group: dict[str, list[tuple[float, float]]] = {}
    for row in (row for row in rows if "random" in row):
        of_group.setdefault(row["group"], []).extend((query["cosine distance"], row["GQ"] - query["SDR"]) for query in row["random"])

    def correlation(groups: Iterable[str]) -> float:
        return float(spearmanr(*zip(*(point for group in groups for point in of_group[group]))).statistic)

    groups = sorted(of_group)
    if len(groups) < 2:
        return Interval(correlation(groups), None, None)
    rng = np.random.default_rng(SEED)
    found = [correlation(rng.choice(groups, len(groups))) for _ in range(NUM_DRAWS)]
    share = tail(len(groups))
    low, high = np.nanquantile(found, [share, 1 - share])
    return Interval(correlation(groups), float(low), float(high))

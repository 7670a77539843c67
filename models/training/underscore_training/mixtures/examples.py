"""Examples of classes, and the mean of what a network makes of them."""

from pathlib import Path

import numpy as np
import torch

from .asked import query_samples
from .shelf import Shelf
from ..corpus.errors import CorpusError
from ..nets.asked import AskedCRN

NUM_EXAMPLES = 64
"""Per class; the mean then moves by an eighth of their spread."""
LEAST_HEARD = 0.9
"""Of them, in which something is to be heard: a part may hardly play, and a class of such parts is a mistake."""
SEED = 5


def loudest(samples: np.ndarray, length: int) -> np.ndarray:
    """The `length` samples of a signal with the most energy, in steps of a quarter of that; a short one comes round again."""
    if samples.size <= length:
        return np.resize(samples, length).astype(np.float32)
    starts = range(0, samples.size - length + 1, max(length // 4, 1))
    power = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    best = max(starts, key=lambda start: power[start + length] - power[start])
    return samples[best : best + length].astype(np.float32)


@torch.no_grad()
def embedding(net: AskedCRN, example: np.ndarray) -> torch.Tensor:
    """`[sample]` of the network's rate -> `[embedding]`."""
    return net.embedding_of(torch.from_numpy(loudest(example, query_samples(net.sample_rate_hz)))[None])[0]


def class_mean(net: AskedCRN, corpus: Path, kind: str, split: str = "train", num_examples: int = NUM_EXAMPLES) -> torch.Tensor:
    """The mean embedding `[embedding]` of stretches of a class, of as many recordings as there are."""
    return _mean(net, Shelf(corpus, split, kind, net.sample_rate_hz), num_examples)


def fine_means(net: AskedCRN, corpus: Path, kind: str, split: str = "train", num_examples: int = NUM_EXAMPLES) -> dict[str, torch.Tensor]:
    """The same of each fine label of a class that two scores or more have something of that is heard."""
    shelf = Shelf(corpus, split, kind, net.sample_rate_hz)
    found = {}
    for label in sorted({recording.fine for recording in shelf.recordings} - {""}):
        those = [recording for recording in shelf.recordings if recording.fine == label]
        if len({recording.piece for recording in those}) > 1:
            try:
                found[label] = _mean(net, shelf.only({recording.name for recording in those}), num_examples)
            except CorpusError:
                continue
    return found


@torch.no_grad()
def _mean(net: AskedCRN, shelf: Shelf, num_examples: int) -> torch.Tensor:
    rng = np.random.default_rng(SEED)
    order = rng.permutation(np.resize(np.arange(len(shelf.recordings)), max(num_examples, len(shelf.recordings))))[:num_examples]
    length = query_samples(net.sample_rate_hz)
    found = []
    for idx in order:
        try:
            found.append(embedding(net, shelf.stretch(shelf.recordings[idx], rng, length).samples))
        except CorpusError:
            # A part that hardly plays.
            continue
    if len(found) < LEAST_HEARD * len(order):
        raise CorpusError(f"{shelf.recordings[0].name} and others: nothing is heard in {len(order) - len(found)} of {len(order)} stretches")
    return torch.stack(found).mean(dim=0)

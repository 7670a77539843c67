"""Batches by their number: the same number gives the same batch, whatever was made before it."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .recipe import Context
from .recipes import RECIPES
from .shelf import Shelf


class MixtureBatches(Dataset):
    """Batch `idx` is a pure function of seed and `idx`: a resumed run hears what the unbroken one would have."""

    def __init__(
        self, corpus: Path, split: str, recipe: str, sample_rate_hz: int, clip_s: float, batch: int, seed: int,
        num_batches: int, share: tuple[int, int] = (0, 1),
    ):
        """`batch`: a multiple of the recipe's `num_pairs`. `share` (which, of how many): of each batch only the clips of one of several
        processes."""
        self.recipe = RECIPES[recipe]
        shelves = {kind: Shelf(corpus, split, kind, sample_rate_hz) for kind in self.recipe.kinds}
        self.context = Context(shelves, num_samples=round(clip_s * sample_rate_hz), rate_hz=sample_rate_hz)
        self.places = range(share[0], batch // self.recipe.num_pairs, share[1])
        self.seed = seed
        self.num_batches = num_batches

    def __len__(self) -> int:
        return self.num_batches

    @property
    def heard(self) -> set[str]:
        """Names of all tracks that may be drawn."""
        return {recording.name for shelf in self.context.shelves.values() for recording in shelf.recordings}

    def __getitem__(self, idx: int) -> tuple[Tensor, ...]:
        """Music and mixture, `[batch, sample]` each; where the recipe gives examples, those `[batch, query sample]` and what they
        are of `[batch]`: the place of their kind among the recipe's, -1 for several kinds at once."""
        pairs = [
            pair for place in self.places for pair in self.recipe.mix(self.context, np.random.default_rng([self.seed, idx, place]))
        ]
        signals = [[pair.music for pair in pairs], [pair.mixture for pair in pairs]]
        if pairs[0].query is not None:
            signals.append([pair.query for pair in pairs])
        batch = tuple(torch.from_numpy(np.stack(signal)) for signal in signals)
        if pairs[0].query is None:
            return batch
        return *batch, torch.tensor([self.recipe.kinds.index(pair.kind) if pair.kind else -1 for pair in pairs])

"""Asking by the mean of a class, as whoever has no example does.

A network that hears examples alone has never been asked by what a preset holds, and the way from one preset to another
begins where a sound may hardly be found.
"""

import torch
from torch import Tensor

KEEP = 0.99
"""Share of the past that stays when another example of a class is heard."""
ENOUGH = 8
"""Examples of a class, as they count now, from which on there is a mean of it."""


class ClassMeans:
    """Running means of examples by class, those of one process."""

    def __init__(self) -> None:
        self.sums: dict[int, Tensor] = {}
        self.counts: dict[int, float] = {}

    def some(self, points: Tensor, means: Tensor, kind: Tensor, share: float) -> Tensor:
        """Points `[batch, embedding]` of examples of `kind` `[batch]` (-1: of no class), `share` of them moved to their class' mean, which
        those of `means` count in. Two questions side by side that are of one class stay: their mean would not tell them apart."""
        for mean, place in zip(means, kind.tolist()):
            if place >= 0:
                self.sums[place] = KEEP * self.sums.get(place, torch.zeros_like(mean)) + mean
                self.counts[place] = KEEP * self.counts.get(place, 0.0) + 1.0
        pairs = kind.unflatten(0, (-1, 2))
        is_alone = (pairs[:, 0] != pairs[:, 1]).repeat_interleave(2)
        is_moved = is_alone & (torch.rand(len(points), device=points.device) < share)
        moved = [
            self.sums[place] / self.counts[place] if is_one and self.counts.get(place, 0.0) >= ENOUGH else point
            for point, place, is_one in zip(points, kind.tolist(), is_moved.tolist())
        ]
        return torch.stack(moved)

    def state(self) -> dict[int, tuple[Tensor, float]]:
        """What a checkpoint keeps."""
        return {place: (total, self.counts[place]) for place, total in self.sums.items()}

    def load(self, state: dict[int, tuple[Tensor, float]]) -> None:
        self.sums = {place: total for place, (total, _) in state.items()}
        self.counts = {place: count for place, (_, count) in state.items()}

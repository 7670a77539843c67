"""Asking by the mean of a class, as whoever has no example does.

A network that hears examples alone has never been asked by what a preset holds, and the way from one preset to another
begins where a sound may hardly be found.
"""

import torch
from torch import Tensor

from . import together

KEEP = 0.99
"""Share of a class' past that stays when another example of it is heard."""
ENOUGH = 8
"""Examples of a class, as they count now, from which on there is a mean of it."""


class ClassMeans:
    """Running means of examples by class, the same in all processes that share the batches."""

    def __init__(self, num_kinds: int, embedding_size: int, device: torch.device | None = None):
        self.sums = torch.zeros(num_kinds, embedding_size, device=device)
        """`[kind, embedding]`."""
        self.counts = torch.zeros(num_kinds, device=device)

    def listen(self, means: Tensor, kind: Tensor) -> None:
        """Counts examples in, `[batch, embedding]` of `kind` `[batch]` (-1: of no class); what is no number is left out."""
        counts_in = (kind >= 0) & torch.isfinite(means).all(dim=1)
        place = torch.where(counts_in, kind, 0)
        heard = torch.cat([means, torch.ones_like(means[:, :1])], dim=1)
        heard = torch.where(counts_in[:, None], heard, 0.0)
        total = torch.zeros(len(self.sums), heard.shape[1], device=heard.device).index_add_(0, place, heard)
        together.add_up(total)
        keep = KEEP ** total[:, -1]
        self.sums = keep[:, None] * self.sums + total[:, :-1]
        self.counts = keep * self.counts + total[:, -1]

    def some(self, points: Tensor, kind: Tensor, share: float) -> Tensor:
        """Points `[batch, embedding]` of examples of `kind`, those of `share` of the mixtures moved to their class' mean: both questions, as
        far as their classes have one, so that the way from mean to mean is asked for, too. Two that are of one class stay: their mean
        would not tell them apart."""
        pairs = kind.unflatten(0, (-1, 2))
        is_alone = (pairs[:, 0] != pairs[:, 1]).repeat_interleave(2)
        is_known = (kind >= 0) & (self.counts[kind] >= ENOUGH)
        is_drawn = (torch.rand(len(pairs), device=points.device) < share).repeat_interleave(2)
        is_moved = is_alone & is_known & is_drawn
        return torch.where(is_moved[:, None], self.sums[kind] / self.counts[kind].clamp_min(1)[:, None], points)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"sums": self.sums, "counts": self.counts}

    def load(self, state: dict[str, Tensor]) -> None:
        self.sums, self.counts = state["sums"].to(self.sums.device), state["counts"].to(self.counts.device)

"""Asking for what lies between two things of one mixture.

A network that is asked for one thing at a time makes of a point between two what it likes: on the way from one
to the other either came and went several times. So some mixtures, each of which is asked twice, are asked for two points on
the way, the second further along. What is to be found is as much of either as the way says, at equal power; and the
loss `asked` sees to it that less of the one and more of the other is found further along.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..nets.sphere import between

SHORTEST = 0.1
"""Of the way, between its two points: nearer ones are to be told apart by nobody."""
END_SHARE = 1 / 3
"""Of the ways that begin where the one thing lies, and of those that end where the other does."""


@dataclass(frozen=True)
class Questions:
    """A batch whose mixtures are each asked twice, side by side."""

    points: Tensor
    """`[batch, embedding]`."""
    music: Tensor
    """What is to be found, `[batch, sample]`."""
    sounds: Tensor
    """What lies at the ends of each question's way, `[batch, 2, sample]`, the same for both questions of a mixture."""
    is_on_a_way: Tensor
    """Of each question, whether it and its neighbour are points of one way, `[batch]`."""
    is_whole: Tensor
    """Whether just one thing is asked for, `[batch]`."""


def some_halfway(points: Tensor, music: Tensor, mixture: Tensor, share: float) -> Questions:
    """Points `[batch, embedding]`, targets and mixtures `[batch, sample]` -> questions. A mixture that is not the same for both is left
    alone."""
    ends, sounds = points.unflatten(0, (-1, 2)), music.unflatten(0, (-1, 2))
    mixtures = mixture.unflatten(0, (-1, 2))
    num_mixtures, device = len(ends), points.device
    is_way = (torch.rand(num_mixtures, device=device) < share) & (mixtures[:, 0] == mixtures[:, 1]).all(dim=1)
    first = torch.rand(num_mixtures, device=device) * (1 - SHORTEST)
    first = torch.where(torch.rand(num_mixtures, device=device) < END_SHARE, 0.0, first)
    second = first + SHORTEST + torch.rand(num_mixtures, device=device) * (1 - SHORTEST - first)
    second = torch.where(torch.rand(num_mixtures, device=device) < END_SHARE, 1.0, second)
    along = torch.stack([first, second], dim=1)
    along = torch.where(is_way[:, None], along, torch.tensor([0.0, 1.0], device=device))[:, :, None]
    is_whole = (along == 0) | (along == 1)
    way = between(ends[:, :1], ends[:, 1:], along)
    angle = along * (math.pi / 2)
    halfway = torch.cos(angle) * sounds[:, :1] + torch.sin(angle) * sounds[:, 1:]
    return Questions(
        torch.where(is_whole, ends, way).flatten(0, 1),
        torch.where(is_whole, sounds, halfway).flatten(0, 1),
        sounds.repeat_interleave(2, dim=0),
        is_way.repeat_interleave(2),
        is_whole.flatten(),
    )

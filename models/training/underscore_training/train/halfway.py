"""Asking for what lies between two things of one mixture.

A network that is asked for one thing at a time makes of a point between two what it likes: on the way from one
to the other either came and went several times. So some mixtures, each of which is asked twice, are the second time
asked for a point on the way, and what is to be found is as much of either as the way says, at equal power.
"""

import math

import torch
from torch import Tensor

from ..nets.sphere import between


def some_halfway(points: Tensor, music: Tensor, mixture: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """Points `[batch, embedding]`, targets and mixtures `[batch, sample]`, each mixture's two questions side by side -> the first two,
    and which are still what they were `[batch]`. A mixture that is not the same for both questions is left alone."""
    (first, second), (found, other) = points.unflatten(0, (-1, 2)).unbind(1), music.unflatten(0, (-1, 2)).unbind(1)
    mixtures = mixture.unflatten(0, (-1, 2))
    is_halfway = (torch.rand(len(first), device=points.device) < share) & (mixtures[:, 0] == mixtures[:, 1]).all(dim=1)
    along = torch.rand(len(first), 1, device=points.device)
    way = between(first, second, along)
    angle = along * (math.pi / 2)
    halfway = torch.cos(angle) * found + torch.sin(angle) * other
    second = torch.where(is_halfway[:, None], way, second)
    other = torch.where(is_halfway[:, None], halfway, other)
    is_whole = torch.stack([torch.ones_like(is_halfway), ~is_halfway], dim=1).flatten()
    return torch.stack([first, second], dim=1).flatten(0, 1), torch.stack([found, other], dim=1).flatten(0, 1), is_whole

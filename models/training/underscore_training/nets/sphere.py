"""The way from one embedding to another."""

import torch
from torch import Tensor

PARALLEL = 1.0 - 1e-6
"""Cosine from which on two directions are as good as one: the sine of their angle is divided by."""


def between(a: Tensor, b: Tensor, share: Tensor | float) -> Tensor:
    """From `a` (`share` 0) to `b` (1) along the sphere, `[..., embedding]`, lengths in between; `share`: a number or `[..., 1]`."""
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    directions = a / lengths[0].clamp_min(1e-9), b / lengths[1].clamp_min(1e-9)
    angle = torch.arccos((directions[0] * directions[1]).sum(dim=-1, keepdim=True).clamp(-PARALLEL, PARALLEL))
    direction = (torch.sin((1 - share) * angle) * directions[0] + torch.sin(share * angle) * directions[1]) / torch.sin(angle)
    return direction * torch.lerp(*lengths, share)

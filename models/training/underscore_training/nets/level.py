"""The running level: a causal mean of the power with a time constant of 3 s."""

import math

import torch
from torch import Tensor

TIME_CONSTANT_S = 3.0
LEVEL_FLOOR = 1e-4
"""Smallest RMS of a bin that counts as signal: below -110 dBFS. Keeps silence silent."""


def keep_per(step_s: float, time_constant_s: float = TIME_CONSTANT_S) -> float:
    """What is left of the past after one step, for `running_mean`."""
    return math.exp(-step_s / time_constant_s)


def running_mean(power: Tensor, state: Tensor, keep: float) -> tuple[Tensor, Tensor]:
    """Exponential mean of all steps up to each: `[channel, step]` and state `[channel, 2]` -> the same two.

    The state is the weighted sum and its weight: the mean is exact from the first step on, and a zero state is a reset.
    In blocks of 128 steps each is a sum with weights, so that a clip takes few operations.
    """
    weighted, weight = state[:, 0], state[:, 1]
    means: list[Tensor] = []
    for start in range(0, power.shape[1], 128):
        block = power[:, start : start + 128]
        age = torch.arange(block.shape[1], device=power.device)
        reach = age[:, None] - age[None, :]
        kernel = torch.where(reach >= 0, keep ** reach.clamp_min(0).to(power.dtype), 0.0) * (1.0 - keep)
        fade = keep ** (age + 1).to(power.dtype)
        sums = block @ kernel.t() + weighted[:, None] * fade
        weights = kernel.sum(dim=1)[None] + weight[:, None] * fade
        means.append(sums / weights)
        weighted, weight = sums[:, -1], weights[:, -1]
    return torch.cat(means, dim=1), torch.stack([weighted, weight], dim=1)

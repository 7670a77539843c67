"""The running level: a causal mean of the power with a time constant of 3 s."""

import math

import torch
from torch import Tensor, nn

TIME_CONSTANT_S = 3.0
LEVEL_FLOOR = 1e-4
"""Smallest RMS of a bin that counts as signal: below -110 dBFS. Keeps silence silent."""
BLOCK_STEPS = 128
"""Steps that are summed at once: a clip takes few operations, and the weights little memory."""


def keep_per(step_s: float, time_constant_s: float = TIME_CONSTANT_S) -> float:
    """What is left of the past after one step, for `RunningMean`."""
    return math.exp(-step_s / time_constant_s)


class RunningMean(nn.Module):
    """Exponential mean of all steps up to each, of which `keep` is left after one step.

    The state is the weighted sum and its weight: the mean is exact from the first step on, and a zero state is a reset.
    In blocks of `BLOCK_STEPS` each is a sum with weights, so that a clip takes few operations.
    """

    def __init__(self, keep: float):
        super().__init__()
        age = torch.arange(BLOCK_STEPS)
        reach = age[:, None] - age[None, :]
        # What step `row` makes of step `column`, and of all that came before the block.
        kernel = torch.where(reach >= 0, keep ** reach.clamp_min(0).double(), 0.0) * (1.0 - keep)
        self.block_steps: int = BLOCK_STEPS
        # In double precision, and rounded to what comes in: blocks of other lengths must not differ by more than that. Rows and columns of
        # the first changed places, for values stand before it in the product.
        self.register_buffer("kernel", kernel.t().contiguous(), persistent=False)
        self.register_buffer("kernel_sum", kernel.sum(dim=1), persistent=False)
        self.register_buffer("fade", keep ** (age + 1).double(), persistent=False)

    def forward(self, values: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`[channel, step]` and state `[channel, 2]` -> the same two."""
        if values.shape[1] <= self.block_steps:
            return self.block(values, state)
        means: list[Tensor] = []
        for start in range(0, values.shape[1], self.block_steps):
            mean, state = self.block(values[:, start : start + self.block_steps], state)
            means.append(mean)
        return torch.cat(means, dim=1), state

    def block(self, values: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, at most `BLOCK_STEPS` steps."""
        num_steps = values.shape[1]
        kernel, kernel_sum, fade = self.kernel[:num_steps, :num_steps], self.kernel_sum[:num_steps], self.fade[:num_steps]
        if kernel.dtype != values.dtype:
            kernel, kernel_sum, fade = kernel.to(values.dtype), kernel_sum.to(values.dtype), fade.to(values.dtype)
        before = state[:, :, None] * fade
        sums = torch.addmm(before[:, 0], values, kernel)
        weights = before[:, 1] + kernel_sum
        return sums / weights, torch.stack([sums[:, -1], weights[:, -1]], dim=1)

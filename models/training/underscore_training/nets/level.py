"""Input scaling: a running level is divided out, then the magnitude is compressed.

The mask must not depend on where a fader stands. A causal running mean of the power
(time constant 3 s) makes the input independent of gain; the logarithm makes quiet
harmonics visible beside loud ones.
"""

import math

import torch
from torch import Tensor, nn

from ..grid import FRAMES_PER_CALL, HOP_S

TIME_CONSTANT_S = 3.0
LEVEL_FLOOR = 1e-4
"""Smallest RMS of a bin that counts as signal: below -110 dBFS. Keeps silence silent."""
GAIN = 10.0
"""Magnitudes at the running level land well inside the logarithm's curved part."""


def keep_per(step_s: float) -> float:
    """What is left of the past after one step, for `running_mean`."""
    return math.exp(-step_s / TIME_CONSTANT_S)


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


class LevelCompressor(nn.Module):
    """Magnitudes `[channel, frame, bin]` -> network input of the same shape.

    The level is updated once per 8 frames, those frames included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keep: float = keep_per(FRAMES_PER_CALL * HOP_S)
        # TorchScript knows attributes and not the module's constants.
        self.frames_per_call: int = FRAMES_PER_CALL
        self.floor: float = LEVEL_FLOOR
        self.gain: float = GAIN

    def compress(self, magnitude: Tensor, power: Tensor) -> Tensor:
        """`magnitude` and the running `power` broadcastable to it."""
        return torch.log1p(magnitude * (self.gain / (torch.sqrt(power) + self.floor)))

    def latest_frame(self, frame: int) -> int:
        """The last frame that output `frame` depends on."""
        return frame // FRAMES_PER_CALL * FRAMES_PER_CALL + FRAMES_PER_CALL - 1

    def stream(self, magnitude: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One call of 8 frames. State `[channel, 2]`: see `running_mean`."""
        block_power = magnitude.square().mean(dim=(1, 2))
        power, state = running_mean(block_power[:, None], state, self.keep)
        return self.compress(magnitude, power[:, :, None]), state

    def forward(self, magnitude: Tensor) -> Tensor:
        """The whole clip at once; frames divisible by 8."""
        num_calls = magnitude.shape[1] // self.frames_per_call
        block_power = magnitude.square().reshape(magnitude.shape[0], num_calls, -1).mean(dim=2)
        power, _ = running_mean(block_power, block_power.new_zeros(block_power.shape[0], 2), self.keep)
        return self.compress(magnitude, power.repeat_interleave(self.frames_per_call, dim=1)[:, :, None])

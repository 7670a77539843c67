"""Input scaling: a running level is divided out, then the magnitude is compressed.

The mask must not depend on where a fader stands. A causal running mean of the power
(time constant 3 s) makes the input independent of gain; the logarithm makes quiet
harmonics visible beside loud ones. The mean carries its own weight, so it is exact
from the first call and a zero state is a reset.
"""

import math

import torch
from torch import Tensor, nn

from ..grid import FRAMES_PER_CALL, HOP_S

TIME_CONSTANT_S = 3.0
FLOOR = 1e-4
"""Smallest RMS of a bin that counts as signal: below -110 dBFS. Keeps silence silent."""
GAIN = 10.0
"""Magnitudes at the running level land well inside the logarithm's curved part."""


class LevelCompressor(nn.Module):
    """Magnitudes `[channel, frame, bin]` -> network input of the same shape.

    The level is updated once per 8 frames, those frames included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keep: float = math.exp(-FRAMES_PER_CALL * HOP_S / TIME_CONSTANT_S)
        self.floor: float = FLOOR
        self.gain: float = GAIN

    def compress(self, magnitude: Tensor, power: Tensor) -> Tensor:
        """`magnitude` and the running `power` broadcastable to it."""
        return torch.log1p(magnitude * (self.gain / (torch.sqrt(power) + self.floor)))

    def latest_frame(self, frame: int) -> int:
        """The last frame that output `frame` depends on."""
        return frame // FRAMES_PER_CALL * FRAMES_PER_CALL + FRAMES_PER_CALL - 1

    def stream(self, magnitude: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One call of 8 frames. State `[channel, 2]`: weighted power and its weight."""
        block_power = magnitude.square().mean(dim=(1, 2))
        fresh = torch.stack([block_power, torch.ones_like(block_power)], dim=1)
        state = state * self.keep + fresh * (1.0 - self.keep)
        power = state[:, 0] / state[:, 1]
        return self.compress(magnitude, power[:, None, None]), state

    def forward(self, magnitude: Tensor) -> Tensor:
        """The whole clip at once; frames divisible by 8."""
        num_calls = magnitude.shape[1] // 8
        block_power = magnitude.square().reshape(magnitude.shape[0], num_calls, -1).mean(dim=2)
        age = torch.arange(num_calls, device=magnitude.device)
        age = age[:, None] - age[None, :]
        weight = torch.where(age >= 0, self.keep ** age.clamp_min(0).to(magnitude.dtype), 0.0)
        weight = weight / weight.sum(dim=1, keepdim=True)
        power = (block_power @ weight.T).repeat_interleave(8, dim=1)
        return self.compress(magnitude, power[:, :, None])

"""What networks read instead of bins: bands, with a running level divided out and a logarithm taken.

The mask must not depend on where a fader stands, and the logarithm makes quiet harmonics
visible beside loud ones. An axis is a pure function of magnitudes and state; a zero state
is a reset, and a clip in calls is the clip at once.
"""

import torch
from torch import Tensor, nn

from ..grid import FRAMES_PER_CALL, HOP_S, MODEL_GRID, Grid, grid_at
from .level import LEVEL_FLOOR, RunningMean, keep_per

GAIN = 10.0
"""Magnitudes at the running level land well inside the logarithm's curved part."""
SPLIT_BAND = 256
"""4 kHz: where the low band ends and the high band begins."""


class PaperAxis(nn.Module):
    """The bins of 16 kHz without Nyquist, whose value is that of the bin below. The level is updated once per 8 frames, those included."""

    grid: Grid = MODEL_GRID
    num_bands: int = 512

    def __init__(self) -> None:
        super().__init__()
        self.mean_power = RunningMean(keep_per(FRAMES_PER_CALL * HOP_S))
        # TorchScript knows attributes and not the module's constants.
        self.frames_per_call: int = FRAMES_PER_CALL
        self.floor: float = LEVEL_FLOOR
        self.gain: float = GAIN

    @torch.jit.ignore
    def latest_frame(self, frame: int) -> int:
        """The last frame that output `frame` depends on."""
        return frame // FRAMES_PER_CALL * FRAMES_PER_CALL + FRAMES_PER_CALL - 1

    def forward(self, magnitude: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitude `[channel, frame, bin]`, frames divisible by 8, state of `RunningMean` -> `[channel, frame, band]`, state."""
        magnitude = magnitude[:, :, :-1]
        num_calls = magnitude.shape[1] // self.frames_per_call
        power = magnitude.square().reshape(magnitude.shape[0], num_calls, -1).mean(dim=2)
        mean, state = self.mean_power(power, state)
        level = torch.sqrt(mean).repeat_interleave(self.frames_per_call, dim=1) + self.floor
        return torch.log1p(magnitude * (self.gain / level[:, :, None])), state

    def to_bins(self, values: Tensor) -> Tensor:
        """`[channel, frame, band]` -> `[channel, frame, bin]`."""
        return torch.cat([values, values[:, :, -1:]], dim=2)


class BentAxis(nn.Module):
    """The full band. Below 8 kHz each bin is a band; above, 16 bins are one: there is no pitch to tell apart there.

    Values of wide bands are interpolated between their centres. The level is that below
    8 kHz, updated every frame; each band takes the logarithm by its own gain.
    """

    grid: Grid = grid_at(32_000)
    num_narrow: int = 512
    wide_bins: int = 16
    """Bins per band above 8 kHz: 250 Hz."""
    num_wide: int = (grid.num_bins - 1 - num_narrow) // wide_bins
    num_bands: int = num_narrow + num_wide

    def __init__(self) -> None:
        super().__init__()
        self.mean_power = RunningMean(keep_per(self.grid.hop_samples / self.grid.sample_rate_hz))
        self.floor: float = LEVEL_FLOOR
        # TorchScript knows attributes and not the class's.
        self.wide_bins: int = self.wide_bins
        self.num_narrow: int = self.num_narrow
        self.num_wide: int = self.num_wide
        # Programmes fall by some 6 dB an octave; what is soft above is lifted into the logarithm's curved part.
        tilt = torch.log(4.0 * (1.0 + torch.arange(self.num_bands) / 24.0))
        self.log_gain = nn.Parameter(tilt)
        self.register_buffer("spread", self._spread(self.num_wide), persistent=False)

    @staticmethod
    def _spread(num_wide: int) -> Tensor:
        """`[band, bin]`: linear interpolation of wide bands' values to their bins, level beyond the outer centres."""
        place = ((torch.arange(num_wide * BentAxis.wide_bins) + 0.5) / BentAxis.wide_bins - 0.5).clamp(0, num_wide - 1)
        return (1 - (place[None] - torch.arange(num_wide)[:, None]).abs()).clamp_min(0)

    @torch.jit.ignore
    def latest_frame(self, frame: int) -> int:
        """The last frame that output `frame` depends on."""
        return frame

    def banded(self, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitude `[channel, frame, bin]` -> `[channel, frame, band]`, power of each frame below 8 kHz `[channel, frame]`."""
        narrow = magnitude[:, :, : self.num_narrow]
        # Nyquist, the last bin, is left out here and takes the topmost value in `to_bins`.
        wide = nn.functional.avg_pool1d(magnitude[:, :, self.num_narrow : -1].square(), self.wide_bins).sqrt()
        power = torch.linalg.vector_norm(narrow, dim=2).square() / self.num_narrow
        return torch.cat([narrow, wide], dim=2), power

    def forward(self, magnitude: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitude `[channel, frame, bin]`, state of `RunningMean` -> `[channel, frame, band]`, state."""
        banded, power = self.banded(magnitude)
        mean, state = self.mean_power(power, state)
        return self.logarithm(banded, torch.sqrt(mean)), state

    def whole(self, magnitude: Tensor) -> Tensor:
        """The same of a clip that has ended, by one level for all of it."""
        banded, power = self.banded(magnitude)
        return self.logarithm(banded, power.mean(dim=1, keepdim=True).sqrt().expand_as(power))

    def logarithm(self, banded: Tensor, level: Tensor) -> Tensor:
        """`[channel, frame, band]` and RMS `[channel, frame]` -> what networks read."""
        return torch.log1p(torch.exp(self.log_gain) * (banded / (level + self.floor)[:, :, None]))

    def to_bins(self, values: Tensor) -> Tensor:
        """`[channel, frame, band]` -> `[channel, frame, bin]`."""
        wide = values[:, :, self.num_narrow :] @ self.spread.to(values.dtype)
        return torch.cat([values[:, :, : self.num_narrow], wide, wide[:, :, -1:]], dim=2)


AXES: dict[str, type[nn.Module]] = {"paper": PaperAxis, "bent": BentAxis}

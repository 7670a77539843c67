"""Masks made from the references: what a real mask in [0, 1] on the model's grid could reach at best.

They take the place of estimators in the tables, as ceilings. The grid is the model's in
seconds (1024-sample windows every 256 at 16 kHz), at any rate.
"""

import numpy as np
import torch

from ..grid import grid_at
from .clips import SCORE_RATE_HZ
from .spectrogram import TINY, nearest_mask, spectrogram, waveform


class Oracle:
    """A mask that knows the music."""

    name: str
    sample_rate_hz = SCORE_RATE_HZ

    def mask(self, music: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
        """Complex `[frame, bin]` of music and mixture -> real mask of the same shape."""
        raise NotImplementedError

    def music_knowing(self, mixture: np.ndarray, music: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Music estimate `[sample]` of `mixture` `[sample]`, told the true `music` `[sample]`."""
        grid = grid_at(sample_rate_hz)
        mixed = spectrogram(mixture, grid)
        return waveform(mixed * self.mask(spectrogram(music, grid), mixed), grid, mixture.size)


class IdealRatioMask(Oracle):
    """`|M| / (|M| + |S|)` of music M and speech S, as most papers have it; it ignores the phase."""

    name = "ideal ratio mask"

    def mask(self, music: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
        speech = (mixture - music).abs()
        return music.abs() / (music.abs() + speech + TINY)


class PhaseSensitiveMask(Oracle):
    """`Re(M / X)` of mixture X, cut to [0, 1]: bin by bin the real mask with the least error."""

    name = "phase-sensitive mask"

    def mask(self, music: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
        return nearest_mask(music, mixture)

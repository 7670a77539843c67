"""Spectrograms in which every sample of a clip is reached by all its frames."""

import numpy as np
import torch

from ..grid import Grid, istft, stft

TINY = 1e-12


def spectrogram(signal: np.ndarray, grid: Grid) -> torch.Tensor:
    """Float64 `[sample]` -> complex128 `[frame, bin]`, a window of silence at both ends."""
    padded = np.pad(signal, (grid.window_samples, 2 * grid.window_samples))
    return stft(torch.from_numpy(padded), grid)


def waveform(spectra: torch.Tensor, grid: Grid, num_samples: int) -> np.ndarray:
    """The inverse: complex128 `[frame, bin]` -> float64 `[num_samples]`."""
    padded = istft(spectra, grid, num_samples + 3 * grid.window_samples)
    return padded[grid.window_samples : grid.window_samples + num_samples].numpy()


def nearest_mask(stem: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Complex `[frame, bin]` of stem and mixture -> the real mask in [0, 1] that takes one nearest to the other."""
    return ((stem * mixture.conj()).real / (mixture.abs().square() + TINY)).clamp(0, 1)

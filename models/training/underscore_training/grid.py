"""The frame grid of the model and the transforms on it.

The grid is declared in seconds; at the model's own rate of 16 kHz it is a
1024-sample periodic Hann window every 256 samples. Host rates use
`round(rate * seconds)` for both, so that bin k is the same frequency at every rate.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SAMPLE_RATE_HZ = 16_000
WINDOW_S = 0.064
HOP_S = 0.016
FRAMES_PER_CALL = 8


@dataclass(frozen=True)
class Grid:
    """Window and hop, in samples, of one sample rate."""

    sample_rate_hz: int
    window_samples: int
    hop_samples: int

    @property
    def num_bins(self) -> int:
        return self.window_samples // 2 + 1


def grid_at(sample_rate_hz: int) -> Grid:
    """The grid at a host rate: the same seconds, rounded to whole samples."""
    return Grid(
        sample_rate_hz,
        round(sample_rate_hz * WINDOW_S),
        round(sample_rate_hz * HOP_S),
    )


MODEL_GRID = grid_at(SAMPLE_RATE_HZ)


def stft(signal: Tensor, grid: Grid = MODEL_GRID) -> Tensor:
    """`[..., sample]` -> complex `[..., frame, bin]`; frame 0 starts at sample 0, nothing is padded."""
    window = torch.hann_window(grid.window_samples, periodic=True, dtype=signal.dtype, device=signal.device)
    frames = signal.unfold(-1, grid.window_samples, grid.hop_samples)
    return torch.fft.rfft(frames * window)


def istft(spectrum: Tensor, grid: Grid, num_samples: int) -> Tensor:
    """Inverse of `stft`: complex `[..., frame, bin]` -> `[..., num_samples]`.

    The overlap-add is divided by the exact sum of squared windows, which makes it
    right for any hop, not only those that divide the window. Samples that no window
    reaches come out as zero.
    """
    window = torch.hann_window(grid.window_samples, periodic=True, dtype=spectrum.real.dtype, device=spectrum.device)
    frames = torch.fft.irfft(spectrum, n=grid.window_samples) * window
    lead = frames.shape[:-2]
    num_frames = frames.shape[-2]
    length = (num_frames - 1) * grid.hop_samples + grid.window_samples
    columns = frames.reshape(-1, num_frames, grid.window_samples).transpose(1, 2)
    weights = (window * window)[None, :, None].expand(1, -1, num_frames)

    def overlap_add(blocks: Tensor) -> Tensor:
        return torch.nn.functional.fold(
            blocks, (1, length), (1, grid.window_samples), stride=(1, grid.hop_samples)
        )[:, 0, 0]

    norm = overlap_add(weights)
    signal = overlap_add(columns) / norm.clamp_min(1e-8)
    signal = torch.where(norm > 1e-8, signal, torch.zeros_like(signal))
    out = spectrum.real.new_zeros(signal.shape[0], num_samples)
    used = min(num_samples, length)
    out[:, :used] = signal[:, :used]
    return out.reshape(*lead, num_samples)

"""The frame grid of a model and the transforms on it.

The grid is declared in seconds; at 16 kHz the paper's is a 1024-sample periodic Hann
window every 256 samples. Host rates use `round(rate * seconds)` for each length, so that
bin k is the same frequency at every rate.

A sample is final when the last frame has come whose synthesis window reaches it, so the
length of that window is what a grid costs in latency. Two pairs of windows are known:

- as long as the analysis window: both are the periodic Hann window, as in the paper;
- shorter: the pair bends towards the frame's end (after Mauler and Martin, "A low delay,
  variable resolution, perfect reconstruction spectral analysis-synthesis system",
  EUSIPCO 2007). Synthesis takes the last `synthesis_samples` through the root of a Hann
  window; analysis rises over all that comes before that window's middle as a Hann window
  does, and falls with it.
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
    """Lengths in samples of one sample rate."""

    sample_rate_hz: int
    window_samples: int
    """Of analysis, and of a spectrum."""
    hop_samples: int
    synthesis_samples: int
    """At the end of a frame, what of it is heard."""

    @property
    def num_bins(self) -> int:
        return self.window_samples // 2 + 1

    def at(self, sample_rate_hz: int) -> "Grid":
        """The same seconds at another rate."""
        lengths = (self.window_samples, self.hop_samples, self.synthesis_samples)
        return Grid(sample_rate_hz, *(round(sample_rate_hz * length / self.sample_rate_hz) for length in lengths))


def grid_at(sample_rate_hz: int, synthesis_s: float = WINDOW_S) -> Grid:
    """The models' grid at a rate: seconds, rounded to whole samples."""
    if not HOP_S < synthesis_s <= WINDOW_S:
        raise ValueError(f"synthesis_s is {synthesis_s!r}, expected more than {HOP_S} (the hop), up to {WINDOW_S} (the window)")
    return Grid(sample_rate_hz, *(round(sample_rate_hz * length_s) for length_s in (WINDOW_S, HOP_S, synthesis_s)))


MODEL_GRID = grid_at(SAMPLE_RATE_HZ)


def magnitude_of(spectrum: Tensor) -> Tensor:
    """Real and imaginary parts `[..., 2]` -> `[...]`. Two tensors are added up faster than an axis of two."""
    return torch.sqrt(spectrum[..., 0].square() + spectrum[..., 1].square())


def windows(grid: Grid, like: Tensor) -> tuple[Tensor, Tensor]:
    """For analysis and synthesis, each `[window_samples]`, where and as exact as `like`; made in float64."""
    synthesis = torch.hann_window(grid.synthesis_samples, periodic=True, dtype=torch.float64)
    analysis = synthesis
    before = grid.window_samples - grid.synthesis_samples
    if before > 0:
        synthesis = synthesis.sqrt()
        rising = grid.window_samples - grid.synthesis_samples / 2
        place = torch.arange(grid.window_samples, dtype=torch.float64)
        bent = torch.nn.functional.pad(synthesis, (before, 0))
        analysis = torch.where(place < rising, 0.5 - 0.5 * torch.cos(torch.pi * place / rising), bent)
        synthesis = bent
    return analysis.to(like), synthesis.to(like)


def stft(signal: Tensor, grid: Grid = MODEL_GRID) -> Tensor:
    """`[..., sample]` -> complex `[..., frame, bin]`; frame 0 starts at sample 0, nothing is padded."""
    frames = signal.unfold(-1, grid.window_samples, grid.hop_samples)
    return torch.fft.rfft(frames * windows(grid, signal)[0])


def istft(spectrum: Tensor, grid: Grid, num_samples: int) -> Tensor:
    """Inverse of `stft`: complex `[..., frame, bin]` -> `[..., num_samples]`.

    The overlap-add is divided by the exact sum of the products of both windows, which
    makes it right for any hop, not only those that divide the window. Samples that no
    synthesis window reaches come out as zero.
    """
    frames = torch.fft.irfft(spectrum, n=grid.window_samples)
    analysis, synthesis = windows(grid, frames)
    gain = _overlapped((analysis * synthesis).expand(frames.shape[-2], -1), grid.hop_samples)
    signal = _overlapped(frames * synthesis, grid.hop_samples) / gain.clamp_min(1e-8)
    signal = torch.where(gain > 1e-8, signal, torch.zeros_like(signal))
    return torch.nn.functional.pad(signal, (0, num_samples - signal.shape[-1]))


def _overlapped(frames: Tensor, hop_samples: int) -> Tensor:
    """`[..., frame, sample]`, each a hop after the one before -> their sum, `[..., sample]`."""
    num_hops = -(-frames.shape[-1] // hop_samples)
    filled = torch.nn.functional.pad(frames, (0, num_hops * hop_samples - frames.shape[-1]))
    hops = filled.unflatten(-1, (num_hops, hop_samples))
    # Hop `j` of a frame lies `j` hops after its first.
    parts = (torch.nn.functional.pad(hops[..., j, :], (0, 0, j, num_hops - 1 - j)) for j in range(num_hops))
    return sum(parts).flatten(-2)

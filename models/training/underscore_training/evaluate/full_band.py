"""What happens above 8 kHz: a system's own mask there, against its mask below taken upward.

The plugin takes the mask of a 16 kHz model to the bins above it (`plugin/dsp/src/mask.rs`);
the same is done here. The mask is read off the estimate, so that it is the same for any
system, also one that has no mask: the estimate's share of the mixture, bin by bin.
"""

import numpy as np
import torch
from scipy.fft import irfft, rfft, rfftfreq

from ..grid import grid_at
from ..nets.host_grid import extended
from .clips import CLIP_RATE_HZ, SCORE_RATE_HZ
from .metrics import energy
from .resample import resampled
from .spectrogram import nearest_mask, spectrogram, waveform

EDGE_HZ = SCORE_RATE_HZ / 2
AUDIBLE = 10 ** (-50 / 10)
"""A stretch reaches above the edge when this much of its energy lies there."""


def taken_upward(estimate: np.ndarray, narrow: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Music estimate `[sample]` at 32 kHz by a system that knows 0-8 kHz only.

    `estimate` and `narrow`, the mixture, are `[sample]` at 16 kHz; `mixture` is `[sample]` at 32 kHz.
    The estimate itself stays below; only what the lower rate lost of the mixture is masked.
    """
    grid, wide = grid_at(SCORE_RATE_HZ), grid_at(CLIP_RATE_HZ)
    mask = nearest_mask(spectrogram(estimate, grid), spectrogram(narrow, grid))
    low, known = (resampled(signal, SCORE_RATE_HZ, CLIP_RATE_HZ) for signal in (estimate, narrow))
    lost = spectrogram(mixture - known, wide)
    num_frames = min(len(mask), len(lost))
    high = lost[:num_frames] * extended(mask[:num_frames], wide.num_bins)
    return low + waveform(high, wide, mixture.size)


def above_edge(signal: np.ndarray) -> np.ndarray:
    """The part of `[sample]` at 32 kHz that lies above 8 kHz."""
    spectrum = rfft(signal)
    spectrum[rfftfreq(signal.size, 1 / CLIP_RATE_HZ) < EDGE_HZ] = 0
    return irfft(spectrum, signal.size)


def reaches_above(signal: np.ndarray) -> bool:
    """Whether `[sample]` at 32 kHz has anything to lose above 8 kHz: a recording may have it elsewhere only."""
    return energy(above_edge(signal)) > AUDIBLE * energy(signal)

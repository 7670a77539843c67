"""A mask on a host's own grid, as the plugin puts it there."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..grid import Grid, istft, stft

BAND_DIVISOR = 8
"""Bins above the model's range take the mean mask of its top eighth ..."""


def extended(mask: Tensor, num_bins: int) -> Tensor:
    """Mask `[..., model bin]` -> `[..., num_bins]`: cut, or carried on above the model's range.

    ... after a linear way, half that band wide, from the last bin's mask to that mean: the
    rule of `MaskExtender` in plugin/dsp/src/mask.rs.
    """
    above = num_bins - mask.shape[-1]
    if above <= 0:
        return mask[..., :num_bins]
    num_band = max(mask.shape[-1] // BAND_DIVISOR, 1)
    mean = mask[..., -num_band:].mean(dim=-1, keepdim=True)
    weight = (torch.arange(1, above + 1, dtype=mask.dtype) / (num_band // 2 + 1)).clamp_max(1.0)
    edge = mask[..., -1:]
    return torch.cat([mask, edge + weight * (mean - edge)], dim=-1)


def programme_music(
    logits: Callable[[Tensor], Tensor], model_grid: Grid, mixture: Tensor, sample_rate_hz: int
) -> Tensor:
    """Music of `[channel, sample]` at a host's rate; `logits` maps magnitudes `[1, frame, bin]` of `model_grid`.

    One mask for all channels, from the RMS of their magnitudes scaled to the model's window.
    Bins that the host does not have are zero.
    """
    grid = model_grid.at(sample_rate_hz)
    window = grid.window_samples
    # A window of silence at both ends, so that every sample is reached by all its frames.
    spectrum = stft(torch.nn.functional.pad(mixture, (window, 2 * window)), grid)
    linked = spectrum.abs().square().mean(dim=0, keepdim=True).sqrt()
    linked = linked[..., : model_grid.num_bins] * (model_grid.window_samples / window)
    linked = torch.nn.functional.pad(linked, (0, model_grid.num_bins - linked.shape[-1]))
    mask = extended(torch.sigmoid(logits(linked).float()), grid.num_bins)
    music = istft(spectrum * mask, grid, mixture.shape[-1] + 3 * window)
    return music[..., window : window + mixture.shape[-1]]

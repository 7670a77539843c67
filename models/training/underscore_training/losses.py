"""What a mask is trained for. All terms are free of level: a loud clip counts as a quiet one."""

import torch
from torch import Tensor

RATIO_WEIGHT = 0.02
RATIO_FLOOR = 1e-3
"""Error to mixture energy below which a clip is good enough (-30 dB)."""
COMPRESSED_WEIGHT = 0.5


def mask_loss(logits: Tensor, music: Tensor, mixture: Tensor) -> Tensor:
    """Mean over the batch of three terms; `logits`, `music`, `mixture` `[batch, frame, bin]`.

    - L1 between the masked magnitude and the phase-sensitive magnitude
      `|music| cos(angle)` cut to `[0, |mixture|]`: the best a real mask can do, bin by bin.
    - The same on square-root magnitudes: quiet bins are where artefacts are heard.
    - The logarithm of the error energy of the complex spectrum relative to the mixture,
      which is the signal-to-distortion ratio up to a constant. The music's error is the
      residual dialogue's error, so one term serves both stems.
    """
    mask = torch.sigmoid(logits)
    magnitude = mixture.abs()
    scale = magnitude.mean(dim=(1, 2), keepdim=True) + 1e-6
    aligned = (music * mixture.conj()).real / (magnitude + 1e-8)
    target = torch.minimum(aligned.clamp_min(0), magnitude) / scale
    unit = magnitude / scale
    estimate = mask * unit
    plain = (estimate - target).abs().mean()
    compressed = (torch.sqrt(estimate + 1e-3) - torch.sqrt(target + 1e-3)).abs().mean()
    error = (mask * mixture - music).abs().square().sum(dim=(1, 2))
    energy = magnitude.square().sum(dim=(1, 2)) + 1e-9
    ratio_db = 10 * torch.log10(error / energy + RATIO_FLOOR)
    return plain + COMPRESSED_WEIGHT * compressed + RATIO_WEIGHT * ratio_db.mean()

"""A model that changes nothing."""

import torch
from torch import Tensor, nn

from ...grid import FRAMES_PER_CALL, MODEL_GRID


class IdentitySeparator(nn.Module):
    """Mask 1 everywhere: all of the mixture is music. Measures latency and alignment."""

    grid = MODEL_GRID
    frames_per_call = FRAMES_PER_CALL
    look_ahead_frames = 0
    look_back_frames = 0

    @torch.jit.ignore
    def state_shapes(self) -> list[list[int]]:
        return []

    def forward(self, spectrum: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, frame, bin, 2]` -> ones `[1, channel, frame, bin]`; the state passes through."""
        mask = torch.ones(
            (1, spectrum.shape[0], spectrum.shape[1], spectrum.shape[2]),
            dtype=spectrum.dtype,
            device=spectrum.device,
        )
        return mask, state

"""A delay line of whole frames."""

import torch
from torch import Tensor, nn


class Delay(nn.Module):
    """Puts out what came in `lag` frames before; state: those frames, none where `lag` is 0."""

    def __init__(self, features: int, lag: int):
        super().__init__()
        self.features: int = features
        self.lag: int = lag

    @torch.jit.ignore
    def state_shapes(self, num_bins: int) -> list[list[int]]:
        return [[-1, self.features, self.lag, num_bins]] if self.lag > 0 else []

    def forward(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, feature, frame, bin]` -> the same shape."""
        if self.lag == 0:
            return x, []
        line = torch.cat([state[0], x], dim=2)
        return line[:, :, : x.shape[2]], [line[:, :, x.shape[2] :].clone()]

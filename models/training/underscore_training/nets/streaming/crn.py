"""The deployed separator by the model contract."""

import torch
from torch import Tensor, nn

from ..crn import CRN


class StreamingCRN(nn.Module):
    """A `CRN` in calls of `frames_per_call` frames: spectrum and state in, mask and state out.

    The memories of recurrent layers fade rather than end; `look_back_frames` is the
    level's time constant, after which silence has been understood as silence.
    """

    look_back_frames = 188

    def __init__(self, net: CRN):
        super().__init__()
        self.net = net
        self.grid = net.grid
        self.frames_per_call = net.frames_per_call
        self.look_ahead_frames = net.look_ahead_frames

    @torch.jit.ignore
    def state_shapes(self) -> list[list[int]]:
        return self.net.state_shapes()

    def forward(self, spectrum: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, frames_per_call, 1025, 2]`, states -> mask `[1, channel, frames_per_call, 1025]` of the music, next states.

        The mask at place `j` belongs to the frame `look_ahead_frames` before place `j`.
        """
        magnitude = torch.sqrt(spectrum.square().sum(dim=3))
        logits, state = self.net(magnitude, state)
        return torch.sigmoid(logits)[None], state

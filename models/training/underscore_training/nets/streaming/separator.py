"""The dense networks by the model contract: pure functions from spectrum and state to mask and state."""

from typing import Final

import torch
from torch import Tensor, nn

from ...grid import FRAMES_PER_CALL, magnitude_of
from ..axes import SPLIT_BAND
from ..dmmdensenet import DMMDenseNet
from .delay import Delay
from .dense import StreamingDenseBlock
from .multiscale import StreamingMultiscaleNet


class StreamingSeparator(nn.Module):
    """A trained `DMMDenseNet` of any form in calls of 8 frames: it equals the whole clip from frame 0 on, and computes nothing twice.

    States in order: frames so far, level, full band, low band and high band with their
    delays, last block. All zero is a reset.

    Frames are counted up to the look-ahead: from then on no layer computes anything that lies
    before the clip. The count is one for all channels, which its shape says: a stream that began
    at another time has no place beside them. So much state is copied in and out of a batch that it
    would gain nothing.
    """

    frames_per_call = FRAMES_PER_CALL
    has_parts: Final[bool]

    def __init__(self, net: DMMDenseNet):
        super().__init__()
        self.grid = net.grid
        self.look_back_frames = net.look_back_frames
        self.axis = net.axis
        self.full = StreamingMultiscaleNet(net.full)
        lag = self.full.lag
        self.has_parts = net.low is not None
        if net.low is not None and net.high is not None:
            self.low = StreamingMultiscaleNet(net.low)
            self.high = StreamingMultiscaleNet(net.high)
            lag = max(lag, self.low.lag, self.high.lag)
            self.low_wait = Delay(self.low.out_features, lag - self.low.lag)
            self.high_wait = Delay(self.high.out_features, lag - self.high.lag)
        self.full_wait = Delay(self.full.out_features, lag - self.full.lag)
        self.last = StreamingDenseBlock(net.last)
        self.mask = net.mask
        self.lag: int = lag
        self.look_ahead_frames: int = lag + self.last.lag
        self.split: int = SPLIT_BAND
        # In whole calls: pools are counted from the first frame.
        self.counted_frames: int = self.look_ahead_frames + -self.look_ahead_frames % FRAMES_PER_CALL

    @torch.jit.ignore
    def state_shapes(self) -> list[list[int]]:
        """Shapes of the state tensors, -1 standing for the number of channels."""
        bands = self.axis.num_bands
        shapes = [[1, 1], [-1, 2]]
        parts = [(self.full, self.full_wait, bands)]
        if self.has_parts:
            parts += [(self.low, self.low_wait, SPLIT_BAND), (self.high, self.high_wait, bands - SPLIT_BAND)]
        for net, wait, num_bands in parts:
            shapes += net.state_shapes(num_bands) + wait.state_shapes(num_bands)
        return shapes + self.last.state_shapes(bands)

    def forward(self, spectrum: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, 8, bin, 2]`, states -> mask `[1, channel, 8, bin]` of the music, next states.

        The mask at place `j` belongs to the frame `look_ahead_frames` before place `j`.
        """
        first_frame = int(state[0][0, 0].item())
        magnitude = magnitude_of(spectrum)
        levelled, level = self.axis(magnitude, state[1])
        next_state = [(state[0] + magnitude.shape[1]).clamp_max(float(self.counted_frames)), level]
        x = levelled[:, None]
        features, after = self.full(x, state[len(next_state) :], first_frame)
        next_state += after
        features, after = self.full_wait(features, state[len(next_state) :])
        next_state += after
        if self.has_parts:
            low, after = self.low(x[..., : self.split], state[len(next_state) :], first_frame)
            next_state += after
            low, after = self.low_wait(low, state[len(next_state) :])
            next_state += after
            high, after = self.high(x[..., self.split :], state[len(next_state) :], first_frame)
            next_state += after
            high, after = self.high_wait(high, state[len(next_state) :])
            next_state += after
            features = torch.cat([torch.cat([low, high], dim=3), features], dim=1)
        features, after = self.last(features, state[len(next_state) :], first_frame - self.lag)
        next_state += after
        logits = self.axis.to_bins(self.mask(features)[:, 0])
        return torch.sigmoid(logits)[None], next_state

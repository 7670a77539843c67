"""The dense networks by the model contract: pure functions from spectrum and state to mask and state."""

from typing import Final

import torch
from torch import Tensor, nn

from ...grid import magnitude_of
from ..axes import SPLIT_BAND
from ..dmmdensenet import DMMDenseNet
from .delay import Delay
from .dense import StreamingDenseBlock
from .multiscale import StreamingMultiscaleNet


class Part(nn.Module):
    """A band's net, whose output waits for that of the slowest."""

    def __init__(self, net: StreamingMultiscaleNet, lag: int, frames_per_call: int):
        super().__init__()
        self.net = net
        self.wait = Delay(net.out_features, lag - net.lag, frames_per_call)
        self.num_states: int = net.num_states + self.wait.num_states

    @torch.jit.ignore
    def state_shapes(self, num_bins: int) -> list[list[int]]:
        return self.net.state_shapes(num_bins) + self.wait.state_shapes(num_bins)

    def forward(self, x: Tensor, state: list[Tensor], first_frame: int) -> tuple[Tensor, list[Tensor]]:
        """`[channel, 8 n, bin]` -> `[channel, 8 n, bin, out]`, as late as the slowest, and states."""
        x, next_state = self.net(x, state[: self.net.num_states], first_frame)
        x, after = self.wait(x, state[self.net.num_states :])
        return x, next_state + after


class StreamingSeparator(nn.Module):
    """A trained `DMMDenseNet` of any form in calls of a multiple of 8 frames: it equals the whole clip from frame 0 on, and computes nothing twice.

    States in order: frames so far, level, full band, low band and high band with their
    delays, last block. All zero is a reset.

    Frames are counted up to the look-ahead: from then on no layer computes anything that lies
    before the clip. The count is one for all channels, which its shape says: a stream that began
    at another time has no place beside them. So much state is copied in and out of a batch that it
    would gain nothing.
    """

    has_parts: Final[bool]

    def __init__(self, net: DMMDenseNet, frames_per_call: int | None = None):
        """In calls of `frames_per_call` frames, or of as many as `net` is made for. Others work as well, a multiple of 8; they copy more."""
        super().__init__()
        frames = net.frames_per_call if frames_per_call is None else frames_per_call
        self.frames_per_call: int = frames
        self.grid = net.grid
        self.look_back_frames = net.look_back_frames
        self.axis = net.axis
        self.has_parts = net.low is not None
        nets = [StreamingMultiscaleNet(band, frames) for band in (net.full, net.low, net.high) if band is not None]
        lag = max(band.lag for band in nets)
        self.full = Part(nets[0], lag, frames)
        if self.has_parts:
            self.low, self.high = (Part(band, lag, frames) for band in nets[1:])
        self.last = StreamingDenseBlock(net.last)
        self.mask_weight: Tensor = net.mask.weight.detach().flatten(1)
        self.mask_bias: Tensor = net.mask.bias.detach().clone()
        self.lag: int = lag
        self.look_ahead_frames: int = lag + self.last.lag
        self.split: int = SPLIT_BAND
        # In whole calls: pools are counted from the first frame.
        self.counted_frames: int = self.look_ahead_frames + -self.look_ahead_frames % frames

    @torch.jit.ignore
    def state_shapes(self) -> list[list[int]]:
        """Shapes of the state tensors, -1 standing for the number of channels."""
        bands = self.axis.num_bands
        shapes = [[1, 1], [-1, 2], *self.full.state_shapes(bands)]
        if self.has_parts:
            shapes += self.low.state_shapes(SPLIT_BAND) + self.high.state_shapes(bands - SPLIT_BAND)
        return shapes + self.last.state_shapes(bands)

    def forward(self, spectrum: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, 8 n, bin, 2]`, states -> mask `[1, channel, 8 n, bin]` of the music, next states.

        The mask at place `j` belongs to the frame `look_ahead_frames` before place `j`.
        """
        first_frame = int(state[0][0, 0].item())
        magnitude = magnitude_of(spectrum)
        levelled, level = self.axis(magnitude, state[1])
        next_state = [(state[0] + magnitude.shape[1]).clamp_max(float(self.counted_frames)), level]
        at = len(next_state)
        features, after = self.full(levelled, state[at : at + self.full.num_states], first_frame)
        next_state += after
        if self.has_parts:
            at = len(next_state)
            low, after = self.low(levelled[..., : self.split], state[at : at + self.low.num_states], first_frame)
            next_state += after
            at = len(next_state)
            high, after = self.high(levelled[..., self.split :], state[at : at + self.high.num_states], first_frame)
            next_state += after
            features = torch.cat([torch.cat([low, high], dim=2), features], dim=3)
        features, after = self.last(features, state[len(next_state) :], first_frame - self.lag)
        next_state += after
        logits = self.axis.to_bins(nn.functional.linear(features, self.mask_weight, self.mask_bias).squeeze(3))
        return torch.sigmoid(logits)[None], next_state

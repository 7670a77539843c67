"""The modules that are exported: pure functions from spectrum and state to mask and state."""

import torch
from torch import Tensor, nn

from ..grid import FRAMES_PER_CALL, MODEL_GRID
from .dense import PAST_FRAMES, StreamingDenseBlock
from .dmmdensenet import NUM_NET_BINS, SPLIT_BIN, DMMDenseNet
from .multiscale import StreamingMultiscaleNet


class StreamingSeparator(nn.Module):
    """The trained network in calls of 8 frames, by the model contract.

    States in order: level, low band, high band, full band, last block. All zero is a reset.
    """

    grid = DMMDenseNet.grid
    frames_per_call = FRAMES_PER_CALL
    look_ahead_frames = 0
    look_back_frames = 376
    """Reach of the low band, the deepest: 2 frames of the first convolution, 16 per block
    times 1+2+4+8+4+2+1 for the resolutions, 12 of the last block, 7 because pools are aligned
    to calls; rounded up to calls. The running level (3 s) fades instead of ending."""

    def __init__(self, net: DMMDenseNet):
        super().__init__()
        self.level = net.level
        self.low = StreamingMultiscaleNet(net.low)
        self.high = StreamingMultiscaleNet(net.high)
        self.full = StreamingMultiscaleNet(net.full)
        self.last = StreamingDenseBlock(net.last)
        self.mask = net.mask
        self.num_low: int = len(self.low.state_shapes(SPLIT_BIN))
        self.num_high: int = len(self.high.state_shapes(SPLIT_BIN))
        self.num_full: int = len(self.full.state_shapes(NUM_NET_BINS))

    def state_shapes(self) -> list[list[int]]:
        """Shapes of the state tensors, -1 standing for the number of channels."""
        return [
            [-1, 2],
            *self.low.state_shapes(SPLIT_BIN),
            *self.high.state_shapes(SPLIT_BIN),
            *self.full.state_shapes(NUM_NET_BINS),
            [-1, self.last.state_features, PAST_FRAMES, NUM_NET_BINS],
        ]

    def forward(self, spectrum: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, 8, 513, 2]`, states -> mask `[1, channel, 8, 513]` of the music, next states."""
        magnitude = torch.sqrt(spectrum[:, :, :512].square().sum(dim=3))
        x, level = self.level.stream(magnitude, state[0])
        x = x[:, None]
        at_high = 1 + self.num_low
        at_full = at_high + self.num_high
        at_last = at_full + self.num_full
        low, low_state = self.low(x[..., :256], state[1:at_high])
        high, high_state = self.high(x[..., 256:], state[at_high:at_full])
        full, full_state = self.full(x, state[at_full:at_last])
        x = torch.cat([torch.cat([low, high], dim=3), full], dim=1)
        x, last_state = self.last(x, state[at_last])
        mask = torch.sigmoid(self.mask(x))[:, 0]
        mask = torch.cat([mask, mask[..., -1:]], dim=2)
        return mask[None], [level] + low_state + high_state + full_state + [last_state]


class IdentitySeparator(nn.Module):
    """Mask 1 everywhere: all of the mixture is music. Measures latency and alignment."""

    grid = MODEL_GRID
    frames_per_call = FRAMES_PER_CALL
    look_ahead_frames = 0
    look_back_frames = 0

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

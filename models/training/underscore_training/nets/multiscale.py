"""One band's encoder and decoder: dense blocks at four resolutions with U-skips."""

import torch
from torch import Tensor, nn

from .bands import Band
from .convolution import Pair
from .dense import PAST_FRAMES, DenseBlock, StreamingDenseBlock
from .unit import ConvUnit

NUM_LEVELS = 3
"""Halvings of both axes between the finest and the coarsest resolution."""
FIRST_FEATURES = 32
FIRST_KERNEL = (3, 4)


class MultiscaleNet(nn.Module):
    """MDenseNet: 1 feature in, `out_features` out, same frames and bins.

    An upsampled map is given as many features as the skip it joins, so a decoder
    block at the finest level sees 32 features, as the first encoder block does.
    """

    def __init__(self, band: Band, dilation: Pair | None, *, causal: bool):
        super().__init__()

        def block(in_features: int) -> DenseBlock:
            return DenseBlock(in_features, band.growth, band.num_layers, band.theta, dilation, causal=causal)

        self.first = ConvUnit(1, FIRST_FEATURES, FIRST_KERNEL, causal=causal)
        down: list[DenseBlock] = []
        features = FIRST_FEATURES
        for _ in range(NUM_LEVELS):
            down.append(block(features))
            features = down[-1].out_features
        self.down = nn.ModuleList(down)
        self.bottom = block(features)
        features = self.bottom.out_features
        up: list[DenseBlock] = []
        raise_: list[nn.ConvTranspose2d] = []
        for level in reversed(range(NUM_LEVELS)):
            skip = down[level].out_features
            raise_.append(nn.ConvTranspose2d(features, skip, 2, stride=2))
            up.append(block(2 * skip))
            features = up[-1].out_features
        self.raise_ = nn.ModuleList(raise_)
        self.up = nn.ModuleList(up)
        self.out_features = features

    def latest_frame(self, frame: int) -> int:
        """The last input frame that output frame `frame` depends on."""

        def at_level(level: int, frame: int) -> int:
            """The last input of the encoder block of `level` behind the output of its decoder block."""
            if level == NUM_LEVELS:
                return frame + self.bottom.ahead_frames
            frame += self.up[NUM_LEVELS - 1 - level].ahead_frames
            # A pool and a transposed convolution both reach to the end of their pair of frames.
            through_coarse = 2 * at_level(level + 1, frame // 2) + 1
            return max(frame, through_coarse) + self.down[level].ahead_frames

        return at_level(0, frame) + self.first.ahead_frames

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, 1, frame, bin]` -> `[batch, out, frame, bin]`; both axes divisible by 8."""
        x = self.first(x)
        skips: list[Tensor] = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = nn.functional.avg_pool2d(x, 2)
        x = self.bottom(x)
        for level, (raise_, block) in enumerate(zip(self.raise_, self.up)):
            x = block(torch.cat([raise_(x), skips[NUM_LEVELS - 1 - level]], dim=1))
        return x


class StreamingMultiscaleNet(nn.Module):
    """A causal `MultiscaleNet` fed 8 frames at a time.

    Pools and transposed convolutions look at 2x2 squares aligned to the call, so
    only convolutions have state: one tensor of the first convolution, then one per
    dense block in the order encoder, bottom, decoder.
    """

    def __init__(self, net: MultiscaleNet):
        super().__init__()
        self.first = net.first.folded()
        self.first_past_frames: int = net.first.past_frames
        self.down = nn.ModuleList([StreamingDenseBlock(block) for block in net.down])
        self.bottom = StreamingDenseBlock(net.bottom)
        self.raise_ = net.raise_
        self.up = nn.ModuleList([StreamingDenseBlock(block) for block in net.up])

    def state_shapes(self, num_bins: int) -> list[list[int]]:
        """Shapes of the state tensors for a band of `num_bins`; -1 is the channel axis."""
        shapes = [[-1, 1, self.first_past_frames, num_bins]]
        levels = [*range(NUM_LEVELS), NUM_LEVELS, *reversed(range(NUM_LEVELS))]
        for level, block in zip(levels, [*self.down, self.bottom, *self.up]):
            shapes.append([-1, block.state_features, PAST_FRAMES, num_bins >> level])
        return shapes

    def forward(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, 1, 8 n, bin]` and the band's states -> output and the next states."""
        next_state: list[Tensor] = []
        x = torch.cat([state[0], x], dim=2)
        next_state.append(x[:, :, x.shape[2] - self.first_past_frames :].clone())
        x = self.first(x)
        skips: list[Tensor] = []
        slot = 1
        for block in self.down:
            x, past = block(x, state[slot])
            next_state.append(past)
            slot += 1
            skips.append(x)
            x = nn.functional.avg_pool2d(x, 2)
        x, past = self.bottom(x, state[slot])
        next_state.append(past)
        slot += 1
        for raise_, block in zip(self.raise_, self.up):
            x, past = block(torch.cat([raise_(x), skips.pop()], dim=1), state[slot])
            next_state.append(past)
            slot += 1
        return x, next_state

"""One band's encoder and decoder: dense blocks at four resolutions with U-skips."""

import torch
from torch import Tensor, nn

from .bands import Band
from .convolution import Pair
from .dense import DenseBlock
from .unit import ConvUnit

NUM_LEVELS = 3
"""Halvings of both axes between the finest and the coarsest resolution."""
FIRST_FEATURES = 32
FIRST_KERNEL = (3, 4)


class MultiscaleNet(nn.Module):
    """MDenseNet: 1 feature in, `out_features` out, same frames and bins.

    An upsampled map is given as many features as the skip it joins, so a decoder
    block at the finest level sees 32 features, as the first encoder block does.

    `causal` is of the finest resolution, `coarse_causal` of those below it.
    """

    def __init__(self, band: Band, dilation: Pair | None, *, causal: bool, coarse_causal: bool):
        super().__init__()

        def block(in_features: int, level: int) -> DenseBlock:
            is_causal = causal if level == 0 else coarse_causal
            return DenseBlock(in_features, band.growth, band.num_layers, band.theta, dilation, causal=is_causal)

        self.first = ConvUnit(1, FIRST_FEATURES, FIRST_KERNEL, causal=causal)
        down: list[DenseBlock] = []
        features = FIRST_FEATURES
        for level in range(NUM_LEVELS):
            down.append(block(features, level))
            features = down[-1].out_features
        self.down = nn.ModuleList(down)
        self.bottom = block(features, NUM_LEVELS)
        features = self.bottom.out_features
        up: list[DenseBlock] = []
        raise_: list[nn.ConvTranspose2d] = []
        for level in reversed(range(NUM_LEVELS)):
            skip = down[level].out_features
            raise_.append(nn.ConvTranspose2d(features, skip, 2, stride=2))
            up.append(block(2 * skip, level))
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

    @property
    def past_frames(self) -> int:
        """Look-back, were pools where a frame needs them: the frames that every layer on the longest way adds."""
        levels = [*range(NUM_LEVELS), NUM_LEVELS, *reversed(range(NUM_LEVELS))]
        blocks = [*self.down, self.bottom, *self.up]
        return self.first.past_frames + sum(block.past_frames << level for level, block in zip(levels, blocks))

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

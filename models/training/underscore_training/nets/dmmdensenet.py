"""The dilated multi-band multi-scale DenseNet (DMMDenseNet) and its simpler relatives.

Choices that the published table leaves open, and what is taken here:

- 513 bins: Nyquist is dropped (512 divide by 8), its mask is bin 511's.
- The mask is a sigmoid: real, in [0, 1]; the residual stem then is too.
- Input: magnitude over its running level, log-compressed (`nets.level`), in the centred
  networks too: all spectrogram systems are then given the same input.
- Convolution, batch normalisation, ReLU in this order (`nets.unit`).
- Compression: 1x1 convolution, batch normalisation, ReLU.
- A dilation reads frames x bins, as the first layer's "3 x 4" kernel does: "[2, 1]"
  dilates time, "[1, 2]" frequency, "[2, 2]" both. Two layers per block have it; they
  give the `2 k` in `m = k0 + 2 k + k L`. The last block is dilated as the others are.
- Without dilation the two layers are absent, not undilated, and `theta` is another
  (`nets.bands`).
- Padding in time: the paper's networks are centred. In the causal form all of it is on
  the left and pools are aligned to 8 frames: a call of 8 frames needs no frame after it.
"""

import torch
from torch import Tensor, nn

from ..grid import FRAMES_PER_CALL
from .bands import DILATED, Bands
from .convolution import Pair
from .dense import STREAMED_DILATION, DenseBlock
from .level import LevelCompressor
from .mask_separator import MaskSeparator
from .multiscale import MultiscaleNet

NUM_NET_BINS = 512
SPLIT_BIN = 256


class DMMDenseNet(MaskSeparator):
    """Magnitudes of the mixture -> logits of the music mask.

    As built by default it is the causal network that the plugin streams.
    """

    frame_multiple = FRAMES_PER_CALL

    def __init__(
        self,
        bands: Bands = DILATED,
        dilation: Pair | None = STREAMED_DILATION,
        *,
        causal: bool = True,
    ) -> None:
        super().__init__()
        self.streams: bool = causal and dilation == STREAMED_DILATION and bands.low is not None
        """Whether `nets.separator` has a streaming form of it."""
        self.level = LevelCompressor()
        self.low: MultiscaleNet | None = None
        self.high: MultiscaleNet | None = None
        if bands.low is not None and bands.high is not None:
            self.low = MultiscaleNet(bands.low, dilation, causal=causal)
            self.high = MultiscaleNet(bands.high, dilation, causal=causal)
            assert self.low.out_features == self.high.out_features
        self.full = MultiscaleNet(bands.full, dilation, causal=causal)
        features = self.full.out_features + (0 if self.low is None else self.low.out_features)
        last = bands.last
        self.last = DenseBlock(features, last.growth, last.num_layers, last.theta, dilation, causal=causal)
        self.mask = nn.Conv2d(self.last.out_features, 1, 1)

    def latest_frame(self, frame: int) -> int:
        frame += self.last.ahead_frames
        nets = [net for net in (self.low, self.high, self.full) if net is not None]
        return self.level.latest_frame(max(net.latest_frame(frame) for net in nets))

    def forward(self, magnitude: Tensor) -> Tensor:
        """`[channel, frame, 512]` (frames divisible by 8) -> logits of the same shape."""
        x = self.level(magnitude)[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        features = self.full(x)
        if self.low is not None and self.high is not None:
            bands = torch.cat([self.low(x[..., :SPLIT_BIN]), self.high(x[..., SPLIT_BIN:])], dim=3)
            features = torch.cat([bands, features], dim=1)
        return self.mask(self.last(features))[:, 0]

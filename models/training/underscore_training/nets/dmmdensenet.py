"""The 2-D dilated multi-band multi-scale DenseNet (DMMDenseNet), causal form.

Choices that the published table leaves open, and what is taken here:

- 513 bins: Nyquist is dropped (512 divide by 8), its mask is bin 511's.
- The mask is a sigmoid: real, in [0, 1]; the residual stem then is too.
- Input: magnitude over its running level, log-compressed (`nets.level`).
- Convolution, batch normalisation, ReLU in this order (`nets.causal`).
- Compression: 1x1 convolution, batch normalisation, ReLU.
- "[2, 2]": two layers per block, each dilated by 2 in frames and bins; they give the
  `2 k` in `m = k0 + 2 k + k L`.
- All padding in time is on the left and pools are aligned to 8 frames: a call of 8
  frames needs no frame after it.
"""

import torch
from torch import Tensor, nn

from .dense import DenseBlock
from .level import LevelCompressor
from .multiscale import MultiscaleNet

NUM_NET_BINS = 512
SPLIT_BIN = 256


class DMMDenseNet(nn.Module):
    """Magnitudes of the mixture -> logits of the music mask."""

    def __init__(self) -> None:
        super().__init__()
        self.level = LevelCompressor()
        self.low = MultiscaleNet(growth=16, num_layers=4, theta=0.13)
        self.high = MultiscaleNet(growth=10, num_layers=3, theta=0.20)
        self.full = MultiscaleNet(growth=6, num_layers=2, theta=0.16)
        assert self.low.out_features == self.high.out_features
        self.last = DenseBlock(self.low.out_features + self.full.out_features, 4, 2, 0.25)
        self.mask = nn.Conv2d(self.last.out_features, 1, 1)

    def forward(self, magnitude: Tensor) -> Tensor:
        """`[channel, frame, 512]` (frames divisible by 8) -> logits of the same shape."""
        x = self.level(magnitude)[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        bands = torch.cat([self.low(x[..., :SPLIT_BIN]), self.high(x[..., SPLIT_BIN:])], dim=3)
        x = self.last(torch.cat([bands, self.full(x)], dim=1))
        return self.mask(x)[:, 0]

    def music_mask(self, spectrum: Tensor) -> Tensor:
        """Whole-clip form of the exported model: complex `[channel, frame, 513]` -> mask.

        Any number of frames; the last call is filled up with zeros.
        """
        num_frames = spectrum.shape[1]
        magnitude = spectrum.abs()[..., :NUM_NET_BINS]
        fill = -num_frames % 8
        magnitude = nn.functional.pad(magnitude, (0, 0, 0, fill))
        mask = torch.sigmoid(self(magnitude).float())[:, :num_frames]
        return torch.cat([mask, mask[..., -1:]], dim=2)

"""The dilated multi-band multi-scale DenseNet (DMMDenseNet) and its relatives.

Choices that the published table leaves open, and what is taken here:

- 513 bins: Nyquist is dropped (512 divide by 8), its mask is bin 511's.
- The mask is a sigmoid: real, in [0, 1]; the residual stem then is too.
- Input: magnitude over its running level, log-compressed (`nets.axes`), in the centred
  networks too: all spectrogram systems are then given the same input.
- Convolution, batch normalisation, ReLU in this order (`nets.unit`).
- Compression: 1x1 convolution, batch normalisation, ReLU.
- A dilation reads frames x bins, as the first layer's "3 x 4" kernel does: "[2, 1]"
  dilates time, "[1, 2]" frequency, "[2, 2]" both. Two layers per block have it; they
  give the `2 k` in `m = k0 + 2 k + k L`. The last block is dilated as the others are.
- Without dilation the two layers are absent, not undilated, and `theta` is another
  (`nets.bands`).
- Padding in time: the paper's networks are centred (`look_ahead` "full"). With "none" all
  of it is on the left and pools are aligned to 8 frames: a call of 8 frames needs no frame
  after it. With "fine" the bands' nets are centred at their finest resolution, where a
  frame ahead costs one frame and not eight, and causal everywhere else.
"""

import torch
from torch import Tensor, nn

from ..grid import FRAMES_PER_CALL
from .axes import SPLIT_BAND
from .bands import DILATED, Bands
from .convolution import Pair
from .dense import DenseBlock
from .mask_separator import MaskSeparator
from .multiscale import NUM_LEVELS, MultiscaleNet

LOOK_AHEADS = ("none", "fine", "full")


class DMMDenseNet(MaskSeparator):
    """Magnitudes of the mixture -> logits of the music mask."""

    frame_multiple = FRAMES_PER_CALL

    def __init__(
        self,
        bands: Bands = DILATED,
        dilation: Pair | None = (2, 2),
        look_ahead: str = "full",
        axis: str = "paper",
        frames_per_call: int = FRAMES_PER_CALL,
    ) -> None:
        super().__init__(axis)
        if look_ahead not in LOOK_AHEADS:
            raise ValueError(f"look_ahead is {look_ahead!r}, expected one of {', '.join(LOOK_AHEADS)}")
        if frames_per_call < 1 or frames_per_call % self.frame_multiple:
            raise ValueError(f"frames_per_call is {frames_per_call}, expected a multiple of {self.frame_multiple}")
        # Of the streaming form: frames share each layer's overhead, and the first waits for the last.
        self.frames_per_call = frames_per_call
        # The paper's have nothing after the clip's end, as in training.
        self.silence_follows = look_ahead == "fine"
        causal = look_ahead == "none"
        coarse_causal = look_ahead != "full"
        self.low: MultiscaleNet | None = None
        self.high: MultiscaleNet | None = None
        if bands.low is not None and bands.high is not None:
            self.low = MultiscaleNet(bands.low, dilation, causal=causal, coarse_causal=coarse_causal)
            self.high = MultiscaleNet(bands.high, dilation, causal=causal, coarse_causal=coarse_causal)
            assert self.low.out_features == self.high.out_features
        self.full = MultiscaleNet(bands.full, dilation, causal=causal, coarse_causal=coarse_causal)
        features = self.full.out_features + (0 if self.low is None else self.low.out_features)
        last = bands.last
        self.last = DenseBlock(features, last.growth, last.num_layers, last.theta, dilation, causal=coarse_causal)
        self.mask = nn.Conv2d(self.last.out_features, 1, 1)

    @property
    def nets(self) -> list[MultiscaleNet]:
        return [net for net in (self.low, self.high, self.full) if net is not None]

    def latest_frame(self, frame: int) -> int:
        frame += self.last.ahead_frames
        return self.axis.latest_frame(max(net.latest_frame(frame) for net in self.nets))

    @property
    def look_back_frames(self) -> int:
        """Frames before its own that a mask may depend on, in whole calls; the running level (3 s) fades instead of ending."""
        reach = max(net.past_frames for net in self.nets) + self.last.past_frames
        # Pools are counted from the first frame: what a pool takes in may begin so much earlier.
        reach += 2**NUM_LEVELS - 1
        return -(-reach // FRAMES_PER_CALL) * FRAMES_PER_CALL

    def forward(self, levelled: Tensor) -> Tensor:
        """`[channel, frame, band]` (frames divisible by 8) -> logits of the same shape."""
        x = levelled[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        features = self.full(x)
        if self.low is not None and self.high is not None:
            bands = torch.cat([self.low(x[..., :SPLIT_BAND]), self.high(x[..., SPLIT_BAND:])], dim=3)
            features = torch.cat([bands, features], dim=1)
        return self.mask(self.last(features))[:, 0]

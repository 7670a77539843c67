"""A convolution over bands within a frame, whose features are the last axis.

Two ways to the same sums. The library's convolution brings weights into an order of its own
at every call, which a clip does not notice; of a few frames it takes twice as long as one
product of a matrix whose rows are what each output sees. That matrix is larger than the
input: of a clip, making it takes longer than all the rest.
"""

import torch
from torch import Tensor, nn

FEW_FRAMES = 32
"""Up to here the product is faster."""


class BandConvolution(nn.Conv2d):
    """`[channel, frame, band, in]` -> `[channel, frame, band / stride, out]`, zeros outside the bands."""

    def __init__(self, in_features: int, out_features: int, taps: int, stride: int = 1):
        # As many zeros on either side as leave `band / stride` outputs.
        super().__init__(in_features, out_features, (1, taps), (1, stride), (0, (taps - stride) // 2))
        self.taps: int = taps
        self.step: int = stride
        self.margin: int = (taps - stride) // 2
        self.few_frames: int = FEW_FRAMES

    def forward(self, x: Tensor) -> Tensor:
        channel, frame, band, features = x.shape
        if self.training or channel * frame > self.few_frames:
            y = nn.functional.conv2d(x.permute(0, 3, 1, 2), self.weight, self.bias, self.stride, (0, self.margin))
            return y.permute(0, 2, 3, 1)
        padded = nn.functional.pad(x, (0, 0, self.margin, self.margin)).reshape(channel * frame, -1)
        seen = padded.unfold(1, self.taps * features, self.step * features).reshape(-1, self.taps * features)
        weight = self.weight[:, :, 0].transpose(1, 2).reshape(self.out_channels, -1)
        return nn.functional.linear(seen, weight, self.bias).reshape(channel, frame, band // self.step, -1)

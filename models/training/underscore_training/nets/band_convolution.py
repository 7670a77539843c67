"""Convolutions over bands within a frame, whose features are the last axis.

Two ways to the same sums. The library's convolution brings weights into an order of its own
at every call, which of one frame is more than a product of a matrix whose rows are what each
output sees takes to make and to multiply. That matrix is larger than the input: of eight
frames, making it takes longer.
"""

import torch
from torch import Tensor, nn

FEW_FRAMES = 4
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
            # One clip of all frames, whatever channel they are of: on a card cuDNN takes Fourier transforms for many clips of few frames, and 60 times
            # as long.
            planes = x.reshape(1, channel * frame, band, features).permute(0, 3, 1, 2)
            y = nn.functional.conv2d(planes, self.weight, self.bias, self.stride, (0, self.margin))
            return y.permute(0, 2, 3, 1).reshape(channel, frame, band // self.step, -1)
        padded = nn.functional.pad(x, (0, 0, self.margin, self.margin)).reshape(channel * frame, -1)
        seen = padded.unfold(1, self.taps * features, self.step * features).reshape(-1, self.taps * features)
        weight = self.weight[:, :, 0].transpose(1, 2).reshape(self.out_channels, -1)
        return nn.functional.linear(seen, weight, self.bias).reshape(channel, frame, band // self.step, -1)


class ToOne(nn.Conv2d):
    """The same to one feature and of planes, `[channel, in, frame, band]` -> `[channel, frame, band]`.

    First what each band has for each of its neighbours, a product with many columns; then the neighbours' shares are added up.
    A convolution with a single output goes through its input tap by tap, and takes longer.
    """

    def __init__(self, in_features: int, taps: int):
        super().__init__(in_features, 1, (1, taps), padding=(0, taps // 2))
        self.taps: int = taps

    def forward(self, planes: Tensor) -> Tensor:
        channel, _, frame, band = planes.shape
        shares = torch.matmul(self.weight[0, :, 0].t(), planes.flatten(2)).reshape(channel, self.taps, frame, band)
        shares = nn.functional.pad(shares, (self.taps // 2, self.taps // 2))
        # Of each tap the shares lie one band further on: read so, those of one band stand one below the other.
        of_clip, of_tap, of_frame, of_band = shares.stride()
        total = shares.as_strided([channel, self.taps, frame, band], [of_clip, of_tap + of_band, of_frame, of_band]).sum(dim=1)
        bias = self.bias
        assert bias is not None
        return total + bias


def features_last(planes: Tensor) -> Tensor:
    """`[channel, feature, frame, band]` -> `[channel, frame, band, feature]`, as the layers take it."""
    return planes.permute(0, 2, 3, 1).contiguous()

"""Dense block, dilated or not: every layer reads the input and all earlier layers' outputs."""

import math

import torch
from torch import Tensor, nn

from .convolution import Pair
from .unit import ConvUnit, FoldedUnit

NUM_DILATED = 2
KERNEL = (3, 3)
STREAMED_DILATION = (2, 2)
"""The one dilation, of frames and bins, that has a streaming form."""
PAST_FRAMES = 2 * STREAMED_DILATION[0]
"""Frames of past that a streaming block keeps: what its dilated layers reach back."""


class DenseBlock(nn.Module):
    """`num_layers` plain layers, two layers dilated by `dilation`, one compression.

    With `k0` input features and growth `k` the layers leave `m = k0 + k L + 2 k`
    features, and a 1x1 unit compresses them to `floor(theta m)`. Without a dilation
    (`None`) the two layers are absent and `m = k0 + k L`.
    """

    def __init__(
        self,
        in_features: int,
        growth: int,
        num_layers: int,
        theta: float,
        dilation: Pair | None = STREAMED_DILATION,
        *,
        causal: bool = True,
    ):
        super().__init__()
        self.in_features = in_features
        self.growth = growth
        self.dilation = dilation
        dilations = [(1, 1)] * num_layers + ([] if dilation is None else [dilation] * NUM_DILATED)
        units: list[ConvUnit] = []
        features = in_features
        for of_layer in dilations:
            units.append(ConvUnit(features, growth, KERNEL, of_layer, causal=causal))
            features += growth
        self.units = nn.ModuleList(units)
        self.out_features = math.floor(theta * features)
        self.compress = ConvUnit(features, self.out_features, (1, 1), causal=causal)

    @property
    def ahead_frames(self) -> int:
        """Look-ahead at the block's own resolution."""
        return sum(unit.ahead_frames for unit in self.units)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, in, frame, bin]` -> `[batch, out, frame, bin]`."""
        for unit in self.units:
            x = torch.cat([x, unit(x)], dim=1)
        return self.compress(x)


def _convolution(weight: Tensor, bias: Tensor | None, dilation: int) -> nn.Conv2d:
    """A 3x3 convolution, padded in bins and not in frames, with the given parameters."""
    conv = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        KERNEL,
        padding=(0, dilation),
        dilation=dilation,
        bias=bias is not None,
    )
    conv.weight.data.copy_(weight)
    if bias is not None:
        conv.bias.data.copy_(bias)
    return conv


class StreamingDenseBlock(nn.Module):
    """A causal `DenseBlock` that continues from the features of the frames before.

    The block is computed by source instead of by layer: a feature that has just been
    made is convolved at once for all layers that read it, and each layer's sum grows
    until its turn comes. It is the same arithmetic; convolutions with few outputs run
    at a third of the speed of wide ones, so a call takes two thirds of the time.

    State: `[channel, k0 + k (L + 1), 4, bin]`, the last four frames of every feature
    that a 3x3 layer reads. One tensor serves all layers of the block.
    """

    def __init__(self, block: DenseBlock):
        super().__init__()
        if block.dilation != STREAMED_DILATION:
            raise ValueError(f"only blocks dilated by {STREAMED_DILATION} stream, not {block.dilation}")
        k0, k = block.in_features, block.growth
        plain = [unit.folded().conv for unit in block.units[:-NUM_DILATED]]
        first, second = (unit.folded().conv for unit in block.units[-NUM_DILATED:])
        features = k0 + k * len(plain)

        def weights(start: int, end: int, layers: list[nn.Conv2d]) -> Tensor:
            return torch.cat([conv.weight[:, start:end] for conv in layers])

        self.from_input = _convolution(weights(0, k0, plain), torch.cat([conv.bias for conv in plain]), 1)
        self.from_plain = nn.ModuleList(
            _convolution(weights(k0 + k * idx, k0 + k * (idx + 1), plain[idx + 1 :]), None, 1)
            for idx in range(len(plain) - 1)
        )
        self.from_all_plain = _convolution(
            weights(0, features, [first, second]), torch.cat([first.bias, second.bias]), STREAMED_DILATION[1]
        )
        self.from_dilated = _convolution(weights(features, features + k, [second]), None, STREAMED_DILATION[1])
        self.compress: FoldedUnit = block.compress.folded()
        self.in_features: int = k0
        self.growth: int = k
        self.state_features: int = features + k

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """`[channel, k0, frame, bin]` and the state -> output and the next state."""
        num_frames = x.shape[2]
        growth = self.growth
        features = self.in_features
        buffer = torch.empty(
            (x.shape[0], self.state_features, 4 + num_frames, x.shape[3]), dtype=x.dtype, device=x.device
        )
        buffer[:, :, :4] = past
        buffer[:, :features, 4:] = x
        pending = self.from_input(buffer[:, :features, 2:])
        for convolution in self.from_plain:
            end = features + growth
            buffer[:, features:end, 4:] = torch.relu(pending[:, :growth])
            pending = pending[:, growth:] + convolution(buffer[:, features:end, 2:])
            features = end
        buffer[:, features : features + growth, 4:] = torch.relu(pending)
        features += growth
        pending = self.from_all_plain(buffer[:, :features])
        buffer[:, features:, 4:] = torch.relu(pending[:, :growth])
        last = torch.relu(pending[:, growth:] + self.from_dilated(buffer[:, features:]))
        y = self.compress(torch.cat([buffer[:, :, 4:], last], dim=1))
        return y, buffer[:, :, num_frames:].clone()

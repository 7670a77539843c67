"""Dilated dense block: every layer reads the input and all earlier layers' outputs."""

import math

import torch
from torch import Tensor, nn

from .causal import CausalUnit, FoldedUnit

NUM_DILATED = 2
DILATION = 2
KERNEL = (3, 3)
PAST_FRAMES = 2 * DILATION
"""Frames of past that a block keeps: what its dilated layers reach back."""


class DenseBlock(nn.Module):
    """`num_layers` plain layers, two layers dilated by 2 in both axes, one compression.

    With `k0` input features and growth `k` the layers leave `m = k0 + k L + 2 k`
    features, and a 1x1 unit compresses them to `floor(theta m)`.
    """

    def __init__(self, in_features: int, growth: int, num_layers: int, theta: float):
        super().__init__()
        self.in_features = in_features
        self.growth = growth
        units: list[CausalUnit] = []
        features = in_features
        for layer in range(num_layers + NUM_DILATED):
            dilation = 1 if layer < num_layers else DILATION
            units.append(CausalUnit(features, growth, KERNEL, dilation))
            features += growth
        self.units = nn.ModuleList(units)
        self.out_features = math.floor(theta * features)
        self.compress = CausalUnit(features, self.out_features, (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, in, frame, bin]` -> `[batch, out, frame, bin]`."""
        for unit in self.units:
            x = torch.cat([x, unit(x)], dim=1)
        return self.compress(x)


class StreamingDenseBlock(nn.Module):
    """A `DenseBlock` that continues from the features of the frames before.

    State: `[channel, k0 + k (L + 1), 4, bin]`, the last four frames of every feature
    that a 3x3 layer reads. One tensor serves all layers of the block.
    """

    def __init__(self, block: DenseBlock):
        super().__init__()
        self.plain = nn.ModuleList([unit.folded() for unit in block.units[:-NUM_DILATED]])
        self.dilated = nn.ModuleList([unit.folded() for unit in block.units[-NUM_DILATED:]])
        self.compress: FoldedUnit = block.compress.folded()
        self.in_features: int = block.in_features
        self.growth: int = block.growth
        self.state_features: int = block.in_features + block.growth * (len(block.units) - 1)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """`[channel, k0, frame, bin]` and the state -> output and the next state."""
        num_frames = x.shape[2]
        features = self.in_features
        growth = self.growth
        # One buffer for all features, filled in place: concatenating after every
        # layer would copy each feature up to six times.
        buffer = torch.empty(
            (x.shape[0], self.state_features, 4 + num_frames, x.shape[3]), dtype=x.dtype, device=x.device
        )
        buffer[:, :, :4] = past
        buffer[:, :features, 4:] = x
        for unit in self.plain:
            buffer[:, features : features + growth, 4:] = unit(buffer[:, :features, 2:])
            features += growth
        last = x
        for unit in self.dilated:
            last = unit(buffer[:, :features])
            if features < self.state_features:
                buffer[:, features : features + growth, 4:] = last
                features += growth
        y = self.compress(torch.cat([buffer[:, :, 4:], last], dim=1))
        return y, buffer[:, :, num_frames:].clone()

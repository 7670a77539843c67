"""Dense block, dilated or not: every layer reads the input and all earlier layers' outputs."""

import math

import torch
from torch import Tensor, nn

from .convolution import Pair
from .unit import ConvUnit

NUM_DILATED = 2
KERNEL = (3, 3)


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
        dilation: Pair | None,
        *,
        causal: bool,
    ):
        super().__init__()
        self.in_features = in_features
        self.growth = growth
        self.num_layers = num_layers
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

    @property
    def past_frames(self) -> int:
        """Look-back at the block's own resolution."""
        return sum(unit.past_frames for unit in self.units)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, in, frame, bin]` -> `[batch, out, frame, bin]`."""
        for unit in self.units:
            x = torch.cat([x, unit(x)], dim=1)
        return self.compress(x)

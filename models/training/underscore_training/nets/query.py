"""What a sound is like, as a point: the network that listens to an example.

After Lee, Choi and Lee, "Audio query-based music source separation" (ISMIR 2019): six
strided convolutions over (frame, band) with instance normalisation, a recurrent layer over
what is left of time, and the mean and log-variance of a point in 32 dimensions.

It reads the bent axis, by one level for the whole example: a query has ended when it is
listened to, and how loud it was plays no part.
"""

import torch
from torch import Tensor, nn

from .axes import BentAxis

EMBEDDING_SIZE = 32
QUERY_FRAMES = 184
"""2.99 s: the frames of three seconds that are whole, of which six halvings by padding leave two."""
FEATURES = (32, 32, 64, 64, 128, 128)
MEMORY = 128
FIRST_LOG_VAR = -5.0


class QueryNet(nn.Module):
    """Magnitude of an example -> mean and log-variance of its embedding."""

    def __init__(self, embedding_size: int = EMBEDDING_SIZE):
        super().__init__()
        self.axis = BentAxis()
        sizes = (1, *FEATURES)
        layers: list[nn.Module] = []
        for before, after in zip(sizes, sizes[1:]):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.InstanceNorm2d(after, affine=True), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        bands = BentAxis.num_bands >> len(FEATURES)
        self.over_time = nn.GRU(FEATURES[-1] * bands, MEMORY, batch_first=True)
        self.mean = nn.Linear(MEMORY, embedding_size)
        self.log_var = nn.Linear(MEMORY, embedding_size)
        # Near their means at first: points that are all noise tell nothing, and what is told nothing is not listened to.
        nn.init.constant_(self.log_var.bias, FIRST_LOG_VAR)

    def forward(self, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """`[query, frame, bin]` of `QUERY_FRAMES` frames or so -> two of `[query, embedding]`."""
        x = self.convolutions(self.axis.whole(magnitude)[:, None])
        _, last = self.over_time(x.permute(0, 2, 1, 3).flatten(2))
        return self.mean(last[0]), self.log_var(last[0]).clamp(-8.0, 4.0)

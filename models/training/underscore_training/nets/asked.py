"""A separator that is asked: the deployed network, told by an embedding what to look for.

After the Separator of Lee, Choi and Lee (see `query`), a U-net whose input and decoder
layers are given the embedding. What differs, and why:

- **The deployed network's encoder, core and decoder** (`crn`): causal, no frame computed
  twice, and as cheap. Its weights can be begun from.
- **The embedding scales and shifts what each layer of the encoder gives**, where the thesis
  lays it beside the input: a constant channel is a shift of the first layer, and no more.
- **Adaptive instance normalisation by running statistics** in the decoder: mean and
  deviation of each feature over bands and the past 5 s, exact from the first frame on, the
  same in training as in calls.
"""

import copy

import torch
from torch import Tensor, nn

from ..grid import stft
from .band_convolution import features_last
from .crn import CRN
from .level import RunningMean, keep_per
from .query import EMBEDDING_SIZE, QueryNet

NUM_KINDS = 14
"""The classes of `mixtures.asked`; the pieces of a drum kit come after them."""
STATISTICS_S = 5.0
VARIANCE_FLOOR = 1e-4
FIRST_TOLD = 0.15
"""Deviation of the weights that tell layers of the embedding. With 0.02, and points as noisy as they are wide, nothing was ever
learnt of it in 600 steps."""


class Modulation(nn.Module):
    """Scales and shifts each feature as an embedding says."""

    def __init__(self, num_features: int, embedding_size: int):
        super().__init__()
        self.told = nn.Linear(embedding_size, 2 * num_features)
        nn.init.normal_(self.told.weight, std=FIRST_TOLD)
        nn.init.zeros_(self.told.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """`[channel, frame, band, feature]`, `[channel, embedding]` -> as `x`."""
        scale, shift = self.scale_and_shift(embedding)
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))

    def scale_and_shift(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """`[channel, 1, 1, feature]` each."""
        more, shift = self.told(embedding)[:, None, None].chunk(2, dim=3)
        return 1.0 + more, shift


class RunningNorm(nn.Module):
    """Mean and deviation of each feature over all bands and the past. State `[channel, 2 feature, 2]`."""

    def __init__(self, num_features: int, hop_s: float):
        super().__init__()
        self.num_features: int = num_features
        self.mean = RunningMean(keep_per(hop_s, STATISTICS_S))
        self.floor: float = VARIANCE_FLOOR

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[channel, frame, band, feature]` and state -> mean and deviation `[channel, frame, 1, feature]`, next state."""
        mean = x.mean(dim=2, dtype=torch.float32)
        moments = torch.cat([mean, x.square().mean(dim=2, dtype=torch.float32)], dim=2)
        # In double precision: where a feature hardly moves, its variance is a small difference of large numbers.
        by_feature = moments.double().transpose(1, 2).reshape(-1, x.shape[1])
        means, next_state = self.mean(by_feature, state.reshape(-1, 2).double())
        means = means.reshape(x.shape[0], 2 * self.num_features, -1).transpose(1, 2)[:, :, None]
        mean, power = means[..., : self.num_features], means[..., self.num_features :]
        deviation = torch.sqrt((power - mean.square()).clamp_min(0.0) + self.floor)
        next_state = next_state.to(state.dtype).reshape(-1, 2 * self.num_features, 2)
        return mean.float(), deviation.float(), next_state


class WindowNorm(nn.Module):
    """Mean and deviation of each feature over all bands and all frames, as the thesis' Separator has them of its window: what lies ahead is
    known. In the place of a `RunningNorm`, whose state it leaves alone."""

    def __init__(self, running: RunningNorm):
        super().__init__()
        self.num_features = running.num_features
        self.floor = running.floor

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[channel, frame, band, feature]` and state -> mean and deviation `[channel, 1, 1, feature]`, state."""
        seen = x.double()
        mean = seen.mean(dim=(1, 2), keepdim=True)
        deviation = torch.sqrt(seen.var(dim=(1, 2), keepdim=True, correction=0) + self.floor)
        return mean.float(), deviation.float(), state


class AdaptiveNorm(nn.Module):
    """Adaptive instance normalisation (Huang and Belongie 2017): each feature less its mean, by its deviation, then scaled and shifted as an
    embedding says; all in one product and sum."""

    def __init__(self, num_features: int, embedding_size: int, hop_s: float):
        super().__init__()
        self.statistics = RunningNorm(num_features, hop_s)
        self.modulation = Modulation(num_features, embedding_size)

    def forward(self, x: Tensor, state: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """`[channel, frame, band, feature]`, state of `RunningNorm`, `[channel, embedding]` -> the first two."""
        mean, deviation, next_state = self.statistics(x, state)
        scale, shift = self.modulation.scale_and_shift(embedding)
        scale = scale / deviation
        return torch.addcmul((shift - mean * scale).to(x.dtype), x, scale.to(x.dtype)), next_state


class AskedCRN(CRN):
    """Magnitudes of the mixture, state, embedding -> logits of the target's mask and state."""

    open_ended = ("named",)

    def __init__(self, embedding_size: int = EMBEDDING_SIZE, num_kinds: int = NUM_KINDS, **options):
        super().__init__(**options)
        self.embedding_size: int = embedding_size
        self.query = QueryNet(embedding_size)
        # Of no use but for training.
        self.named = nn.Linear(embedding_size, num_kinds)
        hop_s = self.grid.hop_samples / self.grid.sample_rate_hz
        encoded = [layer.conv.out_channels for layer in self.down]
        self.told_down = nn.ModuleList(Modulation(features, embedding_size) for features in encoded)
        self.told_core = Modulation(encoded[-1], embedding_size)
        decoded = [layer.out_features for layer in self.up]
        self.told_up = nn.ModuleList(AdaptiveNorm(features, embedding_size, hop_s) for features in decoded)

    def state_shapes(self) -> list[list[int]]:
        """Those of `CRN`, then the statistics of the decoder's layers."""
        return super().state_shapes() + [[-1, 2 * told.statistics.num_features, 2] for told in self.told_up]

    def forward(self, magnitude: Tensor, state: list[Tensor], embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `CRN`, asked by `embedding` `[channel, embedding]`."""
        seen, seen_late, next_state = self.seen(magnitude, state)
        x = features_last(seen)
        skips: list[Tensor] = []
        for layer, told in zip(self.down, self.told_down):
            x = told(layer(x), embedding)
            skips.append(x)
        delayed = self.wait(skips, state, next_state)
        x = self.told_core(self.remember(x, state, next_state), embedding)
        for layer, told in zip(self.up, self.told_up):
            x = layer(torch.cat([x.to(delayed[-1].dtype), delayed.pop()], dim=3))
            x, statistics = told(x, state[len(next_state)], embedding)
            next_state.append(statistics)
        return self.decided(x, seen_late), next_state

    def embedding_of(self, example: Tensor) -> Tensor:
        """Waveform `[query, sample]` of `QUERY_FRAMES` frames -> mean of its embedding `[query, embedding]`."""
        return self.query(stft(example, self.grid).abs())[0]

    def logits(self, magnitude: Tensor, embedding: Tensor | None = None) -> Tensor:
        """The whole clip: `[batch, frame, bin]`, `[batch, embedding]` -> logits `[batch, frame, bin]`; asked for nothing, the space's middle."""
        if embedding is None:
            embedding = magnitude.new_zeros(magnitude.shape[0], self.embedding_size)
        padded = nn.functional.pad(magnitude, (0, 0, 0, self.look_ahead_frames))
        logits, _ = self(padded, self.zero_state(magnitude.shape[0], magnitude), embedding)
        return logits[:, self.look_ahead_frames :]

    def in_one_window(self) -> "AskedCRN":
        """The same network, which knows the statistics of the whole clip from its first frame on: to compare the stream with. Not to be exported."""
        found = copy.deepcopy(self)
        for told in found.told_up:
            told.statistics = WindowNorm(told.statistics)
        return found

"""The Wave-U-Net of Stoller et al. (2018): waveform in, music waveform out.

Taken from their text: 12 levels with 24 more features each, kernels of 15 samples down
and 5 up, LeakyReLU, every second sample kept going down, linear interpolation going up,
the mixture joined on before a 1x1 output with tanh; no batch normalisation. One source is
predicted and the other is the mixture minus it (their "difference output").

Choices, and what is taken here:

- Same padding with zeros, not their input context (M4): the context at 16 kHz is more
  than 4 s on each side, twice a training clip, and any length must pass. The length is
  filled up with zeros to a multiple of 4096.
- Linear interpolation keeps every coarse sample where decimation took it from (2 c), and
  puts the mean of two neighbours between them; the last is held.
- Gain: the clip is brought to an RMS of 0.1 and the estimate back. The mask systems do
  not depend on level, and a network with biases and tanh would. In a stream a running
  level would stand in for the clip's.
- 16 kHz, mono, as the other systems (theirs: 22.05 kHz).
- LeakyReLU's slope is 0.2, the default of the framework they used.
"""

import torch
from torch import Tensor, nn

from ..grid import SAMPLE_RATE_HZ

NUM_LEVELS = 12
GROWTH = 24
DOWN_KERNEL = 15
UP_KERNEL = 5
SLOPE = 0.2
RMS = 0.1
SILENT_RMS = 1e-5
"""-100 dBFS: what is below is not brought up to `RMS`. Keeps silence silent."""


def _layer(in_features: int, out_features: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(in_features, out_features, kernel, padding=kernel // 2),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def interpolate(x: Tensor) -> Tensor:
    """`[batch, feature, sample]` -> `[batch, feature, 2 sample]`; sample c moves to 2 c."""
    after = torch.cat([x[..., 1:], x[..., -1:]], dim=2)
    return torch.stack([x, (x + after) / 2], dim=3).flatten(2)


class WaveUNet(nn.Module):
    """Mixture -> music; the mixture minus it is the dialogue."""

    sample_rate_hz: int = SAMPLE_RATE_HZ

    def __init__(self) -> None:
        super().__init__()
        features = [GROWTH * (level + 1) for level in range(NUM_LEVELS + 1)]
        self.down = nn.ModuleList(
            _layer(before, after, DOWN_KERNEL) for before, after in zip([1, *features[:-2]], features[:-1])
        )
        self.bottom = _layer(features[-2], features[-1], DOWN_KERNEL)
        self.up = nn.ModuleList(
            _layer(features[level + 1] + features[level], features[level], UP_KERNEL)
            for level in reversed(range(NUM_LEVELS))
        )
        self.music = nn.Conv1d(features[0] + 1, 1, 1)

    def latest_sample(self, sample: int) -> int:
        """The last input sample that output `sample` depends on, the gain aside."""

        def at_level(level: int, sample: int) -> int:
            if level < NUM_LEVELS:
                sample += UP_KERNEL // 2
                # An odd sample lies between two coarse ones; decimation took c from 2 c.
                sample = max(sample, 2 * at_level(level + 1, (sample + 1) // 2))
            return sample + DOWN_KERNEL // 2

        return at_level(0, sample)

    @property
    def look_ahead_samples(self) -> int:
        """Mixture after a sample that its estimate depends on, at worst."""
        return max(self.latest_sample(sample) - sample for sample in range(2**NUM_LEVELS))

    def estimate(self, mixture: Tensor) -> Tensor:
        """`[batch, sample]`, samples divisible by 4096, brought to `RMS` -> music `[batch, sample]`."""
        mixture = mixture[:, None]
        x = mixture
        skips: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
            x = x[..., ::2]
        x = self.bottom(x)
        for layer in self.up:
            x = layer(torch.cat([interpolate(x), skips.pop()], dim=1))
        return torch.tanh(self.music(torch.cat([x, mixture], dim=1)))[:, 0]

    def forward(self, mixture: Tensor) -> Tensor:
        """`[batch, sample]` of any length -> music `[batch, sample]`."""
        num_samples = mixture.shape[1]
        gain = RMS / mixture.square().mean(dim=1, keepdim=True).sqrt().clamp_min(SILENT_RMS)
        filled = nn.functional.pad(mixture * gain, (0, -num_samples % 2**NUM_LEVELS))
        return self.estimate(filled)[:, :num_samples].float() / gain

    def separate(self, mixture: Tensor) -> Tensor:
        """`forward`, by the name that all systems have."""
        return self(mixture)

"""A causal convolutional recurrent network with a dual-path core (CRN), the deployed separator.

After DPCRN (Le, Chen, Chen and Lu, Interspeech 2021): an encoder that halves the band
axis four times, recurrent layers that run over time in every band and over the bands in
every frame, and a decoder with skips. What differs, and why:

- **A real mask from magnitudes.** The plugin links stereo channels by the RMS of their
  magnitudes, which have no phase; and a phase-sensitive real mask allows 15 dB.
- **Full band on a bent axis.** Below 8 kHz each bin is a band. Above, 16 bins are one:
  there is no pitch to tell apart, and an eighth of the work is left. Masks there are
  interpolated between band centres.
- **Never pooled in time.** Any number of frames may be given to a call.
- **Look-ahead by delay.** The decoder works `look_ahead_frames` behind the encoder and
  the core: its skips come out of a delay line, so that the core has heard that much of
  what follows. It costs no arithmetic.
- **A running level is divided out** (`LevelFollower`): the mask does not depend on a fader.

Frames before the first are zero in every cache, in both forms.
"""

import torch
from torch import Tensor, nn

from ..grid import Grid, grid_at
from .level import LEVEL_FLOOR, keep_per, running_mean
from .mask_separator import MaskSeparator

SAMPLE_RATE_HZ = 32_000
NUM_NARROW = 512
"""Bins below 8 kHz, one band each."""
WIDE_BINS = 16
"""Bins per band above 8 kHz: 250 Hz."""
CORE_DIVISOR = 16
NUM_INPUTS = 3
"""A frame and the two before it: onsets and decays, seen at full resolution."""


class LevelFollower(nn.Module):
    """Divides magnitudes by their running RMS below 8 kHz, frame by frame, and takes a logarithm of each band by its own gain."""

    def __init__(self, hop_s: float, num_bands: int):
        super().__init__()
        self.keep: float = keep_per(hop_s)
        self.floor: float = LEVEL_FLOOR
        self.num_narrow: int = NUM_NARROW
        # Programmes fall by some 6 dB an octave; what is soft above is lifted into the logarithm's curved part.
        tilt = torch.log(4.0 * (1.0 + torch.arange(num_bands) / 24.0))
        self.log_gain = nn.Parameter(tilt)

    def forward(self, magnitude: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitude `[channel, frame, band]`, state of `running_mean` -> network input of the same shape, state."""
        power = magnitude[:, :, : self.num_narrow].square().mean(dim=2)
        mean, state = running_mean(power, state, self.keep)
        level = torch.sqrt(mean) + self.floor
        return torch.log1p(torch.exp(self.log_gain) * (magnitude / level[:, :, None])), state


class Down(nn.Module):
    """Halves the bands: convolution over bands within a frame, ReLU.

    No normalisation: the input is levelled, and on a processor it would take more time than
    the convolutions. `[channel, feature, frame, band]`.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.conv = nn.Conv2d(in_features, out_features, (1, 6), (1, 2), (0, 2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))


class Up(nn.Module):
    """Doubles the bands: a convolution makes two bands' features of one (sub-pixel convolution), ReLU."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.out_features: int = out_features
        self.conv = nn.Conv2d(in_features, 2 * out_features, (1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[channel, in, frame, band]` -> `[channel, out, frame, 2 band]`."""
        y = torch.relu(self.conv(x)).permute(0, 2, 3, 1)
        # In this order of axes, the one that convolutions work in, it is the same memory.
        y = y.reshape(y.shape[0], y.shape[1], 2 * y.shape[2], self.out_features)
        return y.permute(0, 3, 1, 2)


class DualPath(nn.Module):
    """Memory across bands within a frame, then across frames within a band; each adds to what came in."""

    def __init__(self, features: int, time_memory: int, band_memory: int, dropout: float):
        super().__init__()
        self.band_norm = nn.LayerNorm(features)
        self.over_bands = nn.LSTM(features, band_memory, batch_first=True, bidirectional=True)
        self.from_bands = nn.Linear(2 * band_memory, features)
        self.time_norm = nn.LayerNorm(features)
        self.over_time = nn.LSTM(features, time_memory, batch_first=True)
        self.from_time = nn.Linear(time_memory, features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[channel, frame, band, feature]`, memories `[channel, band, memory]` -> the same three."""
        channel, frame, band, features = x.shape
        y = self.band_norm(x).reshape(channel * frame, band, features)
        y = self.from_bands(self.dropout(self.over_bands(y)[0]))
        x = x + y.reshape(channel, frame, band, features)
        y = self.time_norm(x).transpose(1, 2).reshape(channel * band, frame, features)
        before = (hidden.reshape(1, channel * band, -1), cell.reshape(1, channel * band, -1))
        y, after = self.over_time(y, before)
        y = self.from_time(self.dropout(y)).reshape(channel, band, frame, features).transpose(1, 2)
        return x + y, after[0].reshape(channel, band, -1), after[1].reshape(channel, band, -1)


class CRN(MaskSeparator):
    """Magnitudes of the mixture and state -> logits of the music mask and state."""

    grid: Grid = grid_at(SAMPLE_RATE_HZ)

    def __init__(
        self,
        features: tuple[int, ...] = (16, 32, 48, 64),
        time_memory: int = 128,
        band_memory: int = 64,
        num_blocks: int = 3,
        last_features: int = 8,
        look_ahead_frames: int = 8,
        dropout: float = 0.0,
    ):
        super().__init__()
        num_wide = (self.grid.num_bins - 1 - NUM_NARROW) // WIDE_BINS
        # TorchScript knows attributes and not the module's constants.
        self.num_narrow: int = NUM_NARROW
        self.num_wide: int = num_wide
        self.num_bands: int = NUM_NARROW + num_wide
        self.look_ahead_frames: int = look_ahead_frames
        self.time_memory: int = time_memory
        self.core_bands: int = self.num_bands // CORE_DIVISOR
        self.level = LevelFollower(self.grid.hop_samples / SAMPLE_RATE_HZ, self.num_bands)
        sizes = [NUM_INPUTS, *features]
        self.down = nn.ModuleList(Down(before, after) for before, after in zip(sizes, features))
        self.core = nn.ModuleList(DualPath(features[-1], time_memory, band_memory, dropout) for _ in range(num_blocks))
        raised = [*reversed(features[:-1]), last_features]
        self.up = nn.ModuleList(Up(2 * before, after) for before, after in zip(reversed(features), raised))
        self.last = nn.Conv2d(last_features + NUM_INPUTS, 1, (1, 5), padding=(0, 2))
        self.register_buffer("spread", self._spread(num_wide), persistent=False)

    @staticmethod
    def _spread(num_wide: int) -> Tensor:
        """`[band, bin]`: linear interpolation of wide bands' values to their bins, level beyond the outer centres."""
        place = ((torch.arange(num_wide * WIDE_BINS) + 0.5) / WIDE_BINS - 0.5).clamp(0, num_wide - 1)
        return (1 - (place[None] - torch.arange(num_wide)[:, None]).abs()).clamp_min(0)

    def state_shapes(self) -> list[list[int]]:
        """Level; the two frames before; delayed skips, the input first; memories of each block. -1: channels."""
        delay, bands = self.look_ahead_frames, self.num_bands
        shapes = [[-1, 2], [-1, 1, NUM_INPUTS - 1, bands], [-1, NUM_INPUTS, delay, bands]]
        for layer in self.down:
            bands //= 2
            shapes.append([-1, layer.conv.out_channels, delay, bands])
        return shapes + [[-1, self.core_bands, self.time_memory]] * (2 * len(self.core))

    def forward(self, magnitude: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Magnitude `[channel, frame, bin]` of any number of frames -> logits of the same shape, next state.

        The logits at place `j` belong to the frame `look_ahead_frames` before place `j`.
        """
        channel, frame = magnitude.shape[0], magnitude.shape[1]
        narrow = self.num_narrow
        # Nyquist, the last bin, is left out here and takes the topmost mask below.
        wide = magnitude[:, :, narrow:-1].square().reshape(channel, frame, self.num_wide, -1).mean(dim=3).sqrt()
        levelled, level = self.level(torch.cat([magnitude[:, :, :narrow], wide], dim=2), state[0])
        recent = torch.cat([state[1], levelled[:, None]], dim=2)
        next_state = [level, recent[:, :, frame:]]
        # A frame and the two before it, side by side.
        x = torch.cat([recent[:, :, 2:], recent[:, :, 1:-1], recent[:, :, :-2]], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        skips = [x]
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        delayed: list[Tensor] = []
        slot = 2
        for skip in skips:
            line = torch.cat([state[slot].to(skip.dtype), skip], dim=2)
            delayed.append(line[:, :, :frame])
            next_state.append(line[:, :, frame:])
            slot += 1
        y = x.permute(0, 2, 3, 1)
        for block in self.core:
            y, hidden, cell = block(y, state[slot], state[slot + 1])
            next_state.append(hidden)
            next_state.append(cell)
            slot += 2
        x = y.permute(0, 3, 1, 2)
        for layer in self.up:
            x = layer(torch.cat([x.to(delayed[-1].dtype), delayed.pop()], dim=1))
        logits = self.last(torch.cat([x, delayed.pop().to(x.dtype)], dim=1))[:, 0]
        wide = logits[:, :, narrow:] @ self.spread.to(logits.dtype)
        return torch.cat([logits[:, :, :narrow], wide, wide[:, :, -1:]], dim=2), next_state

    def latest_frame(self, frame: int) -> int:
        return frame + self.look_ahead_frames

    def zero_state(self, num_channels: int, like: Tensor) -> list[Tensor]:
        return [like.new_zeros([num_channels, *shape[1:]]) for shape in self.state_shapes()]

    def logits(self, magnitude: Tensor) -> Tensor:
        """The whole clip: `[batch, frame, bin]` -> logits of the same shape, look-ahead made up for with silence."""
        padded = nn.functional.pad(magnitude, (0, 0, 0, self.look_ahead_frames))
        logits, _ = self(padded, self.zero_state(magnitude.shape[0], magnitude))
        return logits[:, self.look_ahead_frames :]

"""A causal convolutional recurrent network with a dual-path core (CRN), the deployed separator.

After DPCRN (Le, Chen, Chen and Lu, Interspeech 2021): an encoder that halves the band
axis four times, recurrent layers that run over time in every band and over the bands in
every frame, and a decoder with skips. What differs, and why:

- **A real mask from magnitudes.** The plugin links stereo channels by the RMS of their
  magnitudes, which have no phase; and a phase-sensitive real mask allows 15 dB.
- **Full band on a bent axis** (`nets.axes`), which divides out a running level too: the
  mask does not depend on a fader.
- **What has lain in a bin.** A pad holds still where a voice moves, and only single bins
  tell the two apart; a core that sees 16 bins as one cannot. So a mean and two minima over
  the past stand beside each bin (`Holding`): no arithmetic to speak of.
- **Never pooled in time.** Any number of frames may be given to a call.
- **Look-ahead by delay.** The decoder works `look_ahead_frames` behind the encoder and
  the core: its skips come out of a delay line, so that the core has heard that much of
  what follows. It costs no arithmetic.

Frames before the first are zero in every cache, in both forms.
"""

import torch
from torch import Tensor, nn

from ..grid import FRAMES_PER_CALL, WINDOW_S
from .axes import BentAxis
from .band_convolution import BandConvolution, ToOne, features_last
from .level import RunningMean, keep_per
from .mask_separator import MaskSeparator

CORE_DIVISOR = 16
NUM_RECENT = 3
"""A frame and the two before it: onsets and decays, seen at full resolution."""
NUM_HELD = 3
"""Mean, short and long minimum."""
HELD_S = 0.4
"""Time constant of the mean."""
SHORT_FRAMES = 16
LONG_FRAMES = 64
"""Frames of the minima, themselves included; powers of two: 0.26 and 1.02 s."""
CEILING = 16.0
"""More than a levelled band ever is."""


class Down(nn.Module):
    """Halves the bands: convolution over bands within a frame, ReLU.

    No normalisation: the input is levelled, and on a processor it would take more time than
    the convolutions.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.conv = BandConvolution(in_features, out_features, 6, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """`[channel, frame, band, in]` -> `[channel, frame, band / 2, out]`."""
        return torch.relu_(self.conv(x))


class Up(nn.Module):
    """Doubles the bands: a convolution makes two bands' features of one (sub-pixel convolution), ReLU."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.out_features: int = out_features
        self.conv = BandConvolution(in_features, 2 * out_features, 3)

    def forward(self, x: Tensor) -> Tensor:
        """`[channel, frame, band, in]` -> `[channel, frame, 2 band, out]`."""
        y = torch.relu_(self.conv(x))
        # The same memory, read otherwise.
        return y.reshape(y.shape[0], y.shape[1], 2 * y.shape[2], self.out_features)


class Holding(nn.Module):
    """Of each band: its mean and its minima over the past, frame by frame. No gradient: it is input.

    State: that of the mean, and what is left to the ceiling in the frames before. A zero
    state then holds no frame at all, and no minimum asks for more.
    """

    def __init__(self, num_bands: int, hop_s: float):
        super().__init__()
        self.num_bands: int = num_bands
        self.mean = RunningMean(keep_per(hop_s, HELD_S))
        self.ceiling: float = CEILING
        self.short_frames: int = SHORT_FRAMES
        self.long_frames: int = LONG_FRAMES

    @torch.jit.ignore
    def state_shapes(self) -> list[list[int]]:
        return [[-1, self.num_bands, 2], [-1, self.long_frames - 1, self.num_bands]]

    def forward(self, x: Tensor, mean_state: Tensor, before: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """`[channel, frame, band]` and the two states -> mean, short and long minimum, shaped as `x`, and the two states."""
        x = x.detach()
        frame = x.shape[1]
        by_band = x.transpose(1, 2).reshape(-1, frame)
        mean, mean_state = self.mean(by_band, mean_state.reshape(-1, 2))
        mean = mean.reshape(x.shape[0], self.num_bands, frame).transpose(1, 2)
        left = torch.cat([before, torch.rsub(x, self.ceiling).clamp_min(0.0)], dim=1)
        # Doubled: of two windows side by side the larger is that of both.
        largest, span = left, 1
        short = left
        while span < self.long_frames:
            if span == self.short_frames:
                short = largest
            largest = torch.maximum(largest[:, span:], largest[:, : largest.shape[1] - span])
            span *= 2
        held = [mean] + [torch.rsub(window[:, window.shape[1] - frame :], self.ceiling) for window in (short, largest)]
        return held, mean_state.reshape(-1, self.num_bands, 2), left[:, frame:]


class DualPath(nn.Module):
    """Memory across bands within a frame, then across frames within a band; each adds to what came in."""

    def __init__(self, features: int, time_memory: int, band_memory: int, dropout: float):
        super().__init__()
        self.band_norm = nn.LayerNorm(features)
        self.over_bands = nn.LSTM(features, band_memory, bidirectional=True)
        self.from_bands = nn.Linear(2 * band_memory, features)
        self.time_norm = nn.LayerNorm(features)
        self.over_time = nn.LSTM(features, time_memory)
        self.from_time = nn.Linear(time_memory, features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[channel, frame, band, feature]`, memories `[channel, band, memory]` -> the same three."""
        channel, frame, band, features = x.shape
        # The axis that a layer goes along comes first, as it works: what it gives is one piece of memory then, and a matrix.
        y = self.band_norm(x).reshape(channel * frame, band, features).transpose(0, 1)
        y = self.from_bands(self.dropout(self.over_bands(y)[0]))
        x = x + y.transpose(0, 1).reshape(channel, frame, band, features)
        y = self.time_norm(x).transpose(0, 1).reshape(frame, channel * band, features)
        before = (hidden.reshape(1, channel * band, -1), cell.reshape(1, channel * band, -1))
        y, after = self.over_time(y, before)
        y = self.from_time(self.dropout(y)).reshape(frame, channel, band, features).transpose(0, 1)
        return x + y, after[0].reshape(channel, band, -1), after[1].reshape(channel, band, -1)


class CRN(MaskSeparator):
    """Magnitudes of the mixture and state -> logits of the music mask and state."""

    silence_follows = True

    def __init__(
        self,
        features: tuple[int, ...] = (16, 32, 48, 64),
        time_memory: int = 128,
        band_memory: int = 64,
        num_blocks: int = 3,
        last_features: int = 8,
        look_ahead_frames: int = 8,
        dropout: float = 0.0,
        synthesis_s: float = WINDOW_S,
        frames_per_call: int = FRAMES_PER_CALL,
    ):
        super().__init__("bent", synthesis_s)
        # TorchScript knows attributes and not the module's constants.
        self.num_bands: int = BentAxis.num_bands
        self.look_ahead_frames: int = look_ahead_frames
        # Of the streaming form: frames share each layer's overhead, and the first waits for the last.
        # `training/README.md` has what other lengths cost.
        self.frames_per_call: int = frames_per_call
        self.time_memory: int = time_memory
        self.core_bands: int = self.num_bands // CORE_DIVISOR
        self.holding = Holding(self.num_bands, self.grid.hop_samples / self.grid.sample_rate_hz)
        sizes = [NUM_RECENT + NUM_HELD, *features]
        self.down = nn.ModuleList(Down(before, after) for before, after in zip(sizes, features))
        self.core = nn.ModuleList(DualPath(features[-1], time_memory, band_memory, dropout) for _ in range(num_blocks))
        raised = [*reversed(features[:-1]), last_features]
        self.up = nn.ModuleList(Up(2 * before, after) for before, after in zip(reversed(features), raised))
        self.last = ToOne(last_features + NUM_RECENT + NUM_HELD, 5)
        self.num_recent: int = NUM_RECENT

    def state_shapes(self) -> list[list[int]]:
        """Level; the frames before, as far back as the delayed ones see; what is held; delayed skips; memories of each block. -1: channels."""
        delay, bands = self.look_ahead_frames, self.num_bands
        shapes = [[-1, 2], [-1, delay + NUM_RECENT - 1, bands], *self.holding.state_shapes()]
        for layer in self.down:
            bands //= 2
            shapes.append([-1, delay, bands, layer.conv.out_channels])
        return shapes + [[-1, self.core_bands, self.time_memory]] * (2 * len(self.core))

    def forward(self, magnitude: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Magnitude `[channel, frame, bin]` of any number of frames -> logits of the same shape, next state.

        The logits at place `j` belong to the frame `look_ahead_frames` before place `j`.
        Between the two, features are the last axis: the order in which all layers work.
        """
        seen, seen_late, next_state = self.seen(magnitude, state)
        x = features_last(seen)
        skips: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        delayed = self.wait(skips, state, next_state)
        x = self.remember(x, state, next_state)
        for layer in self.up:
            x = layer(torch.cat([x.to(delayed[-1].dtype), delayed.pop()], dim=3))
        return self.decided(x, seen_late), next_state

    def seen(self, magnitude: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """What the first layer sees, `[channel, 6, frame, band]`: a frame, the two before it, and what is held. What the last one sees beside
        its features: the same with frames that are `look_ahead_frames` older, so that what is held lies on both sides of them. And
        the first states.

        Both as planes: to lay single values side by side takes longer.
        """
        levelled, level = self.axis(magnitude, state[0])
        frame, ahead = magnitude.shape[1], self.look_ahead_frames
        frames = torch.cat([state[1], levelled], dim=1)
        held, mean, before = self.holding(levelled, state[2], state[3])
        now: list[Tensor] = []
        late: list[Tensor] = []
        for start in range(self.num_recent - 1, -1, -1):
            now.append(frames[:, ahead + start : ahead + start + frame])
            late.append(frames[:, start : start + frame])
        return torch.stack(now + held, dim=1), torch.stack(late + held, dim=1), [level, frames[:, frame:], mean, before]

    def wait(self, skips: list[Tensor], state: list[Tensor], next_state: list[Tensor]) -> list[Tensor]:
        """The skips of `look_ahead_frames` before. Only what comes out is laid side by side: what stays is a part of what came."""
        delayed: list[Tensor] = []
        ahead = self.look_ahead_frames
        for skip in skips:
            before = state[len(next_state)].to(skip.dtype)
            frame = skip.shape[1]
            if ahead == 0:
                delayed.append(skip)
                next_state.append(before)
            elif frame == ahead:
                # What a call was given comes out with the next one: nothing is moved.
                delayed.append(before)
                next_state.append(skip)
            elif frame > ahead:
                delayed.append(torch.cat([before, skip[:, : frame - ahead]], dim=1))
                next_state.append(skip[:, frame - ahead :])
            else:
                delayed.append(before[:, :frame])
                next_state.append(torch.cat([before[:, frame:], skip], dim=1))
        return delayed

    def remember(self, x: Tensor, state: list[Tensor], next_state: list[Tensor]) -> Tensor:
        """Through the core, `[channel, frame, band, feature]` as it comes."""
        for block in self.core:
            x, hidden, cell = block(x, state[len(next_state)], state[len(next_state) + 1])
            next_state.append(hidden)
            next_state.append(cell)
        return x

    def decided(self, x: Tensor, seen_late: Tensor) -> Tensor:
        """`[channel, frame, band, feature]` and what is seen beside it -> logits `[channel, frame, bin]`."""
        return self.axis.to_bins(self.last(torch.cat([x.permute(0, 3, 1, 2), seen_late.to(x.dtype)], dim=1)))

    def latest_frame(self, frame: int) -> int:
        return frame + self.look_ahead_frames

    def zero_state(self, num_channels: int, like: Tensor) -> list[Tensor]:
        return [like.new_zeros([num_channels, *shape[1:]]) for shape in self.state_shapes()]

    def logits(self, magnitude: Tensor) -> Tensor:
        """The whole clip: `[batch, frame, bin]` -> logits of the same shape, look-ahead made up for with silence."""
        padded = nn.functional.pad(magnitude, (0, 0, 0, self.look_ahead_frames))
        logits, _ = self(padded, self.zero_state(magnitude.shape[0], magnitude))
        return logits[:, self.look_ahead_frames :]

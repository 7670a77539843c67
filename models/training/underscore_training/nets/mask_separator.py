"""What all systems that put a mask on the mixture's magnitude have in common."""

import torch
from torch import Tensor, nn

from ..grid import WINDOW_S, Grid, grid_at, istft, stft
from . import host_grid
from .axes import AXES


class MaskSeparator(nn.Module):
    """Mixture -> magnitudes -> logits of the music mask -> music.

    The mask is a sigmoid: real, in [0, 1]; the residual's mask then is too. The phase is
    the mixture's.

    A subclass gives `forward` and `latest_frame`, and an axis if it is not the paper's.
    """

    __jit_unused_properties__ = ["grid", "sample_rate_hz", "ahead_frames", "look_ahead_samples"]
    """TorchScript compiles every property of a module that it is not told to leave alone."""

    frame_multiple: int = 1
    """`forward` takes a multiple of so many frames."""
    silence_follows: bool = False
    """Whether a clip is followed by silence, as in a stream, or by nothing, as in training."""

    def __init__(self, axis: str = "paper", synthesis_s: float = WINDOW_S):
        super().__init__()
        if axis not in AXES:
            raise ValueError(f"axis is {axis!r}, expected one of {', '.join(AXES)}")
        self.axis = AXES[axis]()
        self._grid = grid_at(self.axis.grid.sample_rate_hz, synthesis_s)

    @property
    def grid(self) -> Grid:
        """That of the axis, with this network's synthesis window."""
        return self._grid

    @property
    def sample_rate_hz(self) -> int:
        return self.grid.sample_rate_hz

    def forward(self, levelled: Tensor) -> Tensor:
        """`[batch, frame, band]`, frames a multiple of `frame_multiple` -> logits of the same shape."""
        raise NotImplementedError

    def latest_frame(self, frame: int) -> int:
        """The last input frame that the mask of `frame` depends on, the clip having no end."""
        raise NotImplementedError

    @property
    def ahead_frames(self) -> int:
        """Frames after its own that a mask depends on, at worst."""
        return max(self.latest_frame(frame) - frame for frame in range(self.frame_multiple))

    @property
    def look_ahead_samples(self) -> int:
        """Mixture that must have been heard before a sample's estimate is final, at worst.

        A frame's own synthesis window, and the frames ahead that its mask depends on. Frames whose
        place in a block makes them wait longer set the value: a stream has one latency.
        """
        return self.ahead_frames * self.grid.hop_samples + self.grid.synthesis_samples

    def logits(self, magnitude: Tensor) -> Tensor:
        """`[batch, frame, bin]`, any number of frames -> logits of the same shape; frames are filled up with silence."""
        num_frames = magnitude.shape[1]
        ahead = self.ahead_frames if self.silence_follows and not self.training else 0
        filled = nn.functional.pad(magnitude, (0, 0, 0, ahead + -(num_frames + ahead) % self.frame_multiple))
        levelled, _ = self.axis(filled, filled.new_zeros(filled.shape[0], 2))
        return self.axis.to_bins(self(levelled)[:, :num_frames])

    def music_mask(self, spectrum: Tensor, *asked: Tensor) -> Tensor:
        """Complex `[batch, frame, bin]` -> mask `[batch, frame, bin]`; `asked`: what `logits` of a network takes beside it."""
        return torch.sigmoid(self.logits(spectrum.abs(), *asked).float())

    def separate(self, mixture: Tensor, *asked: Tensor) -> Tensor:
        """Waveform `[batch, sample]` of any length -> music `[batch, sample]`."""
        return self.let_through(mixture, mixture, *asked)

    def let_through(self, mixture: Tensor, sounds: Tensor, *asked: Tensor) -> Tensor:
        """What the mixture's mask lets through of each of its sounds, which add up to what is found: waveforms `[batch, sample]` of one mixture and
        `[sound, sample]` of its sounds, or of as many mixtures as sounds -> `[sound, sample]`."""
        num_samples = mixture.shape[-1]
        window, hop = self.grid.window_samples, self.grid.hop_samples
        # Every sample is to be reached by all its frames: the first by one that ends just
        # after it, the last by one that starts at or just before it (where less than a
        # frame is heard, by more than it takes).
        lead = window - hop
        last_start = (lead + num_samples - 1) // hop * hop
        around = (lead, last_start + window - lead - num_samples)
        padded = nn.functional.pad(sounds, around)
        mask = self.music_mask(stft(nn.functional.pad(mixture, around), self.grid), *asked)
        heard = istft(stft(padded, self.grid) * mask, self.grid, padded.shape[-1])
        return heard[..., lead : lead + num_samples]

    def programme_music(self, mixture: Tensor, sample_rate_hz: int) -> Tensor:
        """Waveform `[channel, sample]` at a host's rate -> music, through the mask as the plugin applies it."""
        return host_grid.programme_music(self.logits, self.grid, mixture, sample_rate_hz)

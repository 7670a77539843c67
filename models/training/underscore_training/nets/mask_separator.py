"""What all systems that put a mask on the mixture's magnitude have in common."""

import torch
from torch import Tensor, nn

from ..grid import MODEL_GRID, Grid, istft, stft
from . import host_grid


class MaskSeparator(nn.Module):
    """Mixture -> magnitudes -> logits of the music mask -> music.

    The mask is a sigmoid: real, in [0, 1]; the residual's mask then is too. The phase is
    the mixture's.

    A subclass gives `forward` and `latest_frame`; one whose network wants other bins than
    all but Nyquist overrides `logits` instead of `forward`.
    """

    __jit_unused_properties__ = ["sample_rate_hz", "look_ahead_samples"]
    """TorchScript compiles every property of a module that it is not told to leave alone."""

    grid: Grid = MODEL_GRID
    frame_multiple: int = 1
    """`forward` takes a multiple of so many frames."""

    @property
    def sample_rate_hz(self) -> int:
        return self.grid.sample_rate_hz

    def forward(self, magnitude: Tensor) -> Tensor:
        """`[batch, frame, bin]` without Nyquist, frames a multiple of `frame_multiple` -> logits."""
        raise NotImplementedError

    def latest_frame(self, frame: int) -> int:
        """The last input frame that the mask of `frame` depends on, the clip having no end."""
        raise NotImplementedError

    @property
    def look_ahead_samples(self) -> int:
        """Mixture that must have been heard before a sample's estimate is final, at worst.

        A frame's own window, and the frames ahead that its mask depends on. Frames whose
        place in a block makes them wait longer set the value: a stream has one latency.
        """
        ahead_frames = max(self.latest_frame(frame) - frame for frame in range(self.frame_multiple))
        return ahead_frames * self.grid.hop_samples + self.grid.window_samples

    def logits(self, magnitude: Tensor) -> Tensor:
        """`[batch, frame, bin]`, any number of frames, all bins -> logits of the same shape.

        Frames are filled up with zeros; Nyquist is dropped (a power of two divides by the
        poolings) and takes the logit of the bin below.
        """
        num_frames = magnitude.shape[1]
        filled = nn.functional.pad(magnitude[..., :-1], (0, 0, 0, -num_frames % self.frame_multiple))
        logits = self(filled)[:, :num_frames]
        return torch.cat([logits, logits[..., -1:]], dim=2)

    def music_mask(self, spectrum: Tensor) -> Tensor:
        """Complex `[batch, frame, bin]` -> mask `[batch, frame, bin]`."""
        return torch.sigmoid(self.logits(spectrum.abs()).float())

    def separate(self, mixture: Tensor) -> Tensor:
        """Waveform `[batch, sample]` of any length -> music `[batch, sample]`."""
        num_samples = mixture.shape[-1]
        window, hop = self.grid.window_samples, self.grid.hop_samples
        # Every sample is to be reached by all its frames: the first by one that ends just
        # after it, the last by one that starts at or just before it.
        lead = window - hop
        last_start = (lead + num_samples - 1) // hop * hop
        padded = nn.functional.pad(mixture, (lead, last_start + window - lead - num_samples))
        spectrum = stft(padded, self.grid)
        music = istft(spectrum * self.music_mask(spectrum), self.grid, padded.shape[-1])
        return music[..., lead : lead + num_samples]

    def programme_music(self, mixture: Tensor, sample_rate_hz: int) -> Tensor:
        """Waveform `[channel, sample]` at a host's rate -> music, through the mask as the plugin applies it."""
        return host_grid.programme_music(self.logits, self.grid, mixture, sample_rate_hz)

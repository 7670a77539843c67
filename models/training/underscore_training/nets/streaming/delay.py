"""A delay line of whole frames."""

import torch
from torch import Tensor, nn


class Delay(nn.Module):
    """Puts out what came in `lag` frames before.

    State: those frames, none where `lag` is 0, each `[channel, frame, bin, feature]`: in pieces as long as a call, and before
    them what is left over. A call hands the pieces on, and copies none of them: in one piece the lines of the centred network were
    half of all that was copied.
    """

    # TorchScript takes a list's type from its first value, or from here.
    pieces: list[int]

    def __init__(self, features: int, lag: int, frames_per_call: int):
        super().__init__()
        self.features: int = features
        self.lag: int = lag
        self.frames_per_call: int = frames_per_call
        """At this line's resolution."""
        rest = lag % frames_per_call
        self.pieces = ([rest] if rest > 0 else []) + [frames_per_call] * (lag // frames_per_call)
        self.rest: int = rest
        self.num_states: int = len(self.pieces)

    @torch.jit.ignore
    def state_shapes(self, num_bins: int) -> list[list[int]]:
        return [[-1, frames, num_bins, self.features] for frames in self.pieces]

    def forward(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, frame, bin, feature]` -> the same shape."""
        if self.lag == 0:
            return x, []
        n = x.shape[1]
        pieces = state + [x]
        if n != self.frames_per_call:
            line = torch.cat(pieces, dim=1)
            return line[:, :n], list(line[:, n:].split_with_sizes(self.pieces, dim=1))
        if self.rest == 0:
            return pieces[0], pieces[1:]
        next_ = pieces[1]
        return torch.cat([pieces[0], next_[:, : n - self.rest]], dim=1), [next_[:, n - self.rest :]] + pieces[2:]

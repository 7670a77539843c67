"""Asking for what lies between two things of one mixture.

A network that is asked for one thing at a time makes of a point between two what it likes: on the way from one
to the other either came and went several times. So some mixtures, each of which is asked twice, are asked for two points on
the way, the second further along. What is to be found there is as much of what the network finds at either end as the
way says; and the loss `asked` sees to it that less of the one and more of the other is found further along.

At equal power, as `ask-3` to `ask-7` were asked for it, the one loses 0.1 dB in the first tenth of the way while the other
comes within 16 dB: masks open, and where both lie in the same bins more of the one was found than at the end. In
proportion it loses 0.9 dB, and the other is 20 dB below.

The sounds themselves, as they were wanted up to `ask-11`, are more than is found at the ends, where the network is asked for one of
them and doubts (`query-5` finds them 3 to 4 dB too softly): it learnt to find more in the middle. Between own examples its ways turn back by up to
1.8 dB, and what it finds at both ends, faded from one to the other, by 0.7 dB at most. Between means it is 2.1 and 2.0 dB: there is a song
in which more of a sound is found at the other's end than at its own, and fading mends nothing there (`evaluate.asked` prints both).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..nets.sphere import between

SHORTEST = 0.1
"""Of the way, between its two points: nearer ones are to be told apart by nobody."""
END_SHARE = 1 / 3
"""Of the ways that begin where the one thing lies, and as many end where the other does: there sounds come back most. Short ways are drawn
more often than long ones, because on a long one what comes and goes is gone again."""


@dataclass(frozen=True)
class Questions:
    """A batch whose mixtures are each asked twice, side by side."""

    points: Tensor
    """`[batch, embedding]`."""
    wanted: Tensor
    """What is to be found, `[batch, ...]`."""
    is_whole: Tensor
    """Whether just one sound is asked for, `[batch]`."""
    sounds: Tensor
    """What lies at the ends of each mixture's way, `[mixture, 2, ...]`."""
    is_way: Tensor
    """Whether its questions lie on that way, `[mixture]`."""
    is_one: Tensor
    """Whether both questions are of the same mixture, `[mixture]`."""


def some_halfway(points: Tensor, sounds: Tensor, mixture: Tensor, share: float, found: Callable[[Tensor], Tensor]) -> Questions:
    """Points `[batch, embedding]` and what lies there, `[batch, ...]`, signals or spectra; mixtures `[batch, sample]`. One that is not the
    same for both questions is left alone. `found`: of which of the batch, `[batch]` -> what is found today at their points, as it lies there."""
    ends, sounds = points.unflatten(0, (-1, 2)), sounds.unflatten(0, (-1, 2))
    mixtures = mixture.unflatten(0, (-1, 2))
    num_mixtures, device = len(ends), points.device
    is_one = (mixtures[:, 0] == mixtures[:, 1]).all(dim=1)
    is_way = (torch.rand(num_mixtures, device=device) < share) & is_one
    length = SHORTEST + (1 - SHORTEST) * torch.rand(num_mixtures, device=device).square()
    first = (1 - length) * torch.rand(num_mixtures, device=device)
    end = torch.rand(num_mixtures, device=device)
    first = torch.where(end < END_SHARE, 0.0, torch.where(end > 1 - END_SHARE, 1 - length, first))
    second = torch.where(end > 1 - END_SHARE, 1.0, first + length)
    along = torch.stack([first, second], dim=1)
    along = torch.where(is_way[:, None], along, torch.tensor([0.0, 1.0], device=device))
    is_whole = (along == 0) | (along == 1)
    way = between(ends[:, :1], ends[:, 1:], along[:, :, None])
    at_ends = sounds
    if is_way.any():
        at_ends = sounds.clone()
        at_ends[is_way] = found(is_way.repeat_interleave(2)).unflatten(0, (-1, 2))
    # The axes of what lies there, whatever they are.
    share, is_whole_sound = (value.reshape(*value.shape, *[1] * (sounds.dim() - 2)) for value in (along, is_whole))
    halfway = (1 - share) * at_ends[:, :1] + share * at_ends[:, 1:]
    return Questions(
        torch.where(is_whole[:, :, None], ends, way).flatten(0, 1),
        torch.where(is_whole_sound, sounds, halfway).flatten(0, 1),
        is_whole.flatten(),
        sounds,
        is_way,
        is_one,
    )

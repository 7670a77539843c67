"""Before frame 0 there is nothing: every feature there is zero, as the whole clip's padding is."""

from torch import Tensor


def silence_before_start(x: Tensor, first_frame: int) -> None:
    """Zero the frames of `x` `[channel, frame, bin, feature]` whose number is negative; `first_frame` is its first one's."""
    if first_frame < 0:
        x[:, : -first_frame] = 0.0

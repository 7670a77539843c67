"""Streaming: which networks have a form for calls, and the layer set that those of dense blocks are made of.

A layer takes its past from the state, so that nothing is computed twice; a layer that looks
ahead is late by what it looks, and what it is joined with waits in a delay line. Both forms,
the whole clip and the calls, read the same parameters; of recurrent layers the calls have copies
of their own, which can be packed (`recurrent`).
"""

from torch import nn

from ..asked import AskedCRN
from ..crn import CRN
from ..dmmdensenet import DMMDenseNet
from .crn import StreamingAskedCRN, StreamingCRN
from .identity import IdentitySeparator
from .separator import StreamingSeparator

__all__ = ["DoesNotStream", "IdentitySeparator", "StreamingAskedCRN", "StreamingCRN", "StreamingSeparator", "streaming"]


class DoesNotStream(Exception):
    """The network has no streaming form."""


def streaming(net: nn.Module, frames_per_call: int | None = None) -> nn.Module:
    """The streaming form of a network, in calls of `frames_per_call` frames or of as many as it is made for, or `DoesNotStream`."""
    if isinstance(net, AskedCRN):
        return StreamingAskedCRN(net, frames_per_call)
    if isinstance(net, CRN):
        return StreamingCRN(net, frames_per_call)
    if isinstance(net, DMMDenseNet):
        return StreamingSeparator(net, frames_per_call)
    raise DoesNotStream(f"{type(net).__name__} has no streaming form; the dense networks, studio, crn and live have one")

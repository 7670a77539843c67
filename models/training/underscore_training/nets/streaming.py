"""Which networks stream, and how each becomes the module that is exported."""

from torch import nn

from .crn import CRN
from .crn_streaming import StreamingCRN
from .dmmdensenet import DMMDenseNet
from .separator import StreamingSeparator


class DoesNotStream(Exception):
    """The network has no streaming form."""


def streaming(net: nn.Module) -> nn.Module:
    """The streaming form of a network, or `DoesNotStream`."""
    if isinstance(net, CRN):
        return StreamingCRN(net)
    if isinstance(net, DMMDenseNet) and net.streams:
        return StreamingSeparator(net)
    raise DoesNotStream(
        f"this {type(net).__name__} has no streaming form; train a crn, or a dmmdensenet with options = {{ causal = true }}"
    )

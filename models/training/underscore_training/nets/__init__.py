"""The separator network and the streaming layer set it is made of."""

from .dmmdensenet import DMMDenseNet
from .separator import IdentitySeparator, StreamingSeparator

__all__ = ["DMMDenseNet", "IdentitySeparator", "StreamingSeparator"]

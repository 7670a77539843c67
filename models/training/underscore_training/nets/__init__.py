"""The separator networks, and their streaming forms."""

from .dmmdensenet import DMMDenseNet
from .mask_separator import MaskSeparator
from .streaming import IdentitySeparator, StreamingSeparator
from .systems import SYSTEMS, UnknownSystem, build

__all__ = [
    "SYSTEMS",
    "DMMDenseNet",
    "IdentitySeparator",
    "MaskSeparator",
    "StreamingSeparator",
    "UnknownSystem",
    "build",
]

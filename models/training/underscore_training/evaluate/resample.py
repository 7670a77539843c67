"""The one way between sample rates: references and estimates must lose the same at the edge of the band."""

from math import gcd

import numpy as np
from scipy.signal import resample_poly


def resampled(signal: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """`[sample]` at `from_hz` -> `[sample]` at `to_hz`, no delay."""
    if from_hz == to_hz:
        return signal
    common = gcd(from_hz, to_hz)
    return resample_poly(signal, to_hz // common, from_hz // common)

"""Sizes of the dense networks, by band: the paper's Table 1 and its forms without dilation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Band:
    """One band's dense blocks: growth `k`, plain layers `L`, compression `theta`."""

    growth: int
    num_layers: int
    theta: float


@dataclass(frozen=True)
class Bands:
    """All bands of a network and its last block; `low` and `high` come together or not at all."""

    low: Band | None
    high: Band | None
    full: Band
    last: Band


DILATED = Bands(low=Band(16, 4, 0.13), high=Band(10, 3, 0.20), full=Band(6, 2, 0.16), last=Band(4, 2, 0.25))
"""Table 1."""

PLAIN = Bands(low=Band(16, 4, 0.17), high=Band(10, 3, 0.26), full=Band(6, 2, 0.20), last=Band(4, 2, 0.33))
"""Without the dilated layers a block has `2 k` features fewer. Table 1's `theta` would then
end in 11 features for Low and 10 for High, which cannot be joined along frequency. Here
`theta m` of each band's first block, and of the last block, is kept, to two decimals of
`theta`: Low and High end in 16 as with dilation, and the dilated layers are what differs."""

PLAIN_FULL = Bands(low=None, high=None, full=PLAIN.full, last=PLAIN.last)
"""The full band alone."""

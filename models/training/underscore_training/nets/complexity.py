"""How large a network is and how much it computes per second of audio."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SHORT_SAMPLES = 5 * 2**14
LONG_SAMPLES = 2 * SHORT_SAMPLES
"""Their difference is a whole number of hops of 256 and of 160 samples and of the blocks of
64 frames and 4096 samples that systems fill up to; 5 s at 16 kHz, because recurrent layers
are taken apart step by step."""


def num_parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def num_macs(net: nn.Module, num_samples: int) -> int:
    """Multiply-accumulates of convolutions and matrix products in `separate` on the meta device.

    Counted are the operations that are reached, not modules: functional convolutions count
    too, and recurrent layers, which have no formula of their own, come apart into matrix
    products there (on the CPU they would be one opaque kernel). Transforms are not counted.
    """
    counter = FlopCounterMode(display=False)
    # The context also moves the windows that the transforms make for themselves.
    with torch.device("meta"), torch.no_grad(), counter:
        net.separate(torch.empty(1, num_samples))
    return counter.get_total_flops() // 2


def gmac_per_s(net: nn.Module) -> float:
    """10^9 multiply-accumulates per second of audio, once it runs: edges and padding cancel."""
    shadow = copy.deepcopy(net).to("meta").eval()
    macs = num_macs(shadow, LONG_SAMPLES) - num_macs(shadow, SHORT_SAMPLES)
    return macs * net.sample_rate_hz / (LONG_SAMPLES - SHORT_SAMPLES) / 1e9


def look_ahead_ms(net: nn.Module) -> float:
    """Algorithmic look-ahead: mixture that must be heard before an estimate is final."""
    return 1000 * net.look_ahead_samples / net.sample_rate_hz

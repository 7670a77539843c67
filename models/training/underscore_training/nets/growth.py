"""Begin a network with the weights of a smaller one of its kind."""

import torch
from torch import Tensor, nn


class DoesNotGrow(Exception):
    """The weights are of another kind of network; the message names the first that has no place."""


def grown(net: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`weights` in the shapes of `net`.

    A layer may have more inputs, behind those that it had: they begin at zero, and the network computes what it did. It may have
    more outputs, behind those that it had, and layers that are not in `weights`, which stay as they are. All that is in them must be in
    the network.
    """
    state = net.state_dict()
    strange = sorted(weights.keys() - state.keys())
    if strange:
        raise DoesNotGrow(f"{strange[0]} has no place in it")
    for name, value in weights.items():
        own = state[name]
        if own.shape == value.shape:
            state[name] = value
            continue
        has_room = own.dim() == value.dim() > 0 and own.shape[0] >= value.shape[0] and own.shape[2:] == value.shape[2:]
        if not has_room or own.shape[1:2] < value.shape[1:2]:
            raise DoesNotGrow(f"{name} is {list(value.shape)}, and {list(own.shape)} in it")
        state[name] = own.clone()
        if own.dim() == 1:
            state[name][: len(value)] = value
            continue
        state[name][: len(value)] = 0
        state[name][: len(value), : value.shape[1]] = value
    return state

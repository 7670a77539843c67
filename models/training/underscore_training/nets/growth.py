"""Begin a network with the weights of a smaller one of its kind."""

import torch
from torch import Tensor, nn


class DoesNotGrow(Exception):
    """The weights are of another kind of network; the message names the first that has no place."""


def grown(net: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`weights` in the shapes of `net`.

    A layer may have more inputs, behind those that it had: they begin at zero, and the network computes what it did. It may have
    layers that are not in `weights`, which stay as they are; so do further outputs of the layers that the network says may have some
    (`open_ended`): of others, gates of a recurrent one say, the outputs that it had would not be the first. All that is in `weights` must be
    in the network.
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
        if name.rpartition(".")[0] in getattr(net, "open_ended", ()) and own.shape[1:] == value.shape[1:] and len(own) > len(value):
            state[name] = torch.cat([value, own[len(value) :]])
            continue
        is_wider = own.dim() == value.dim() > 1 and own.shape[1] > value.shape[1]
        if not is_wider or own.shape[0] != value.shape[0] or own.shape[2:] != value.shape[2:]:
            raise DoesNotGrow(f"{name} is {list(value.shape)}, and {list(own.shape)} in it")
        state[name] = torch.zeros_like(own)
        state[name][:, : value.shape[1]] = value
    return state

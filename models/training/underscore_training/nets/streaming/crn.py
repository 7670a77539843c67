"""The deployed separator by the model contract."""

import copy

import torch
from torch import Tensor, nn

from ...grid import magnitude_of
from ..band_convolution import BandConvolution
from ..crn import CRN
from ..query import EMBEDDING_SIZE, QUERY_FRAMES
from .recurrent import GRU_MODE, PER_DIRECTION, StreamingLSTM, WholeLSTM


def for_calls(net: CRN) -> CRN:
    """A copy whose recurrent layers take packed weights, whose convolutions have theirs features last, as what they are given, and whose running
    means are rounded once instead of at every call."""
    net = copy.deepcopy(net)
    for layer in net.modules():
        if isinstance(layer, BandConvolution):
            layer.weight.data = layer.weight.detach().contiguous(memory_format=torch.channels_last)
    net.axis.mean_power.float()
    net.holding.mean.float()
    for block in net.core:
        block.over_bands = WholeLSTM(block.over_bands)
        block.over_time = StreamingLSTM(block.over_time)
    return net


class StreamingCRN(nn.Module):
    """A `CRN` in calls of `frames_per_call` frames: spectrum and state in, mask and state out.

    The memories of recurrent layers fade rather than end; `look_back_frames` is the
    level's time constant, after which silence has been understood as silence.
    """

    look_back_frames = 188

    def __init__(self, net: CRN, frames_per_call: int | None = None):
        """In calls of `frames_per_call` frames, or of as many as `net` is made for."""
        super().__init__()
        self.net = for_calls(net)
        self.grid = net.grid
        self.frames_per_call = net.frames_per_call if frames_per_call is None else frames_per_call
        self.look_ahead_frames = net.look_ahead_frames

    @torch.jit.export
    def recurrent_weights(self) -> list[Tensor]:
        """What `PackLSTM` packs."""
        weights: list[Tensor] = []
        for block in self.net.core:
            weights += block.over_bands.weights() + block.over_time.weights()
        return weights

    @torch.jit.export
    def use_packed(self, packed: list[Tensor]) -> None:
        """Takes what `PackLSTM` made of `recurrent_weights`, once, before the first call."""
        first = 0
        for block in self.net.core:
            last = first + 2 * block.over_bands.num_directions
            block.over_bands.packed = packed[first:last]
            first = last + 2 * block.over_time.num_directions
            block.over_time.packed = packed[last:first]

    @torch.jit.export
    def flatten_recurrent_weights(self) -> list[Tensor]:
        """On a card, once, before the first call: lays each layer's weights into one piece of memory, and gives those."""
        return self.flattened_core()

    def flattened_core(self) -> list[Tensor]:
        flat: list[Tensor] = []
        for block in self.net.core:
            flat += [block.over_bands.flattened(), block.over_time.flattened()]
        return flat

    @torch.jit.ignore
    def state_shapes(self) -> list[list[int]]:
        return self.net.state_shapes()

    def forward(self, spectrum: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`[channel, frames_per_call, 1025, 2]`, states -> mask `[1, channel, frames_per_call, 1025]` of the music, next states.

        The mask at place `j` belongs to the frame `look_ahead_frames` before place `j`.
        """
        magnitude = magnitude_of(spectrum)
        logits, state = self.net(magnitude, state)
        return torch.sigmoid(logits)[None], state


class StreamingAskedCRN(StreamingCRN):
    """An `AskedCRN` in calls, and what turns an example into the embedding that asks."""

    embedding_size = EMBEDDING_SIZE
    query_frames = QUERY_FRAMES

    def __init__(self, net: CRN, frames_per_call: int | None = None):
        super().__init__(net, frames_per_call)
        self.gru_mode: int = GRU_MODE
        self.weights_per_direction: int = PER_DIRECTION

    @torch.jit.export
    def flatten_recurrent_weights(self) -> list[Tensor]:
        """As `StreamingCRN`, and those of the layer that listens."""
        flat = self.flattened_core()
        listens = self.net.query.over_time
        flat.append(torch._cudnn_rnn_flatten_weight(
            listens._flat_weights, self.weights_per_direction, listens.input_size, self.gru_mode, listens.hidden_size, 0, 1, listens.batch_first,
            listens.bidirectional,
        ))
        return flat

    def forward(self, spectrum: Tensor, state: list[Tensor], embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `StreamingCRN`, asked by `embedding`, `[channel or 1, embedding]`; the mask is the target's."""
        magnitude = magnitude_of(spectrum)
        logits, state = self.net(magnitude, state, embedding.expand(magnitude.shape[0], -1))
        return torch.sigmoid(logits)[None], state

    @torch.jit.export
    def encode(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """An example `[1, query_frames, 1025, 2]` -> mean and log-variance of its embedding, `[1, embedding]` each."""
        return self.net.query(magnitude_of(spectrum))

"""A recurrent layer that need not rearrange its weights at every call.

oneDNN wants the weights of an LSTM in an order of its own, and torch brings them into it
anew whenever the layer runs: on a processor a sixth of a call of four frames, a quarter of
a call of one. Whoever loads a model may do it once, by `PackLSTM`. That is a file of its
own, because a libtorch without oneDNN cannot open it; without it everything works, slower.
"""

import torch
from torch import Tensor, nn

LSTM_MODE = 2
"""Of `mkldnn_rnn_layer`."""
PER_DIRECTION = 4
"""Weights for input and memory, biases for input and memory."""


class StreamingLSTM(nn.Module):
    """A trained layer of `nn.LSTM`, one direction or both, which takes packed weights or does without: the same bit for bit."""

    packed: list[Tensor]
    """Per direction the weights for input and memory as oneDNN has them, or nothing."""

    def __init__(self, lstm: nn.LSTM):
        super().__init__()
        if lstm.num_layers != 1 or not lstm.bias or lstm.proj_size:
            raise ValueError("expected one layer, with biases and without projection")
        self.batch_first: bool = lstm.batch_first
        self.num_memory: int = lstm.hidden_size
        self.num_directions: int = 2 if lstm.bidirectional else 1
        self.mode: int = LSTM_MODE
        self.per_direction: int = PER_DIRECTION
        # Two attributes must not hold one tensor in a module that is frozen and changes: hence no `nn.LSTM` in it.
        self.flat: list[Tensor] = [weight.detach().clone() for weight in lstm.parameters()]
        # TorchScript takes a list's type from its first value.
        self.packed = [torch.empty(0)]

    def weights(self) -> list[Tensor]:
        """What `packed` is made of."""
        weights: list[Tensor] = []
        for direction in range(self.num_directions):
            weights += self.flat[self.per_direction * direction : self.per_direction * direction + 2]
        return weights

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`[step, sequence, feature]`, or `[sequence, step, feature]` where `batch_first`, as `nn.LSTM` takes it."""
        if state is None:
            num_sequences = x.shape[0] if self.batch_first else x.shape[1]
            zeros = x.new_zeros([self.num_directions, num_sequences, self.num_memory])
            state = (zeros, zeros)
        hidden, cell = state
        if len(self.packed) != 2 * self.num_directions:
            y, hidden, cell = torch.lstm(
                x, [hidden, cell], self.flat, True, 1, 0.0, False, self.num_directions == 2, self.batch_first
            )
            return y, (hidden, cell)
        steps = (x.transpose(0, 1) if self.batch_first else x).contiguous()
        found: list[Tensor] = []
        last: list[Tensor] = []
        last_cell: list[Tensor] = []
        for direction in range(self.num_directions):
            biases = self.flat[self.per_direction * direction + 2 : self.per_direction * (direction + 1)]
            weights = self.packed[2 * direction : 2 * direction + 2]
            y, h, c, _ = torch.ops.aten.mkldnn_rnn_layer(
                steps, weights[0], weights[1], biases[0], biases[1], hidden[direction : direction + 1],
                cell[direction : direction + 1], direction == 1, [], self.mode, self.num_memory, 1, True, False, False, False,
            )
            found.append(y)
            last.append(h.reshape(1, -1, self.num_memory))
            last_cell.append(c.reshape(1, -1, self.num_memory))
        y = found[0] if len(found) == 1 else torch.cat(found, dim=2)
        return y.transpose(0, 1) if self.batch_first else y, (torch.cat(last), torch.cat(last_cell))


class PackLSTM(nn.Module):
    """Weights for input and memory of layer after layer, `[input, memory, input, memory, ...]` -> the same as oneDNN has them."""

    def forward(self, weights: list[Tensor]) -> list[Tensor]:
        packed: list[Tensor] = []
        for idx in range(0, len(weights), 2):
            num_memory = weights[idx + 1].shape[1]
            packed += torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight(
                weights[idx], weights[idx + 1], num_memory, False, True, False, None
            )
        return packed

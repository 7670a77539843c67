"""A recurrent layer that need not rearrange its weights at every call.

oneDNN wants the weights of an LSTM in an order of its own, and torch brings them into it
anew whenever the layer runs: on a processor a ninth of a call of four frames, a sixth of
a call of one (`python -m underscore_training.export.packer --time MODEL`). Whoever loads a model may do it once, by `PackLSTM`. That is a file of its
own, because a libtorch without oneDNN cannot open it; without it everything works, slower.

cuDNN wants them in one piece of memory, or copies them there at every call, and libtorch says so on the console each time. Whoever puts a
model on a card may do that once, too (`flattened`).
"""

import torch
from torch import Tensor, nn

LSTM_MODE = 2
GRU_MODE = 3
"""Of `mkldnn_rnn_layer` and cuDNN's."""
PER_DIRECTION = 4
"""Weights for input and memory, biases for input and memory."""

MOST_STEPS = 8
"""Of a call that a card runs step by step. cuDNN's layer is made for long sequences: for 6 800 of one step (two hundred streams of `live-1`) three
of them took 5.9 ms on an H200, a product and what follows it 0.2."""


class PackedLSTM(nn.Module):
    """The weights of a trained `nn.LSTM`, as they are and, once it was given them, packed. What runs them are the two below."""

    packed: list[Tensor]
    """Per direction the weights for input and memory as oneDNN has them, or nothing."""

    def __init__(self, lstm: nn.LSTM):
        super().__init__()
        if lstm.num_layers != 1 or not lstm.bias or lstm.proj_size:
            raise ValueError("expected one layer, with biases and without projection")
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

    def flattened(self) -> Tensor:
        """On a card: lays the weights into one piece of memory, in which they stay, and gives it."""
        return torch._cudnn_rnn_flatten_weight(
            self.flat, self.per_direction, self.flat[0].shape[1], self.mode, self.num_memory, 0, 1, False, self.num_directions == 2
        )

    def is_packed(self) -> bool:
        return len(self.packed) == 2 * self.num_directions

    def run_packed(self, steps: Tensor, hidden: Tensor, cell: Tensor, direction: int) -> tuple[Tensor, Tensor, Tensor]:
        """One direction over `[step, sequence, feature]` from `[1, sequence, memory]` each."""
        biases = self.flat[self.per_direction * direction + 2 : self.per_direction * (direction + 1)]
        y, hidden, cell, _ = torch.ops.aten.mkldnn_rnn_layer(
            steps, self.packed[2 * direction], self.packed[2 * direction + 1], biases[0], biases[1], hidden, cell, direction == 1, [],
            self.mode, self.num_memory, 1, True, False, False, False,
        )
        return y, hidden, cell


class StreamingLSTM(PackedLSTM):
    """A trained layer of `nn.LSTM` of one direction, which goes on from call to call; takes packed weights or does without: the same bit
    for bit."""

    def __init__(self, lstm: nn.LSTM):
        super().__init__(lstm)
        if lstm.bidirectional or lstm.batch_first:
            raise ValueError("expected one direction, and steps first")
        self.most_steps: int = MOST_STEPS

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`[step, sequence, feature]`, `[1, sequence, memory]` each, as `nn.LSTM`."""
        hidden, cell = state
        if x.is_cuda and x.shape[0] <= self.most_steps:
            return self.step_by_step(x, hidden, cell)
        if not self.is_packed():
            y, hidden, cell = torch.lstm(x, [hidden, cell], self.flat, True, 1, 0.0, False, False, False)
            return y, (hidden, cell)
        y, hidden, cell = self.run_packed(x.contiguous(), hidden, cell, 0)
        return y, (hidden, cell)

    def step_by_step(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The same on a card, in products of all sequences."""
        hidden, cell = hidden[0], cell[0]
        from_input = torch.matmul(x, self.flat[0].t())
        steps: list[Tensor] = []
        for step in range(x.shape[0]):
            from_memory = torch.mm(hidden, self.flat[1].t())
            hidden, cell, _ = torch.ops.aten._thnn_fused_lstm_cell(from_input[step], from_memory, cell, self.flat[2], self.flat[3])
            steps.append(hidden)
        return torch.stack(steps), (hidden[None], cell[None])


class WholeLSTM(PackedLSTM):
    """A trained layer of `nn.LSTM` of both directions, over sequences that lie whole in one call: nothing is remembered after it."""

    def __init__(self, lstm: nn.LSTM):
        super().__init__(lstm)
        if not lstm.bidirectional or lstm.batch_first:
            raise ValueError("expected both directions, and steps first")

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """`[step, sequence, feature]` -> the first of what `nn.LSTM` gives."""
        if not self.is_packed():
            # One for each direction, and not one seen twice: cuDNN takes contiguous memory only.
            zeros = x.new_zeros([2, x.shape[1], self.num_memory])
            return (torch.lstm(x, [zeros, zeros], self.flat, True, 1, 0.0, False, True, False)[0],)
        zeros = x.new_zeros([1, x.shape[1], self.num_memory])
        steps = x.contiguous()
        return (torch.cat([self.run_packed(steps, zeros, zeros, direction)[0] for direction in range(2)], dim=2),)


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

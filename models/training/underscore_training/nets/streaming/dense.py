"""A dense block that continues from the frames before."""

from typing import Final

import torch
from torch import Tensor, nn

from ..dense import KERNEL, NUM_DILATED, DenseBlock
from ..unit import ConvUnit
from .start import silence_before_start


def _convolution(weight: Tensor, bias: Tensor | None, like: ConvUnit) -> nn.Conv2d:
    """A 3x3 convolution, dilated as `like`, padded in bins and not in frames, with the given parameters."""
    conv = nn.Conv2d(
        weight.shape[1], weight.shape[0], KERNEL, padding=(0, like.dilation[1]), dilation=like.dilation,
        bias=bias is not None, dtype=weight.dtype,
    )
    conv.weight.data.copy_(weight)
    if bias is not None:
        conv.bias.data.copy_(bias)
    return conv


class StreamingDenseBlock(nn.Module):
    """A `DenseBlock`, causal or centred, in calls of any number of frames.

    A centred layer is `ahead_frames` late: it puts out the frames before those that came
    in, and what it is joined with is taken from as far back. `lag` is what all layers make.

    The block is computed by source instead of by layer: a feature that has just been made
    is convolved at once for all layers that read it, and each layer's sum waits, growing,
    until its turn comes. It is the same arithmetic; convolutions with few outputs run at a
    third of the speed of wide ones, so a call takes two thirds of the time.

    State: the last frames of every feature that is read again `[channel, feature, frame,
    bin]`; where the block is centred, also the sums of the plain layers and of the last
    dilated one that wait for their turn.
    """

    # TorchScript leaves out a branch on what is final, and with it the layers that are not there.
    dilated: Final[bool]

    def __init__(self, block: DenseBlock):
        super().__init__()
        k0, k, num_plain = block.in_features, block.growth, block.num_layers
        folded = [unit.folded().conv for unit in block.units]
        plain, dilated = folded[:num_plain], folded[num_plain:]
        features = k0 + k * num_plain

        def weights(start: int, end: int, layers: list[nn.Conv2d]) -> Tensor:
            return torch.cat([conv.weight[:, start:end] for conv in layers])

        first = block.units[0]
        self.from_input = _convolution(weights(0, k0, plain), torch.cat([conv.bias for conv in plain]), first)
        self.from_plain = nn.ModuleList(
            _convolution(weights(k0 + k * idx, k0 + k * (idx + 1), plain[idx + 1 :]), None, first)
            for idx in range(num_plain - 1)
        )
        self.span: int = first.past_frames + first.ahead_frames
        self.ahead: int = first.ahead_frames
        self.plain_lag: int = num_plain * self.ahead
        self.waiting: int = (num_plain - 1) * self.ahead
        """Frames for which sums of plain layers wait at most."""
        self.dilated = bool(dilated)
        self.dilated_ahead: int = 0
        history = self.waiting + self.span
        if dilated:
            unit = block.units[num_plain]
            biases = torch.cat([conv.bias for conv in dilated])
            self.from_all_plain = _convolution(weights(0, features, dilated), biases, unit)
            self.from_dilated = _convolution(weights(features, features + k, dilated[1:]), None, unit)
            self.dilated_ahead = unit.ahead_frames
            self.dilated_span: int = unit.past_frames + unit.ahead_frames
            history = max(history, self.plain_lag + self.dilated_ahead + self.dilated_span)
        self.compress = block.compress.folded()
        self.in_features: int = k0
        self.growth: int = k
        self.num_plain: int = num_plain
        self.lag: int = self.plain_lag + NUM_DILATED * self.dilated_ahead
        self.history: int = max(history, self.lag)
        self.kept_features: int = features + (k if dilated else 0)

    @torch.jit.ignore
    def state_shapes(self, num_bins: int) -> list[list[int]]:
        shapes = [[-1, self.kept_features, self.history, num_bins]]
        if self.waiting > 0:
            shapes.append([-1, self.growth * self.num_plain, self.waiting, num_bins])
        if self.dilated_ahead > 0:
            shapes.append([-1, self.growth, self.dilated_ahead, num_bins])
        return shapes

    def forward(self, x: Tensor, state: list[Tensor], first_frame: int) -> tuple[Tensor, list[Tensor]]:
        """`[channel, k0, frame, bin]`, the state, the number of its first frame -> output, `lag` frames late, and state."""
        n, k, history = x.shape[2], self.growth, self.history
        features, slot = self.in_features, 1
        buffer = torch.empty((x.shape[0], self.kept_features, history + n, x.shape[3]), dtype=x.dtype, device=x.device)
        buffer[:, :, :history] = state[0]
        buffer[:, :features, history:] = x
        if self.lag > 0:
            # Kept before it is made: what lies there must not differ from run to run.
            buffer[:, features:, history:] = 0.0
        sums = self.from_input(buffer[:, :features, history - self.span :])
        if self.waiting > 0:
            sums = torch.cat([state[slot], sums], dim=2)
            slot += 1
        # The sums' last frame is `ahead` before the newest; a layer's turn comes `lag` after it.
        layer, lag = 0, self.ahead
        for convolution in self.from_plain:
            start = self.waiting + self.ahead - lag
            made = torch.relu(sums[:, layer * k : (layer + 1) * k, start : start + n])
            silence_before_start(made, first_frame - lag)
            at = history - lag
            buffer[:, features : features + k, at : at + n] = made
            more = convolution(buffer[:, features : features + k, at - self.span : at + n])
            sums[:, (layer + 1) * k :, self.waiting - lag : self.waiting - lag + n] += more
            features += k
            layer += 1
            lag += self.ahead
        made = torch.relu(sums[:, layer * k :, :n])
        silence_before_start(made, first_frame - lag)
        at = history - lag
        buffer[:, features : features + k, at : at + n] = made
        features += k
        next_state: list[Tensor] = []
        if self.waiting > 0:
            next_state.append(sums[:, :, n:].clone())
        if self.dilated:
            both = self.from_all_plain(buffer[:, :features, at - self.dilated_span : at + n])
            at -= self.dilated_ahead
            made = torch.relu(both[:, :k])
            silence_before_start(made, first_frame - self.plain_lag - self.dilated_ahead)
            buffer[:, features:, at : at + n] = made
            last = both[:, k:]
            if self.dilated_ahead > 0:
                last = torch.cat([state[slot], last], dim=2)
                next_state.append(last[:, :, n:].clone())
            last = torch.relu(last[:, :, :n] + self.from_dilated(buffer[:, features:, at - self.dilated_span : at + n]))
            at -= self.dilated_ahead
            y = self.compress(torch.cat([buffer[:, :, at : at + n], last], dim=1))
        else:
            y = self.compress(buffer[:, :, at : at + n])
        silence_before_start(y, first_frame - self.lag)
        return y, [buffer[:, :, n:].clone()] + next_state

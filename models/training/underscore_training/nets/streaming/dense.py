"""A dense block that continues from the frames before."""

from typing import Final

import torch
from torch import Tensor, nn

from ..dense import KERNEL, NUM_DILATED, DenseBlock
from ..unit import ConvUnit
from .start import silence_before_start


class FeaturesLast(nn.Conv2d):
    """A 3x3 convolution of `[channel, frame, bin, feature]`, padded in bins and not in frames.

    Features are the last axis, because the library computes few of them in this order in two thirds to nine tenths of the time, and
    because the frames of one channel lie one behind the other then: some of them are a view, and no copy.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, like: ConvUnit):
        """Dilated as `like`, with the given parameters."""
        super().__init__(
            weight.shape[1], weight.shape[0], KERNEL, padding=(0, like.dilation[1]), dilation=like.dilation,
            bias=bias is not None, dtype=weight.dtype,
        )
        self.weight.data = weight.detach().contiguous(memory_format=torch.channels_last)
        if bias is not None and self.bias is not None:
            self.bias.data = bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """`[channel, span + frame, bin, in]` -> `[channel, frame, bin, out]`."""
        return self._conv_forward(x.permute(0, 3, 1, 2), self.weight, self.bias).permute(0, 2, 3, 1)


class Compress(nn.Module):
    """The 1x1 unit behind a block's layers, of features that come in parts: the parts' shares are added up, so that nothing is joined.

    It is computed with features first, and turned: for a product with a few columns the library's is up to five times as slow as for
    one with a few rows.
    """

    def __init__(self, unit: ConvUnit, num_features: list[int]):
        super().__init__()
        folded = unit.folded().conv
        # TorchScript knows lists of tensors, and not of parameters.
        self.weights: list[Tensor] = [part.contiguous() for part in folded.weight.detach()[:, :, 0, 0].split(num_features, dim=1)]
        self.bias: Tensor = folded.bias.detach()[:, None].clone()

    def forward(self, parts: list[Tensor]) -> Tensor:
        """Each `[channel, frame, bin, feature]` -> `[channel, frame, bin, out]`."""
        y = torch.addmm(self.bias, self.weights[0], parts[0].flatten(0, 2).t())
        for idx in range(1, len(parts)):
            y.addmm_(self.weights[idx], parts[idx].flatten(0, 2).t())
        channel, frame, bin_, _ = parts[0].shape
        return torch.relu_(y).t().contiguous().view(channel, frame, bin_, -1)


class StreamingDenseBlock(nn.Module):
    """A `DenseBlock`, causal or centred, in calls of any number of frames.

    A centred layer is `ahead_frames` late: it puts out the frames before those that came
    in, and what it is joined with is taken from as far back. `lag` is what all layers make.

    The block is computed by source instead of by layer: a feature that has just been made
    is convolved at once for all plain layers that read it, and each layer's sum waits, growing,
    until its turn comes. It is the same arithmetic; convolutions with few outputs run at a
    third of the speed of wide ones, so a call takes two thirds of the time. The dilated layers read
    the input and what all plain ones made, brought together at the time of the last of them.

    State, each `[channel, frame, bin, feature]`, the last frames of: the input; what each plain layer made but the last;
    where the block is centred, the sums that wait; where it is dilated, all that the dilated layers
    read, what the first of them made, and where it is centred the sum that waits for the last.
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
        self.from_input = FeaturesLast(weights(0, k0, plain), torch.cat([conv.bias for conv in plain]), first)
        self.from_plain = nn.ModuleList(
            FeaturesLast(weights(k0 + k * idx, k0 + k * (idx + 1), plain[idx + 1 :]), None, first) for idx in range(num_plain - 1)
        )
        self.in_features: int = k0
        self.growth: int = k
        self.num_plain: int = num_plain
        self.span: int = first.past_frames + first.ahead_frames
        self.ahead: int = first.ahead_frames
        self.plain_lag: int = num_plain * self.ahead
        self.waiting: int = (num_plain - 1) * self.ahead
        """Frames for which sums of plain layers wait at most."""
        self.dilated = bool(dilated)
        self.dilated_ahead: int = 0
        self.dilated_span: int = 0
        if dilated:
            unit = block.units[num_plain]
            biases = torch.cat([conv.bias for conv in dilated])
            self.from_all_plain = FeaturesLast(weights(0, features, dilated), biases, unit)
            self.from_dilated = FeaturesLast(weights(features, features + k, dilated[1:]), None, unit)
            self.dilated_ahead = unit.ahead_frames
            self.dilated_span = unit.past_frames + unit.ahead_frames
        self.kept_joined: int = max(self.dilated_span, NUM_DILATED * self.dilated_ahead)
        self.kept_made: int = max(self.dilated_span, self.dilated_ahead)
        """Frames of what the dilated layers read, and of what the first of them made."""
        self.lag: int = self.plain_lag + NUM_DILATED * self.dilated_ahead
        self.compress = Compress(block.compress, [features] + [k] * len(dilated))
        self.num_states: int = len(self.state_shapes(1))

    def kept_frames(self, lag: int) -> int:
        """Of a feature that plain layers read and that is `lag` frames late: until what the last of them makes is there, too."""
        return max(self.span, self.plain_lag - lag)

    @torch.jit.ignore
    def state_shapes(self, num_bins: int) -> list[list[int]]:
        k, joined = self.growth, self.in_features + self.growth * self.num_plain
        kept = [(self.kept_frames(0), self.in_features)]
        kept += [(self.kept_frames(self.ahead * layer), k) for layer in range(1, self.num_plain)]
        kept += [(self.waiting, k * self.num_plain)]
        if self.dilated:
            kept += [(self.kept_joined, joined), (self.kept_made, k), (self.dilated_ahead, k)]
        return [[-1, frames, num_bins, features] for frames, features in kept if frames > 0]

    def forward(self, x: Tensor, state: list[Tensor], first_frame: int) -> tuple[Tensor, list[Tensor]]:
        """`[channel, frame, bin, k0]`, the state, the number of its first frame -> output, `lag` frames late, and state."""
        n, k = x.shape[1], self.growth
        # What the convolutions read begins `span` frames before the frames that are new.
        line = torch.cat([state[0], x], dim=1)
        kept = self.kept_frames(0)
        next_state = [line[:, n:].clone()]
        joined = [line[:, kept - self.plain_lag : kept - self.plain_lag + n]]
        sums = self.from_input(line[:, kept - self.span :])
        if self.waiting > 0:
            sums = torch.cat([state[self.num_plain], sums], dim=1)
        # The sums' last frame is `ahead` before the newest; a layer's turn comes `lag` after it.
        layer, lag = 0, self.ahead
        for convolution in self.from_plain:
            start = self.waiting + self.ahead - lag
            made = torch.relu(sums[:, start : start + n, :, layer * k : (layer + 1) * k])
            silence_before_start(made, first_frame - lag)
            line = torch.cat([state[layer + 1], made], dim=1)
            kept = self.kept_frames(lag)
            next_state.append(line[:, n:].clone())
            wait = self.plain_lag - lag
            joined.append(line[:, kept - wait : kept - wait + n])
            sums[:, self.waiting - lag : self.waiting - lag + n, :, (layer + 1) * k :] += convolution(line[:, kept - self.span :])
            layer += 1
            lag += self.ahead
        made = torch.relu(sums[:, :n, :, layer * k :])
        silence_before_start(made, first_frame - lag)
        joined.append(made)
        if self.waiting > 0:
            next_state.append(sums[:, n:].clone())
        if self.dilated:
            at = len(next_state)
            line = torch.empty([x.shape[0], self.kept_joined + n, x.shape[2], state[at].shape[3]], dtype=x.dtype, device=x.device)
            line[:, : self.kept_joined] = state[at]
            torch.cat(joined, dim=3, out=line[:, self.kept_joined :])
            next_state.append(line[:, n:].clone())
            both = self.from_all_plain(line[:, self.kept_joined - self.dilated_span :])
            made = torch.relu(both[:, :, :, :k])
            silence_before_start(made, first_frame - self.plain_lag - self.dilated_ahead)
            made = torch.cat([state[at + 1], made], dim=1)
            next_state.append(made[:, n:].clone())
            last = both[:, :, :, k:]
            if self.dilated_ahead > 0:
                last = torch.cat([state[at + 2], last], dim=1)
                next_state.append(last[:, n:].clone())
            last = torch.relu(last[:, :n] + self.from_dilated(made[:, self.kept_made - self.dilated_span :]))
            start = self.kept_joined + self.plain_lag - self.lag
            made = made[:, self.kept_made - self.dilated_ahead : self.kept_made - self.dilated_ahead + n]
            y = self.compress([line[:, start : start + n], made, last])
        else:
            y = self.compress([torch.cat(joined, dim=3)])
        silence_before_start(y, first_frame - self.lag)
        return y, next_state

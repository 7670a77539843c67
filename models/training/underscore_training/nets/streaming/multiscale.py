"""One band's encoder and decoder, fed a whole number of pools at a time."""

import torch
from torch import Tensor, nn

from ..multiscale import NUM_LEVELS, MultiscaleNet
from ..unit import ConvUnit
from .delay import Delay
from .dense import StreamingDenseBlock
from .start import silence_before_start


class First(nn.Module):
    """The first unit, of one feature: a product of what each output sees. State: the frames before, `[channel, frame, bin]`."""

    def __init__(self, unit: ConvUnit):
        super().__init__()
        folded = unit.folded().conv
        self.frames, self.bins = (int(size) for size in folded.weight.shape[2:])
        self.below: int = unit.bins_below
        self.above: int = unit.bins_above
        self.weight: Tensor = folded.weight.detach().flatten(1)
        self.bias: Tensor = folded.bias.detach().clone()

    def forward(self, line: Tensor) -> Tensor:
        """`[channel, span + frame, bin]` -> `[channel, frame, bin, out]`."""
        padded = nn.functional.pad(line, (self.below, self.above))
        seen = padded.unfold(1, self.frames, 1).unfold(2, self.bins, 1).flatten(3)
        return torch.relu_(nn.functional.linear(seen, self.weight, self.bias))


class Raise(nn.Module):
    """Doubles frames and bins: a product makes all features of the four of one."""

    def __init__(self, whole: nn.ConvTranspose2d):
        super().__init__()
        self.out_features: int = whole.out_channels
        # `[frame, bin, out]` of the four, `in`.
        self.weight: Tensor = whole.weight.detach().permute(2, 3, 1, 0).flatten(0, 2).contiguous()
        assert whole.bias is not None
        self.bias: Tensor = whole.bias.detach().repeat(4)

    def forward(self, x: Tensor) -> Tensor:
        """`[channel, frame, bin, in]` -> `[channel, 2 frame, 2 bin, out]`."""
        channel, frame, bin_, _ = x.shape
        y = nn.functional.linear(x, self.weight, self.bias).reshape(channel, frame, bin_, 2, 2, self.out_features)
        return y.transpose(2, 3).reshape(channel, 2 * frame, 2 * bin_, self.out_features)


class StreamingMultiscaleNet(nn.Module):
    """A `MultiscaleNet` in calls of a multiple of 8 frames.

    Pools look at pairs of frames that are counted from the clip's first. What comes out of
    a centred block is late; where by an odd number of frames, it waits for one more, so
    that pairs stay pairs. A skip waits for what comes back from below.

    State: of the first convolution, its past; then of blocks and delays, in the order in
    which they are passed.
    """

    def __init__(self, net: MultiscaleNet, frames_per_call: int):
        super().__init__()
        self.first = First(net.first)
        self.first_span: int = net.first.past_frames + net.first.ahead_frames
        self.first_ahead: int = net.first.ahead_frames
        self.down = nn.ModuleList([StreamingDenseBlock(block) for block in net.down])
        self.bottom = StreamingDenseBlock(net.bottom)
        self.raise_ = nn.ModuleList([Raise(whole) for whole in net.raise_])
        self.up = nn.ModuleList([StreamingDenseBlock(block) for block in net.up])
        self.out_features: int = net.out_features
        lag = self.first_ahead
        pairings: list[Delay] = []
        skip_lags: list[int] = []
        for level, (whole, block) in enumerate(zip(net.down, self.down)):
            lag += block.lag
            pairings.append(Delay(whole.out_features, lag % 2, frames_per_call >> level))
            lag += lag % 2
            skip_lags.append(lag)
            lag //= 2
        lag += self.bottom.lag
        waits: list[Delay] = []
        for level, block in zip(reversed(range(NUM_LEVELS)), self.up):
            lag *= 2
            waits.append(Delay(net.down[level].out_features, lag - skip_lags[level], frames_per_call >> level))
            lag += block.lag
        self.pairings = nn.ModuleList(pairings)
        self.waits = nn.ModuleList(waits)
        self.lag: int = lag
        self.num_states: int = len(self.state_shapes(1 << NUM_LEVELS))

    @torch.jit.ignore
    def state_shapes(self, num_bins: int) -> list[list[int]]:
        """Shapes of the state tensors for a band of `num_bins`; -1 is the channel axis."""
        shapes = [[-1, self.first_span, num_bins]]
        for level in range(NUM_LEVELS):
            shapes += self.down[level].state_shapes(num_bins >> level) + self.pairings[level].state_shapes(num_bins >> level)
        shapes += self.bottom.state_shapes(num_bins >> NUM_LEVELS)
        for idx, level in enumerate(reversed(range(NUM_LEVELS))):
            shapes += self.waits[idx].state_shapes(num_bins >> level) + self.up[idx].state_shapes(num_bins >> level)
        return shapes

    def forward(self, x: Tensor, state: list[Tensor], first_frame: int) -> tuple[Tensor, list[Tensor]]:
        """`[channel, 8 n, bin]`, the band's states, the number of its first frame -> output `[channel, 8 n, bin, out]`, `lag` frames
        late, and states."""
        line = torch.cat([state[0], x], dim=1)
        next_state = [line[:, x.shape[1] :]]
        x = self.first(line)
        first_frame -= self.first_ahead
        silence_before_start(x, first_frame)
        skips: list[Tensor] = []
        at = 1
        for block, pairing in zip(self.down, self.pairings):
            x, after = block(x, state[at : at + block.num_states], first_frame)
            next_state += after
            at += block.num_states
            x, after = pairing(x, state[at : at + pairing.num_states])
            next_state += after
            at += pairing.num_states
            skips.append(x)
            first_frame = (first_frame - block.lag - pairing.lag) // 2
            x = nn.functional.avg_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        x, after = self.bottom(x, state[at : at + self.bottom.num_states], first_frame)
        next_state += after
        at += self.bottom.num_states
        first_frame -= self.bottom.lag
        for raise_, wait, block in zip(self.raise_, self.waits, self.up):
            x = raise_(x)
            first_frame *= 2
            silence_before_start(x, first_frame)
            skip, after = wait(skips.pop(), state[at : at + wait.num_states])
            next_state += after
            at += wait.num_states
            x, after = block(torch.cat([x, skip], dim=3), state[at : at + block.num_states], first_frame)
            next_state += after
            at += block.num_states
            first_frame -= block.lag
        return x, next_state

"""One band's encoder and decoder, fed a whole number of pools at a time."""

import torch
from torch import Tensor, nn

from ..multiscale import NUM_LEVELS, MultiscaleNet
from .delay import Delay
from .dense import StreamingDenseBlock
from .start import silence_before_start


class StreamingMultiscaleNet(nn.Module):
    """A `MultiscaleNet` in calls of a multiple of 8 frames.

    Pools look at pairs of frames that are counted from the clip's first. What comes out of
    a centred block is late; where by an odd number of frames, it waits for one more, so
    that pairs stay pairs. A skip waits for what comes back from below.

    State: of the first convolution, its past; then of blocks and delays, in the order in
    which they are passed.
    """

    def __init__(self, net: MultiscaleNet):
        super().__init__()
        self.first = net.first.folded()
        self.first_span: int = net.first.past_frames + net.first.ahead_frames
        self.first_ahead: int = net.first.ahead_frames
        self.down = nn.ModuleList([StreamingDenseBlock(block) for block in net.down])
        self.bottom = StreamingDenseBlock(net.bottom)
        self.raise_ = net.raise_
        self.up = nn.ModuleList([StreamingDenseBlock(block) for block in net.up])
        self.out_features: int = net.out_features
        lag = self.first_ahead
        pairings: list[Delay] = []
        skip_lags: list[int] = []
        for whole, block in zip(net.down, self.down):
            lag += block.lag
            pairings.append(Delay(whole.out_features, lag % 2))
            lag += lag % 2
            skip_lags.append(lag)
            lag //= 2
        lag += self.bottom.lag
        waits: list[Delay] = []
        for level, block in zip(reversed(range(NUM_LEVELS)), self.up):
            lag *= 2
            waits.append(Delay(net.down[level].out_features, lag - skip_lags[level]))
            lag += block.lag
        self.pairings = nn.ModuleList(pairings)
        self.waits = nn.ModuleList(waits)
        self.lag: int = lag

    @torch.jit.ignore
    def state_shapes(self, num_bins: int) -> list[list[int]]:
        """Shapes of the state tensors for a band of `num_bins`; -1 is the channel axis."""
        shapes = [[-1, 1, self.first_span, num_bins]]
        for level in range(NUM_LEVELS):
            shapes += self.down[level].state_shapes(num_bins >> level) + self.pairings[level].state_shapes(num_bins >> level)
        shapes += self.bottom.state_shapes(num_bins >> NUM_LEVELS)
        for idx, level in enumerate(reversed(range(NUM_LEVELS))):
            shapes += self.waits[idx].state_shapes(num_bins >> level) + self.up[idx].state_shapes(num_bins >> level)
        return shapes

    def forward(self, x: Tensor, state: list[Tensor], first_frame: int) -> tuple[Tensor, list[Tensor]]:
        """`[channel, 1, 8 n, bin]`, the band's states, the number of its first frame -> output, `lag` frames late, and states."""
        line = torch.cat([state[0], x], dim=2)
        next_state = [line[:, :, x.shape[2] :].clone()]
        x = self.first(line)
        first_frame -= self.first_ahead
        silence_before_start(x, first_frame)
        skips: list[Tensor] = []
        for block, pairing in zip(self.down, self.pairings):
            x, after = block(x, state[len(next_state) :], first_frame)
            next_state += after
            x, after = pairing(x, state[len(next_state) :])
            next_state += after
            skips.append(x)
            first_frame = (first_frame - block.lag - pairing.lag) // 2
            x = nn.functional.avg_pool2d(x, 2)
        x, after = self.bottom(x, state[len(next_state) :], first_frame)
        next_state += after
        first_frame -= self.bottom.lag
        for raise_, wait, block in zip(self.raise_, self.waits, self.up):
            x = raise_(x)
            first_frame *= 2
            silence_before_start(x, first_frame)
            skip, after = wait(skips.pop(), state[len(next_state) :])
            next_state += after
            x, after = block(torch.cat([x, skip], dim=1), state[len(next_state) :], first_frame)
            next_state += after
            first_frame -= block.lag
        return x, next_state

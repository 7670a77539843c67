"""The spectrogram U-Net of Jansson et al. (2017), for music instead of a singing voice.

Taken from their text: six 5x5 convolutions of stride 2 with 16 to 512 features, batch
normalisation, LeakyReLU 0.2; back up with transposed convolutions, ReLU, dropout of a
half in the first three, the encoder's features joined on; a sigmoid mask.

Choices, and what is taken here:

- The grid is this project's, 1024 samples every 256 at 16 kHz (theirs: 1024 every 768 at
  8192 Hz); both leave 512 bins.
- Input: `nets.axes`, as for the other spectrogram systems; theirs is the magnitude over
  the track's maximum, which is not known while a track plays.
- Padding is 2 before and after in both axes: output c of a strided layer is centred on
  input 2 c. Theirs is a framework's "same", which does not say where the odd zero goes.
- Any number of frames: filled up with zeros to a multiple of 64. Theirs are patches of 128.
- No bias where batch normalisation follows: it has its own.
"""

import torch
from torch import Tensor, nn

from .mask_separator import MaskSeparator

FEATURES = (1, 16, 32, 64, 128, 256, 512)
NUM_LEVELS = len(FEATURES) - 1
KERNEL = 5
PAD = 2
SLOPE = 0.2
NUM_DROPOUT = 3
DROPOUT = 0.5


def _down(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_features, out_features, KERNEL, stride=2, padding=PAD, bias=False),
        nn.BatchNorm2d(out_features),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def _up(in_features: int, out_features: int, bias: bool) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(
        in_features, out_features, KERNEL, stride=2, padding=PAD, output_padding=1, bias=bias
    )


class UNet(MaskSeparator):
    """Magnitudes of the mixture -> logits of the music mask."""

    frame_multiple = 2**NUM_LEVELS

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(_down(FEATURES[i], FEATURES[i + 1]) for i in range(NUM_LEVELS))
        up: list[nn.Module] = []
        for level in reversed(range(1, NUM_LEVELS)):
            # The deepest has no skip of its own; every other reads one beside the map from below.
            joined = 1 if level == NUM_LEVELS - 1 else 2
            layers = [_up(joined * FEATURES[level + 1], FEATURES[level], bias=False)]
            layers += [nn.BatchNorm2d(FEATURES[level]), nn.ReLU(inplace=True)]
            if NUM_LEVELS - 1 - level < NUM_DROPOUT:
                layers.append(nn.Dropout(DROPOUT))
            up.append(nn.Sequential(*layers))
        self.up = nn.ModuleList(up)
        self.mask = _up(2 * FEATURES[1], 1, bias=True)

    def latest_frame(self, frame: int) -> int:
        def at_level(level: int, frame: int) -> int:
            """The last frame of the map of `level` that its counterpart going up depends on."""
            if level == NUM_LEVELS:
                return frame
            coarse = at_level(level + 1, (frame + PAD) // 2)
            return max(frame, 2 * coarse + PAD)

        return self.axis.latest_frame(at_level(0, frame))

    def forward(self, levelled: Tensor) -> Tensor:
        """`[batch, frame, band]` (frames divisible by 64) -> logits of the same shape."""
        x = levelled[:, None]
        x = x.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = skips.pop()
        for layer in self.up:
            x = torch.cat([layer(x), skips.pop()], dim=1)
        return self.mask(x)[:, 0]

"""The systems that are compared, by name: the paper's Table 2, in its order.

Each is a `torch.nn.Module` with

- `sample_rate_hz: int`,
- `separate(mixture [batch, sample]) -> music [batch, sample]`, any length,
- `look_ahead_samples: int`,

and is either a `MaskSeparator` (with `grid` and `logits`, see there) or maps the waveform
with `forward` as `separate` does.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from .asked import AskedCRN
from .bands import PLAIN, PLAIN_FULL
from .crn import CRN
from .dmmdensenet import DMMDenseNet
from .unet import UNet
from .waveunet import WaveUNet

SYSTEMS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "waveunet": WaveUNet,
    "mdensenet": partial(DMMDenseNet, bands=PLAIN_FULL, dilation=None),
    "mmdensenet": partial(DMMDenseNet, bands=PLAIN, dilation=None),
    "fdmmdensenet": partial(DMMDenseNet, dilation=(1, 2)),
    "tdmmdensenet": partial(DMMDenseNet, dilation=(2, 1)),
    "dmmdensenet": partial(DMMDenseNet, dilation=(2, 2)),
    "crn": CRN,
    "studio": partial(DMMDenseNet, dilation=(1, 2), look_ahead="fine", axis="bent"),
    "exact": partial(DMMDenseNet, dilation=(1, 2), axis="bent", frames_per_call=16),
    "asked": AskedCRN,
    "live": partial(CRN, look_ahead_frames=0, synthesis_s=0.032, frames_per_call=1),
}
"""The paper's seven are centred, as there. `studio` is that of them which learnt fastest, in a form for a
host: full band, 224 ms of look-ahead; `exact` is the same centred as the paper has it: 142 frames, 2.3 s of look-ahead, for offline work, in calls of 16 frames. `asked` separates what resembles an example. `live` is `crn` for whoever is on air: no look-ahead, 32 ms of a
frame heard."""


class UnknownSystem(Exception):
    """No system has this name."""

    def __init__(self, system: str):
        super().__init__(f"no system is called {system!r}; known: {', '.join(SYSTEMS)}")


def build(system: str, **options) -> nn.Module:
    """A new network; `options` go to its constructor and override what its name stands for."""
    if system not in SYSTEMS:
        raise UnknownSystem(system)
    return SYSTEMS[system](**options)

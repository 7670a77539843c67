"""A tiny synthetic corpus: noise bursts for speech, chords for music."""

import os
from functools import partial
from pathlib import Path

# Before numpy is imported: its threads spin, and on a busy machine they wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from underscore_training.corpus import store
from underscore_training.corpus.stems import CLASSES, DRUM_PIECES, SINGING
from underscore_training.corpus.track import SPLITS, TRACK_RATE_HZ, Track
from underscore_training.export import contract
from underscore_training.nets import DMMDenseNet
from underscore_training.nets.asked import AskedCRN
from underscore_training.nets.axes import BentAxis

torch.set_num_threads(1)

TRACK_S = 6
LOOK_AHEAD_FRAMES = 3
SMALL = {"features": (6, 8, 8, 12), "time_memory": 16, "band_memory": 10, "num_blocks": 2, "look_ahead_frames": LOOK_AHEAD_FRAMES}
"""Options of a network that is asked."""


def small_asked() -> AskedCRN:
    """One of `SMALL` that says something, and hears what it is asked."""
    torch.manual_seed(4)
    net = AskedCRN(**SMALL)
    net.last.weight.data.mul_(8)
    for told in (*net.told_down, *(told.modulation for told in net.told_up)):
        told.told.weight.data.normal_(std=0.2)
    return net.eval()


def magnitude(num_frames: int, num_channels: int = 1) -> torch.Tensor:
    """What such a network hears, `[channel, frame, bin]`."""
    return torch.view_as_complex(contract.test_spectrum(BentAxis.grid, num_frames, num_channels)).abs()


def sound(kind: str, idx: int) -> np.ndarray:
    """Float32 `[sample]` at 48 kHz, full band."""
    rng = np.random.default_rng([idx, kind == "music"])
    time_s = np.arange(TRACK_S * TRACK_RATE_HZ) / TRACK_RATE_HZ
    if kind == "speech":
        bursts = 0.1 * rng.standard_normal(time_s.size) * (np.sin(2 * np.pi * 3 * time_s + idx) > 0)
        return bursts.astype(np.float32)
    chord = sum(np.sin(2 * np.pi * hz * time_s) for hz in (*rng.uniform(100, 2000, 4), rng.uniform(9_000, 12_000)))
    return (0.1 * chord).astype(np.float32)


def write_corpus(folder: Path, per_split: int = 2, kinds: tuple[str, ...] = ("speech", "music")) -> Path:
    for number, split in enumerate(SPLITS):
        for idx in range(per_split):
            for kind in kinds:
                make = partial(sound, kind, number * per_split + idx)
                track = Track(f"{split}/{kind}{idx}", "synthetic", kind, split, "CC0-1.0", 1.0, "1", make)
                store.write_track(folder, track, make())
    return folder


@pytest.fixture
def tiny_corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture(scope="session")
def tiny_stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With every class that may be asked for."""
    return write_corpus(tmp_path_factory.mktemp("stems") / "corpus", 1, ("speech", "music", *CLASSES, *DRUM_PIECES, SINGING))


def unsettled(net: DMMDenseNet) -> DMMDenseNet:
    """Normalisations that are not the identity, so that folding them is tested, and masks that tell frames apart."""
    magnitude = torch.view_as_complex(contract.test_spectrum(net.grid, 64)).abs()
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.2)
    with torch.no_grad():
        net.train().logits(magnitude)
        logits = net.eval().logits(magnitude)
        net.mask.bias.sub_(logits.mean()).div_(logits.std())
        net.mask.weight.div_(logits.std())
    return net


@pytest.fixture(scope="session")
def net() -> DMMDenseNet:
    """The causal network of the paper's geometry."""
    torch.manual_seed(3)
    return unsettled(DMMDenseNet(look_ahead="none"))

"""A tiny synthetic corpus: noise bursts for speech, chords for music."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from underscore_training.corpus import SplitWriter
from underscore_training.grid import SAMPLE_RATE_HZ
from underscore_training.nets import DMMDenseNet

torch.set_num_threads(1)


@pytest.fixture
def tiny_corpus(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    time_s = np.arange(4 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    writer = SplitWriter(tmp_path / "corpus")
    for split in ("train", "valid", "test"):
        for idx in range(2):
            speech = rng.standard_normal(time_s.size) * 0.1 * (np.sin(2 * np.pi * 3 * time_s + idx) > 0)
            music = 0.1 * sum(np.sin(2 * np.pi * f * time_s) for f in rng.uniform(100, 2000, 4))
            writer.add(f"{split}/speaker{idx}", "synthetic", split, "speech", speech.astype(np.float32))
            writer.add(f"{split}/piece{idx}", "synthetic", split, "music", music.astype(np.float32))
    writer.close(seed=0)
    assert json.loads((tmp_path / "corpus" / "index.json").read_text())["items"]
    return tmp_path / "corpus"


@pytest.fixture(scope="session")
def net() -> DMMDenseNet:
    """A network whose normalisations are not the identity, so that folding them is tested."""
    torch.manual_seed(3)
    net = DMMDenseNet()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return net.eval()

"""The frame grid, the transforms and the golden frames."""

import json
from pathlib import Path

import pytest
import torch

from underscore_training import golden
from underscore_training.grid import grid_at, istft, stft


@pytest.mark.parametrize(
    ("rate_hz", "window", "hop"),
    [(16_000, 1024, 256), (22_050, 1411, 353), (44_100, 2822, 706), (48_000, 3072, 768)],
)
def test_grid_and_inverse(rate_hz: int, window: int, hop: int) -> None:
    grid = grid_at(rate_hz)
    assert (grid.window_samples, grid.hop_samples) == (window, hop)
    signal = golden.golden_signal(8 * window, rate_hz).double()[None]
    spectrum = stft(signal, grid)
    inside = slice(window, (spectrum.shape[1] - 1) * hop)
    restored = istft(spectrum, grid, signal.shape[1])
    assert (restored - signal)[:, inside].abs().max() < 1e-10


def test_stft_is_torchs(tmp_path: Path) -> None:
    grid = grid_at(44_100)
    signal = golden.golden_signal(grid.window_samples + 2 * grid.hop_samples, 44_100)
    own = torch.view_as_real(stft(signal, grid))
    assert (own - golden.golden_frames(signal, grid)).abs().max() < 1e-2 * 1e-2 * grid.window_samples / 256


def test_golden_files(tmp_path: Path) -> None:
    golden.main(["--out", str(tmp_path)])
    index = json.loads((tmp_path / "index.json").read_text())
    for case in index["cases"]:
        expected = 4 * (case["num_samples"] + case["num_frames"] * case["num_bins"] * 2)
        assert (tmp_path / case["file"]).stat().st_size == expected

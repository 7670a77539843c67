"""The frame grid, the transforms and the golden frames."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from underscore_training import golden
from underscore_training.grid import grid_at, istft, stft, windows


@pytest.mark.parametrize("synthesis_s", [0.064, 0.032, 0.02])
@pytest.mark.parametrize(
    ("rate_hz", "window", "hop"),
    [(16_000, 1024, 256), (22_050, 1411, 353), (44_100, 2822, 706), (48_000, 3072, 768)],
)
def test_grid_and_inverse(rate_hz: int, window: int, hop: int, synthesis_s: float) -> None:
    grid = grid_at(rate_hz, synthesis_s)
    assert grid_at(16_000, synthesis_s).at(rate_hz) == grid
    assert (grid.window_samples, grid.hop_samples) == (window, hop)
    signal = golden.golden_signal(8 * window, rate_hz).double()[None]
    spectrum = stft(signal, grid)
    inside = slice(window, (spectrum.shape[1] - 1) * hop)
    restored = istft(spectrum, grid, signal.shape[1])
    assert (restored - signal)[:, inside].abs().max() < 1e-10


def test_what_is_heard_of_a_frame_is_its_end() -> None:
    grid = grid_at(16_000, 0.032)
    analysis, synthesis = windows(grid, torch.zeros(1, dtype=torch.float64))
    assert synthesis.count_nonzero() == 511 and synthesis[:513].abs().max() == 0
    # A frame whose mask is 0 takes away what lies in its last 32 ms, and nothing before.
    signal = golden.golden_signal(8 * grid.window_samples, 16_000).double()[None]
    spectrum = stft(signal, grid)
    mask = torch.ones(spectrum.shape[1], 1, dtype=torch.float64)
    mask[10] = 0
    change = (istft(spectrum * mask, grid, signal.shape[1]) - istft(spectrum, grid, signal.shape[1]))[0]
    changed = change.abs().gt(1e-9).nonzero()[:, 0]
    end = 10 * grid.hop_samples + grid.window_samples
    assert end - 512 <= changed.min() and changed.max() < end and changed.numel() > 500


@pytest.mark.parametrize("synthesis_s", [0.016, 0.065, 0.0])
def test_a_synthesis_window_that_cannot_be_is_refused(synthesis_s: float) -> None:
    with pytest.raises(ValueError, match="synthesis_s"):
        grid_at(16_000, synthesis_s)


@pytest.mark.parametrize("synthesis_s", [0.064, 0.032])
def test_stft_is_torchs(synthesis_s: float) -> None:
    grid = grid_at(44_100, synthesis_s)
    signal = golden.golden_signal(grid.window_samples + 2 * grid.hop_samples, 44_100)
    own = torch.view_as_real(stft(signal, grid))
    assert (own - golden.golden_frames(signal, grid)).abs().max() < 1e-2 * 1e-2 * grid.window_samples / 256


def test_golden_files_are_those_that_the_rust_tests_read(tmp_path: Path) -> None:
    golden.main(["--out", str(tmp_path)])
    committed = Path(__file__).parents[3] / "tests" / "fixtures" / "stft"
    index = json.loads((tmp_path / "index.json").read_text())
    assert index == json.loads((committed / "index.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in committed.iterdir())
    for case in index["cases"]:
        made, kept = (np.fromfile(folder / case["file"], "<f4") for folder in (tmp_path, committed))
        num_values = case["num_samples"] + case["num_frames"] * case["num_bins"] * 2
        assert made.size == kept.size == num_values
        # In float64 and rounded once: an FFT that sums in another order changes hardly a bit.
        np.testing.assert_allclose(made, kept, rtol=1e-6, atol=1e-5, err_msg=case["file"])

"""STFT frames of a seeded signal at several host rates, for the Rust tests to agree with.

Per rate and pair of windows one file of little-endian float32: the signal `[sample]`, then the
frames `[frame][bin][2]` (real, imaginary) as `torch.stft` gives them with `center=False` and
the window of analysis. `index.json` says how long each part is.
"""

import argparse
import json
from pathlib import Path

import torch

from .export.contract import little_endian
from .grid import Grid, grid_at, windows

CASES = ((16_000, 0.064), (22_050, 0.064), (44_100, 0.064), (48_000, 0.064), (22_050, 0.032), (48_000, 0.032))
"""Rate in Hz and synthesis window in seconds: only the latter tells how the analysis window bends."""
NUM_FRAMES = 3


def golden_signal(num_samples: int, sample_rate_hz: int) -> torch.Tensor:
    """Two tones and seeded noise, full scale about 1; float32 `[sample]`."""
    generator = torch.Generator().manual_seed(sample_rate_hz)
    time_s = torch.arange(num_samples, dtype=torch.float64) / sample_rate_hz
    tones = 0.4 * torch.sin(2 * torch.pi * 440 * time_s) + 0.2 * torch.cos(2 * torch.pi * 3000.5 * time_s)
    return (tones + 0.05 * torch.randn(num_samples, generator=generator, dtype=torch.float64)).float()


def golden_frames(signal: torch.Tensor, grid: Grid) -> torch.Tensor:
    """`[frame][bin][2]`, computed in float64 and rounded once."""
    signal = signal.double()
    spectrum = torch.stft(
        signal,
        n_fft=grid.window_samples,
        hop_length=grid.hop_samples,
        window=windows(grid, signal)[0],
        center=False,
        normalized=False,
        return_complex=True,
    )
    return torch.view_as_real(spectrum.T).float()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.golden", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("../../tests/fixtures/stft"))
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    cases = []
    for rate_hz, synthesis_s in CASES:
        grid = grid_at(rate_hz, synthesis_s)
        signal = golden_signal(grid.window_samples + (NUM_FRAMES - 1) * grid.hop_samples, rate_hz)
        frames = golden_frames(signal, grid)
        file = f"stft_{rate_hz}_{round(1000 * synthesis_s)}ms.f32"
        (args.out / file).write_bytes(little_endian(signal) + little_endian(frames))
        cases.append(
            {
                "file": file,
                "sample_rate_hz": rate_hz,
                "window_samples": grid.window_samples,
                "hop_samples": grid.hop_samples,
                "synthesis_samples": grid.synthesis_samples,
                "num_samples": signal.numel(),
                "num_frames": frames.shape[0],
                "num_bins": grid.num_bins,
            }
        )
    header = {
        "layout": "float32 little-endian: signal [sample], then frames [frame][bin][2] (re, im)",
        "window": "of analysis, see underscore_training/grid.py; center=False, unnormalised",
        "cases": cases,
    }
    (args.out / "index.json").write_text(json.dumps(header, indent=1) + "\n")
    total = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{len(cases)} cases, {total / 1000:.0f} kB in {args.out}")


if __name__ == "__main__":
    main()

"""Scores of a checkpoint on speakers and pieces it never heard, as Markdown tables.

Mixtures are 10 s long, music at 0 and at -10 dB relative to the speech. "Leakage" is
what a source alone leaves in the other stem, relative to that source.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from . import contract
from .export import load_net
from .grid import MODEL_GRID, NUM_BINS, Grid, grid_at, istft, stft
from .metrics import bss_eval, sdr_db, si_sdr_db
from .mixtures import CorpusMissing, Shelf
from .nets import DMMDenseNet

CLIP_S = 10
MUSIC_LEVELS_DB = (0.0, -10.0)
SPEECH_RMS = 0.05
BAND_BINS = NUM_BINS // 8
"""Bins above the model's range take the mean mask of this many top bins, 1 kHz ..."""
BLEND_BINS = BAND_BINS // 2
"""... after a linear way from the last bin's mask to that mean. The plugin does the same."""


def extended(mask: torch.Tensor, num_bins: int) -> torch.Tensor:
    """Mask `[channel, frame, 513]` -> `[channel, frame, num_bins]` of a host's grid."""
    above = num_bins - NUM_BINS
    if above <= 0:
        return mask[..., :num_bins]
    mean = mask[..., -BAND_BINS:].mean(dim=2, keepdim=True)
    weight = (torch.arange(1, above + 1) / (BLEND_BINS + 1)).clamp_max(1.0)
    edge = mask[..., -1:]
    return torch.cat([mask, edge + weight * (mean - edge)], dim=2)


@torch.no_grad()
def separate(net: DMMDenseNet, mixture: np.ndarray, grid: Grid) -> np.ndarray:
    """Music estimate of `[channel, sample]` at the grid's rate, as the plugin makes it.

    One mask for all channels, from the RMS of their magnitudes scaled to the model's
    window; the mask multiplies the host's own spectrum.
    """
    signal = torch.from_numpy(mixture).float()
    # A window of silence at both ends, so that every sample is reached by all its frames.
    signal = torch.nn.functional.pad(signal, (grid.window_samples, 2 * grid.window_samples))
    spectrum = stft(signal, grid)
    linked = spectrum.abs().square().mean(dim=0, keepdim=True).sqrt()
    linked = linked[..., :NUM_BINS] * (MODEL_GRID.window_samples / grid.window_samples)
    mask = extended(net.music_mask(linked.to(torch.complex64)), grid.num_bins)
    estimate = istft(spectrum * mask, grid, signal.shape[1])
    return estimate[:, grid.window_samples : grid.window_samples + mixture.shape[1]].double().numpy()


def scores(music: np.ndarray, speech: np.ndarray, music_estimate: np.ndarray) -> dict[str, list[float]]:
    """Per stem `[SDR, SI-SDR, BSS SDR, SIR, SAR]`; `[sample]` each."""
    sources = np.stack([music, speech])
    mixture = music + speech
    result = {}
    for idx, (stem, estimate) in enumerate((("music", music_estimate), ("dialogue", mixture - music_estimate))):
        plain = [sdr_db(sources[idx], estimate), si_sdr_db(sources[idx], estimate)]
        result[stem] = [*plain, *bss_eval(sources, estimate, idx)]
    return result


def test_table(net: DMMDenseNet, corpus: Path, num_clips: int, seed: int) -> str:
    """Means over the test mixtures, the mixture itself (as its own estimate) beside them."""
    speech_shelf, music_shelf = Shelf(corpus, "test", "speech"), Shelf(corpus, "test", "music")
    num_samples = CLIP_S * MODEL_GRID.sample_rate_hz
    rows: dict[tuple[float, str, str], list[list[float]]] = {}
    leaks: dict[str, list[float]] = {"speech": [], "music": []}
    rng = np.random.default_rng(seed)
    for _ in tqdm(range(num_clips), desc="test", file=sys.stderr):
        speech = speech_shelf.draw(rng, num_samples).astype(np.float64) * SPEECH_RMS
        music = music_shelf.draw(rng, num_samples).astype(np.float64) * SPEECH_RMS
        for level_db in MUSIC_LEVELS_DB:
            tune = music * 10 ** (level_db / 20)
            estimate = separate(net, (speech + tune)[None], MODEL_GRID)[0]
            for name, guess in (("mixture", tune + speech), ("model", estimate)):
                if name == "mixture":
                    whole = {"music": guess, "dialogue": guess}
                    sources = np.stack([tune, speech])
                    found = {
                        stem: [sdr_db(sources[i], guess), si_sdr_db(sources[i], guess), *bss_eval(sources, guess, i)]
                        for i, stem in enumerate(whole)
                    }
                else:
                    found = scores(tune, speech, guess)
                for stem, values in found.items():
                    rows.setdefault((level_db, stem, name), []).append(values)
        as_music = separate(net, speech[None], MODEL_GRID)[0]
        leaks["speech"].append(-sdr_db(speech, speech - as_music))
        as_music = separate(net, music[None], MODEL_GRID)[0]
        leaks["music"].append(-sdr_db(music, as_music))
    lines = [
        "| Music level | Stem | Estimate | SDR | SI-SDR | BSS SDR | SIR | SAR |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (level_db, stem, name), values in rows.items():
        cells = " | ".join("-" if value > 60 else f"{value:.2f}" for value in np.mean(values, axis=0))
        lines.append(f"| {level_db:.0f} dB | {stem} | {name} | {cells} |")
    lines += [
        "",
        f"Leakage: speech alone leaves {np.mean(leaks['speech']):.1f} dB of itself in the music stem, "
        f"music alone {np.mean(leaks['music']):.1f} dB in the dialogue stem (means of {num_clips} clips of {CLIP_S} s).",
    ]
    return "\n".join(lines)


def programme_table(net: DMMDenseNet, folder: Path) -> str:
    """SDR of the demo programme at its own rate, both channels together."""
    stems = {}
    for stem in ("music", "dialogue"):
        signal, rate_hz = soundfile.read(folder / f"{stem}.flac", always_2d=True)
        stems[stem] = signal.T
    mixture = stems["music"] + stems["dialogue"]
    music = separate(net, mixture, grid_at(rate_hz))
    estimates = {"music": music, "dialogue": mixture - music}
    lines = ["| Stem | Mixture SDR | Model SDR |", "|---|---|---|"]
    for stem, reference in stems.items():
        before, after = sdr_db(reference, mixture), sdr_db(reference, estimates[stem])
        lines.append(f"| {stem} | {before:.2f} dB | {after:.2f} dB |")
    return "\n".join(lines)


def real_time_factor(model: Path, num_calls: int = 100) -> float:
    """Median processor time of a call of an exported file, on one thread, over the audio it covers.

    Processor time and not the clock's: other programs on the machine must not count.
    """
    torch.set_num_threads(1)
    script, meta, _ = contract.load(model)
    spectrum = contract.test_spectrum(num_calls)
    state = contract.zero_state(meta["state_shapes"], 1)
    times_s = []
    with torch.no_grad():
        for call in spectrum.split(meta["frames_per_call"], dim=1):
            call = call.contiguous()
            began = time.process_time()
            _, state = script(call, state)
            times_s.append(time.process_time() - began)
    # The first calls compile and allocate.
    return float(np.median(times_s[10:])) / (meta["frames_per_call"] * meta["hop_s"])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, help="folder that `corpus` wrote; its test split is scored")
    parser.add_argument("--programme", type=Path, help="folder with music.flac and dialogue.flac")
    parser.add_argument("--model", type=Path, help="exported file to time on one thread")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        net = load_net(args.checkpoint)
        if args.programme:
            print(programme_table(net, args.programme), end="\n\n")
        if args.corpus:
            print(test_table(net, args.corpus, args.clips, args.seed), end="\n\n")
        if args.model:
            print(f"RTF on one thread: {real_time_factor(args.model):.3f}")
    except (CorpusMissing, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

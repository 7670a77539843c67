"""Where an estimate's error lies: in the first second, or below the band that voices are thought to begin in.

Clip by clip the music's SDR as it is, without the error of the first second, and without that below 100 Hz, each with all of the
music as the reference. What one of the two columns gains over the first is what mending that part alone could give.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..corpus.errors import CorpusError
from ..options import seconds, whole
from .clips import CLIP_RATE_HZ, MUSIC_LEVELS_DB, ClipList
from .errors import EvaluateError
from .estimators import Trained, require_unheard
from .metrics import SilentReference
from .resample import resampled

PROG = "python -m underscore_training.evaluate.where"
BEGINNING_S = 1.0
LOW_HZ = 100.0


@dataclass(frozen=True)
class Where:
    """SDR of one clip's music, dB."""

    sdr_db: float
    after_beginning_db: float
    """Without the error of the first `BEGINNING_S`."""
    above_low_db: float
    """Without the error below `LOW_HZ`."""


def where(music: np.ndarray, estimate: np.ndarray, rate_hz: int) -> Where:
    """Of signals `[sample]`."""
    error = estimate - music
    spectrum = np.fft.rfft(error)
    spectrum[np.fft.rfftfreq(error.size, 1 / rate_hz) < LOW_HZ] = 0
    errors = (error, error[round(BEGINNING_S * rate_hz) :], np.fft.irfft(spectrum, error.size))
    energy = np.sum(music**2)
    return Where(*(float(10 * np.log10(energy / max(np.sum(part**2), 1e-12 * energy))) for part in errors))


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="the network")
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR", help="folder that `corpus` wrote")
    parser.add_argument("--split", choices=("test", "valid"), default="valid", help="of the corpus (default: %(default)s)")
    parser.add_argument("--clips", type=whole, default=24, help="number of clips (default: %(default)s)")
    parser.add_argument("--clip-s", type=seconds, default=12.0, help="length of each, seconds (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=11, help="which clips (default: %(default)s)")
    parser.add_argument("--threads", type=whole, default=1, help="threads of torch (default: %(default)s)")
    return parser.parse_args(argv)


def table(args: argparse.Namespace) -> None:
    estimator = Trained(args.checkpoint)
    clips = ClipList.from_corpus(args.corpus, args.split, args.clips, args.seed, args.clip_s)
    if args.split == "test":
        require_unheard([estimator], {recording.name for recording in (*clips.speakers, *clips.pieces)})
    rate_hz = estimator.sample_rate_hz
    for level_db in MUSIC_LEVELS_DB:
        print(f"\nmusic at {level_db:g} dB, SDR in dB at {rate_hz / 1000:g} kHz")
        print(f"{'':60}  as it is  after {BEGINNING_S:g} s  above {LOW_HZ:g} Hz")
        rows: list[Where] = []
        for idx in range(len(clips)):
            try:
                clip = clips.clip(idx)
            except SilentReference:
                print(f"clip {idx}: silent, left out")
                continue
            music = resampled(clip.music * 10 ** (level_db / 20), CLIP_RATE_HZ, rate_hz)
            mixture = music + resampled(clip.speech, CLIP_RATE_HZ, rate_hz)
            row = where(music, estimator.music(mixture), rate_hz)
            rows.append(row)
            print(f"{clip.piece[:34]:34}  {clip.speaker[-24:]:24}  {row.sdr_db:8.2f}  {row.after_beginning_db:9.2f}  {row.above_low_db:12.2f}")
        if not rows:
            raise EvaluateError(f"all {len(clips)} clips are silent: the corpus is not usable")
        means = [np.mean([getattr(row, name) for row in rows]) for name in Where.__annotations__]
        print(f"{'mean':60}  {means[0]:8.2f}  {means[1]:9.2f}  {means[2]:12.2f}")


def main(argv: list[str] | None = None) -> int:
    args = arguments(sys.argv[1:] if argv is None else argv)
    torch.set_num_threads(args.threads)
    try:
        table(args)
    except (CorpusError, EvaluateError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""SDR of the demo programme: 48 kHz stereo, through the mask as the plugin puts it on the host's own grid."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from .errors import EvaluateError
from .estimators import Trained
from .metrics import SilentReference, sdr_db
from .results import ProgrammeScore


def read_stems(folder: Path) -> tuple[dict[str, np.ndarray], int]:
    """`music` and `dialogue`, float64 `[channel, sample]`, and their rate."""
    stems, rates_hz = {}, set()
    for stem in ("music", "dialogue"):
        path = folder / f"{stem}.flac"
        try:
            signal, rate_hz = soundfile.read(path, always_2d=True)
        except (OSError, soundfile.LibsndfileError) as error:
            raise EvaluateError(f"{path}: cannot be read ({error}); --programme wants music.flac and dialogue.flac") from error
        stems[stem] = signal.T
        rates_hz.add(rate_hz)
    if len(rates_hz) > 1 or stems["music"].shape != stems["dialogue"].shape:
        shapes = " and ".join(str(signal.shape) for signal in stems.values())
        raise EvaluateError(f"{folder}: music and dialogue differ in rate or in [channel, sample]: {rates_hz} Hz, {shapes}")
    return stems, rates_hz.pop()


@torch.no_grad()
def programme_scores(folder: Path, networks: list[Trained]) -> tuple[list[ProgrammeScore], list[str]]:
    """Rows of the mixture and of each network, and which networks have no form for the plugin."""
    stems, rate_hz = read_stems(folder)
    mixture = stems["music"] + stems["dialogue"]
    estimates = {"mixture": {"music": mixture, "dialogue": mixture}}
    left_out = []
    for network in networks:
        programme_music = getattr(network.loaded.net, "programme_music", None)
        if programme_music is None:
            left_out.append(f"{network.name} is left out of the programme: its network has no `programme_music`")
            continue
        music = np.asarray(programme_music(torch.from_numpy(mixture).float(), rate_hz), np.float64)
        estimates[network.name] = {"music": music, "dialogue": mixture - music}
    try:
        rows = [
            ProgrammeScore(stem, name, sdr_db(stems[stem], guess[stem]))
            for stem in stems
            for name, guess in estimates.items()
        ]
    except SilentReference as error:
        raise EvaluateError(f"{folder}: {error}") from error
    return rows, left_out

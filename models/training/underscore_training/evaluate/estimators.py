"""What is compared: anything that makes music out of a mixture.

An estimator has a `name`, the `sample_rate_hz` that it works at, and
`music(mixture [sample]) -> [sample]`, float64. The dialogue is the rest of the mixture.
Oracles (see `oracles`) are told the music as well.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..nets.asked import AskedCRN
from ..nets.systems import UnknownSystem
from ..train.checkpoint import CheckpointError, load_network
from .clips import CLIP_RATE_HZ, SCORE_RATE_HZ
from .errors import EvaluateError
from .oracles import IdealRatioMask, Oracle, PhaseSensitiveMask
from .resample import resampled
from .rnnoise import RNNoise


class Estimator(Protocol):
    name: str
    sample_rate_hz: int

    def music(self, mixture: np.ndarray) -> np.ndarray:
        """Music estimate `[sample]` of `mixture` `[sample]`, both at `sample_rate_hz`."""


class Mixture:
    """The mixture taken as the estimate of each stem: what doing nothing scores."""

    name = "mixture"
    sample_rate_hz = CLIP_RATE_HZ

    def music(self, mixture: np.ndarray) -> np.ndarray:
        return mixture


class Trained:
    """A network out of a checkpoint."""

    def __init__(self, path: Path):
        try:
            self.loaded = load_network(path)
        except (CheckpointError, UnknownSystem) as error:
            raise EvaluateError(str(error)) from error
        if isinstance(self.loaded.net, AskedCRN):
            # Asked for nothing it would find what lies in the middle of its space, and be scored by that.
            raise EvaluateError(
                f"{path}: expected a network that takes music and speech apart, got one that is asked for a sound; "
                "score it by `python -m underscore_training.evaluate.asked`"
            )
        self.path = path
        self.name = self.loaded.name
        self.sample_rate_hz = self.loaded.net.sample_rate_hz
        if self.sample_rate_hz not in (SCORE_RATE_HZ, CLIP_RATE_HZ):
            raise EvaluateError(
                f"{path}: works at {self.sample_rate_hz} Hz; clips are scored at {SCORE_RATE_HZ} and {CLIP_RATE_HZ} Hz"
            )

    @torch.no_grad()
    def music(self, mixture: np.ndarray) -> np.ndarray:
        return self.loaded.net.separate(torch.from_numpy(mixture).float()[None])[0].double().numpy()


@dataclass(frozen=True)
class Facts:
    """What the tables say about an estimator besides its scores; nothing where it does not apply."""

    name: str
    kind: str
    """`baseline`, `oracle` or `trained`."""
    sample_rate_hz: int
    num_parameters: int | None = None
    gmac_per_s: float | None = None
    """10^9 multiply-accumulates per second of audio."""
    steps: int | None = None
    commit: str | None = None
    checkpoint: str | None = None
    says_what_it_heard: bool = True
    """False for a checkpoint that does not name the tracks it was trained on; where it does, none of them is scored."""


def facts(estimator: Estimator | Oracle) -> Facts:
    if isinstance(estimator, Trained):
        loaded = estimator.loaded
        return Facts(
            estimator.name, "trained", estimator.sample_rate_hz,
            loaded.num_parameters, loaded.gmac_per_s, loaded.steps, loaded.commit, str(estimator.path),
            loaded.heard is not None,
        )
    return Facts(estimator.name, "oracle" if isinstance(estimator, Oracle) else "baseline", estimator.sample_rate_hz)


def require_unheard(estimators: list[Estimator | Oracle], names: set[str]) -> None:
    """Refuse a network that was trained or chosen on a track of `names`."""
    for estimator in estimators:
        if isinstance(estimator, Trained) and estimator.loaded.heard is not None:
            known = sorted(estimator.loaded.heard & names)
            if known:
                raise EvaluateError(
                    f"{estimator.path} was trained on {len(known)} recordings of this test split, {known[0]!r} among them: "
                    "score it on the corpus that it was trained with, or train it anew"
                )


def trained(checkpoints: list[Path]) -> list[Trained]:
    """The networks; those of one name are told apart by their folders."""
    networks = [Trained(path) for path in checkpoints]
    names = [network.name for network in networks]
    for network in networks:
        if names.count(network.name) > 1:
            network.name = f"{network.name} ({network.path.resolve().parent.name})"
    names = [network.name for network in networks]
    for name in names:
        if names.count(name) > 1:
            raise EvaluateError(f"two checkpoints are called {name!r}: give each once, from folders of different names")
    return networks


def all_estimators(checkpoints: list[Path], rnnoise_program: str) -> tuple[list[Estimator | Oracle], list[str]]:
    """Baselines, networks and oracles, and why any was left out."""
    left_out = []
    estimators: list[Estimator | Oracle] = [Mixture()]
    try:
        estimators.append(RNNoise(rnnoise_program))
    except EvaluateError as error:
        left_out.append(str(error))
    return [*estimators, *trained(checkpoints), IdealRatioMask(), PhaseSensitiveMask()], left_out


def music_estimate(
    estimator: Estimator | Oracle, mixture: np.ndarray, music: np.ndarray, sample_rate_hz: int
) -> np.ndarray:
    """Music estimate `[sample]` at the estimator's rate from signals `[sample]` at `sample_rate_hz`.

    Only an oracle gets to know `music`, and it works at any rate that is asked for.
    """
    if isinstance(estimator, Oracle):
        return estimator.music_knowing(mixture, music, sample_rate_hz)
    heard = resampled(mixture, sample_rate_hz, estimator.sample_rate_hz)
    estimate = estimator.music(heard)
    if estimate.shape != heard.shape:
        raise EvaluateError(f"{estimator.name}: returned shape {estimate.shape} for {heard.shape}")
    if not np.isfinite(estimate).all():
        raise EvaluateError(f"{estimator.name}: returned values that are not finite")
    return estimate

"""All scores of one clip, as rows that can be written down."""

import os
from dataclasses import dataclass, field

import numpy as np

from .clips import CLIP_RATE_HZ, MUSIC_LEVELS_DB, SCORE_RATE_HZ, Clip
from .estimators import Estimator, Mixture, music_estimate
from .full_band import above_edge, reaches_above, taken_upward
from .metrics import BssEval, energy, ratio_db, sdr_db, si_sdr_db
from .oracles import Oracle
from .resample import resampled

STEMS = ("music", "dialogue")


@dataclass(frozen=True)
class Score:
    """Of one stem of one mixture, in the band up to 8 kHz."""

    clip_idx: int
    speaker: str
    piece: str
    level_db: float
    """Of the music relative to the speech."""
    stem: str
    estimator: str
    sdr_db: float
    si_sdr_db: float
    si_sdr_improvement_db: float
    """Over the mixture's own SI-SDR."""
    bss_sdr_db: float
    sir_db: float
    sar_db: float


@dataclass(frozen=True)
class Leak:
    """What an estimator does to a source that is alone, in the band up to 8 kHz."""

    clip_idx: int
    speaker: str
    piece: str
    estimator: str
    source: str
    """`speech` or `music`: what the mixture consists of."""
    kept_si_sdr_db: float
    """Of the stem that the source belongs to."""
    leak_db: float
    """Level of the other stem relative to the source."""


@dataclass(frozen=True)
class FullBandScore:
    """Of one stem of one mixture at 32 kHz.

    The `own` values are missing for a system that stops at 8 kHz, the `extended` ones for the
    mixture, which has no mask.
    """

    clip_idx: int
    speaker: str
    piece: str
    level_db: float
    stem: str
    estimator: str
    own_sdr_db: float | None
    own_above_sdr_db: float | None
    """In the band above 8 kHz."""
    extended_sdr_db: float | None
    """With the mask below 8 kHz taken upward as the plugin does."""
    extended_above_sdr_db: float | None


@dataclass
class ClipScores:
    """Everything of one clip."""

    clip_idx: int
    scores: list[Score] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    full_band: list[FullBandScore] = field(default_factory=list)
    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    """Processor time of each estimate, by estimator."""
    skipped: str | None = None
    """Why there are no scores."""


def cpu_time_s() -> float:
    """Processor time of this process and of the programs that it has run."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class ClipScorer:
    """Runs estimators on one clip and collects the rows."""

    def __init__(self, clip: Clip):
        self.clip = clip
        self.found = ClipScores(clip.idx)
        self.place = {"clip_idx": clip.idx, "speaker": clip.speaker, "piece": clip.piece}

    def estimate(self, estimator: Estimator | Oracle, mixture: np.ndarray, music: np.ndarray) -> np.ndarray:
        """Music estimate `[sample]` at the estimator's rate, timed; the inputs are at 32 kHz."""
        rate_hz = estimator.sample_rate_hz
        began_s = cpu_time_s()
        estimate = music_estimate(
            estimator, resampled(mixture, CLIP_RATE_HZ, rate_hz), resampled(music, CLIP_RATE_HZ, rate_hz), rate_hz
        )
        self.found.cpu_s.setdefault(estimator.name, []).append(cpu_time_s() - began_s)
        return estimate

    def score_mixture(self, level_db: float, estimators: list[Estimator | Oracle]) -> None:
        """Scores, full-band scores too, of the mixture with the music at `level_db`."""
        speech, music = self.clip.speech, self.clip.music * 10 ** (level_db / 20)
        mixture = speech + music
        narrow = resampled(mixture, CLIP_RATE_HZ, SCORE_RATE_HZ)
        references = np.stack([resampled(source, CLIP_RATE_HZ, SCORE_RATE_HZ) for source in (music, speech)])
        bss_eval = BssEval(references)
        before_db = [si_sdr_db(reference, narrow) for reference in references]
        is_full_band = self.clip.is_full_band and reaches_above(music) and reaches_above(speech)
        for estimator in estimators:
            estimate = self.estimate(estimator, mixture, music)
            low = resampled(estimate, estimator.sample_rate_hz, SCORE_RATE_HZ)
            rest = narrow if isinstance(estimator, Mixture) else narrow - low
            for idx, (stem, guess) in enumerate(zip(STEMS, (low, rest))):
                bss = bss_eval.scores(guess, idx)
                after_db = si_sdr_db(references[idx], guess)
                self.found.scores.append(Score(
                    **self.place, level_db=level_db, stem=stem, estimator=estimator.name,
                    sdr_db=sdr_db(references[idx], guess),
                    si_sdr_db=after_db, si_sdr_improvement_db=after_db - before_db[idx],
                    bss_sdr_db=bss.sdr_db, sir_db=bss.sir_db, sar_db=bss.sar_db,
                ))
            if is_full_band:
                self.score_full_band(level_db, estimator, estimate, music, speech)

    def score_full_band(
        self, level_db: float, estimator: Estimator | Oracle, estimate: np.ndarray, music: np.ndarray, speech: np.ndarray
    ) -> None:
        """`estimate` is `[sample]` at the estimator's rate, the sources are at 32 kHz."""
        mixture = music + speech
        ways: dict[str, tuple[np.ndarray, np.ndarray] | None] = {"own": None, "extended": None}
        # What is wrong in one stem is wrong in the other, since the stems sum to the mixture ...
        if isinstance(estimator, Oracle):
            ways["own"] = (music_estimate(estimator, mixture, music, CLIP_RATE_HZ) - music,) * 2
        elif isinstance(estimator, Mixture):
            # ... unless each is the mixture.
            ways["own"] = speech, music
        elif estimator.sample_rate_hz == CLIP_RATE_HZ:
            ways["own"] = (estimate - music,) * 2
        if not isinstance(estimator, Mixture):
            low = resampled(estimate, estimator.sample_rate_hz, SCORE_RATE_HZ)
            narrow = resampled(mixture, CLIP_RATE_HZ, SCORE_RATE_HZ)
            ways["extended"] = (taken_upward(low, narrow, mixture) - music,) * 2
        for idx, (stem, source) in enumerate(zip(STEMS, (music, speech))):
            values: dict[str, float | None] = {}
            for way, errors in ways.items():
                for band, part in (("", lambda signal: signal), ("_above", above_edge)):
                    values[f"{way}{band}_sdr_db"] = (
                        None if errors is None else ratio_db(energy(part(source)), energy(part(errors[idx])))
                    )
            self.found.full_band.append(
                FullBandScore(**self.place, level_db=level_db, stem=stem, estimator=estimator.name, **values)
            )

    def score_alone(self, source: str, estimators: list[Estimator | Oracle]) -> None:
        """Leakage of the clip's `speech` or `music` without the other."""
        signal = getattr(self.clip, source)
        reference = resampled(signal, CLIP_RATE_HZ, SCORE_RATE_HZ)
        music = signal if source == "music" else np.zeros_like(signal)
        for estimator in estimators:
            estimate = self.estimate(estimator, signal, music)
            as_music = resampled(estimate, estimator.sample_rate_hz, SCORE_RATE_HZ)
            as_speech = reference - as_music
            kept, leaked = (as_music, as_speech) if source == "music" else (as_speech, as_music)
            self.found.leaks.append(Leak(
                **self.place, estimator=estimator.name, source=source,
                kept_si_sdr_db=si_sdr_db(reference, kept),
                leak_db=ratio_db(energy(leaked), energy(reference)),
            ))


def score_clip(clip: Clip, estimators: list[Estimator | Oracle]) -> ClipScores:
    """All scores of a clip; raises `SilentReference` where one of its sources is silent."""
    scorer = ClipScorer(clip)
    for level_db in MUSIC_LEVELS_DB:
        scorer.score_mixture(level_db, estimators)
    # An oracle knows that a source is alone, and the mixture leaks by definition.
    asked = [estimator for estimator in estimators if not isinstance(estimator, (Oracle, Mixture))]
    for source in ("speech", "music"):
        scorer.score_alone(source, asked)
    return scorer.found

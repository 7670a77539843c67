"""All clips through all estimators, in one process or several."""

import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .clips import CLIP_RATE_HZ, MUSIC_LEVELS_DB, SCORE_RATE_HZ, ClipList
from .errors import EvaluateError
from .estimators import Estimator, all_estimators, facts, require_unheard
from .metrics import NUM_TAPS, SilentReference
from .oracles import Oracle
from .results import Results
from .scoring import ClipScores, score_clip


@dataclass(frozen=True)
class Plan:
    """What is to be scored."""

    corpus: Path
    split: str
    """`test`, or `valid` to choose by."""
    checkpoints: list[Path]
    num_clips: int
    seed: int
    clip_s: float
    rnnoise_program: str
    threads: int


def score_one(clips: ClipList, estimators: list[Estimator | Oracle], idx: int) -> ClipScores:
    try:
        return score_clip(clips.clip(idx), estimators)
    except SilentReference as error:
        return ClipScores(idx, skipped=f"clip {idx}: {error}")


class Worker:
    """What a process of the pool keeps between clips: networks are loaded once in each."""

    clips: ClipList
    estimators: list[Estimator | Oracle]

    @classmethod
    def start(cls, plan: Plan) -> None:
        torch.set_num_threads(plan.threads)
        cls.clips = ClipList.from_corpus(plan.corpus, plan.split, plan.num_clips, plan.seed, plan.clip_s)
        cls.estimators, _ = all_estimators(plan.checkpoints, plan.rnnoise_program)

    @classmethod
    def score(cls, idx: int) -> ClipScores:
        return score_one(cls.clips, cls.estimators, idx)


def clip_scores(
    plan: Plan, clips: ClipList, estimators: list[Estimator | Oracle], num_jobs: int
) -> Iterator[ClipScores]:
    """In the order of the clips, whatever the number of processes."""
    if num_jobs == 1:
        yield from (score_one(clips, estimators, idx) for idx in range(len(clips)))
        return
    # A forked process would inherit torch's threads without their workers and hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_jobs, context, Worker.start, (plan,)) as pool:
        try:
            yield from pool.map(Worker.score, range(len(clips)))
        except BrokenProcessPool as error:
            raise EvaluateError("a process of --jobs ended too early, for want of memory perhaps; use fewer") from error
        finally:
            pool.shutdown(cancel_futures=True)


def evaluate(plan: Plan, results: Results, num_jobs: int = 1) -> None:
    """Fill `results` with the rows of every clip."""
    torch.set_num_threads(plan.threads)
    clips = ClipList.from_corpus(plan.corpus, plan.split, plan.num_clips, plan.seed, plan.clip_s)
    estimators, left_out = all_estimators(plan.checkpoints, plan.rnnoise_program)
    if plan.split == "test":
        require_unheard(estimators, {recording.name for recording in (*clips.speakers, *clips.pieces)})
    for message in left_out:
        tqdm.write(message, file=sys.stderr)
    results.left_out += left_out
    results.estimators = [facts(estimator) for estimator in estimators]
    results.configuration |= {
        **{key: value for key, value in asdict(plan).items() if key in ("split", "num_clips", "seed", "clip_s")},
        "corpus": str(plan.corpus),
        "music_levels_db": list(MUSIC_LEVELS_DB),
        "score_rate_hz": SCORE_RATE_HZ, "clip_rate_hz": CLIP_RATE_HZ, "num_taps": NUM_TAPS,
    }
    cpu_s: dict[str, list[float]] = {}
    for found in tqdm(clip_scores(plan, clips, estimators, num_jobs), total=len(clips), desc="clips", file=sys.stderr):
        results.scores += found.scores
        results.leaks += found.leaks
        results.full_band += found.full_band
        if found.skipped:
            results.skipped.append(found.skipped)
        for name, times_s in found.cpu_s.items():
            cpu_s.setdefault(name, []).extend(times_s)
    results.cpu_s = {name: float(np.mean(times_s)) for name, times_s in cpu_s.items()}
    if not results.scores:
        raise EvaluateError(f"none of the {len(clips)} clips could be scored; the first: {results.skipped[0]}")

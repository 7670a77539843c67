"""One sitting of a run: from where it stands to where it is told to stop."""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ..mixtures.batches import MixtureBatches
from . import together
from .checkpoint import CheckpointError
from .config import Config
from .run import Run, rate_at

VALIDATION_SEED = 1


def batches(
    config: Config, corpus: Path, split: str, rate_hz: int, seed: int, count: int, share: tuple[int, int] = (0, 1)
) -> MixtureBatches:
    data = config.data
    return MixtureBatches(corpus, split, data.recipe, rate_hz, data.clip_s, data.batch, seed, count, share)


def prepared(args: argparse.Namespace, config: Config) -> tuple[Run, MixtureBatches, DataLoader]:
    """The run as far as it has come, and the share of this process in what it is to hear."""
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    run = Run(config, args.device, args.compile)
    latest = args.out / "latest.pt"
    if latest.exists():
        if not args.resume:
            raise CheckpointError(f"{latest} exists: pass --resume to go on from it, or give another --out")
        run.load(latest)
    elif args.resume:
        print(f"{latest} does not exist yet: the run begins", file=sys.stderr)
    until = min(config.optimiser.steps, args.until_step or config.optimiser.steps)
    share = (together.rank(), together.num_processes())
    stream = batches(config, args.corpus, "train", run.sample_rate_hz, config.seed, config.optimiser.steps, share)
    return run, stream, DataLoader(Subset(stream, range(run.steps, until)), batch_size=None, num_workers=args.workers)


def help_train(args: argparse.Namespace, config: Config) -> None:
    """Steps alone; what is recorded and when they end is the first process' affair."""
    run, stream, loader = prepared(args, config)
    run.begin(stream.heard)
    for signals in loader:
        run.step(*signals)


def train(args: argparse.Namespace, config: Config) -> None:
    run, stream, loader = prepared(args, config)
    latest = args.out / "latest.pt"
    valid = batches(config, args.corpus, "valid", run.sample_rate_hz, VALIDATION_SEED, args.validation_batches)
    validation = [valid[idx] for idx in range(len(valid))]
    run.begin(stream.heard | valid.heard)
    writer = SummaryWriter(args.out / "log", purge_step=run.steps + 1)
    began = saved = time.monotonic()
    spent_before_s = run.spent_s
    recent: list[float] = []

    def record() -> None:
        run.spent_s = spent_before_s + time.monotonic() - began
        # First, so that a validation that fails costs no step.
        run.save(latest)
        row = {
            "step": run.steps,
            "minutes": round(run.spent_s / 60, 2),
            "train": sum(recent) / max(len(recent), 1),
            **run.validate(validation),
        }
        run.losses.append(row)
        for key, value in row.items():
            if key not in ("step", "minutes"):
                writer.add_scalar(key, value, run.steps)
        writer.flush()
        run.save(latest)
        tqdm.write(json.dumps(row), file=sys.stderr)
        recent.clear()

    with tqdm(total=config.optimiser.steps, initial=run.steps, unit="step", mininterval=10, file=sys.stderr) as bar:
        for signals in loader:
            recent.append(run.step(*signals))
            writer.add_scalar("loss", recent[-1], run.steps)
            writer.add_scalar("rate", rate_at(run.steps, config.optimiser), run.steps)
            bar.update()
            bar.set_postfix(loss=f"{sum(recent) / len(recent):.4f}", refresh=False)
            now = time.monotonic()
            if now - saved > args.save_every * 60:
                record()
                saved = time.monotonic()
            if args.minutes and now - began > args.minutes * 60:
                break
    if recent:
        record()
    writer.close()

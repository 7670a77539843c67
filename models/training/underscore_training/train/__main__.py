"""Train one system from its configuration, in as many sittings as it takes."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ..corpus.errors import CorpusError
from ..mixtures.batches import MixtureBatches
from ..nets.systems import UnknownSystem
from ..options import whole
from . import config as configs
from .checkpoint import CheckpointError
from .config import Config, ConfigError
from .run import Run, rate_at

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_WAIT_POLICY": "passive",
}
"""With libc's defaults the allocator returns every feature map to the system and page
faults cost as much as the arithmetic. Threads that spin while they wait for each other
waste half the machine when something else runs on it."""
VALIDATION_SEED = 1


def with_environment(argv: list[str]) -> None:
    """Start this command again with the variables that libc and OpenMP read only at their start."""
    if any(os.environ.get(key) != value for key, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, "-m", "underscore_training.train", *argv], os.environ | ENVIRONMENT)


def batches(config: Config, corpus: Path, split: str, rate_hz: int, seed: int, count: int) -> MixtureBatches:
    data = config.data
    return MixtureBatches(corpus, split, data.recipe, rate_hz, data.clip_s, data.batch, seed, count)


def train(args: argparse.Namespace, config: Config) -> None:
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
    stream = batches(config, args.corpus, "train", run.sample_rate_hz, config.seed, config.optimiser.steps)
    valid = batches(config, args.corpus, "valid", run.sample_rate_hz, VALIDATION_SEED, args.validation_batches)
    validation = [valid[idx] for idx in range(len(valid))]
    run.begin(stream.heard | valid.heard)
    loader = DataLoader(Subset(stream, range(run.steps, until)), batch_size=None, num_workers=args.workers)
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
        for music, mixture in loader:
            recent.append(run.step(music, mixture))
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


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m underscore_training.train", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="TOML file of the run; see configs/")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder that `corpus` wrote")
    parser.add_argument("--out", type=Path, help="folder for checkpoint, losses and logs (default: runs/NAME of the config)")
    parser.add_argument("--minutes", type=float, help="end this sitting after so long; --resume goes on from there")
    parser.add_argument("--until-step", type=int, help="end this sitting at this step")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="compile the network (worth it on cuda)")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of the network")
    parser.add_argument("--workers", type=int, default=0, help="processes that mix ahead; the batches are the same")
    parser.add_argument("--save-every", type=float, default=5.0, help="minutes between checkpoints")
    parser.add_argument("--validation-batches", type=whole, default=12)
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint if there is one")
    args = parser.parse_args(argv)
    args.out = args.out or Path("runs") / args.config.stem
    with_environment(argv)
    try:
        train(args, configs.read(args.config))
    except (ConfigError, CorpusError, CheckpointError, UnknownSystem) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command with --resume to go on from the last checkpoint")


if __name__ == "__main__":
    main()

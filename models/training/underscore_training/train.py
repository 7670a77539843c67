"""Train the music mask on mixtures made on the fly, for a given time, resumable.

The learning rate follows a cosine over the *time budget*, so the run ends annealed
whenever it was told to end. Every checkpoint holds the network, the running average of
its weights (which is what gets exported), the optimiser, the arguments, the commit and
the losses so far.
"""

import argparse
import copy
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from .losses import mask_loss
from .mixtures import CorpusMissing, Mixtures, spectra
from .nets import DMMDenseNet

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_WAIT_POLICY": "passive",
}
"""With libc's defaults the allocator returns every feature map to the system and page
faults cost as much as the arithmetic. Threads that spin while they wait for each other
waste half the machine when something else runs on it."""
WARM_UP = 0.02
FINAL_RATE = 0.01
AVERAGE_KEEP = 0.998
CLIP_NORM = 5.0


def with_environment(argv: list[str]) -> None:
    """Start this command again with the variables that libc and OpenMP read only at their start."""
    if any(os.environ.get(key) != value for key, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, "-m", "underscore_training.train", *argv], os.environ | ENVIRONMENT)


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"


def rate_factor(progress: float) -> float:
    """Share of the peak rate at `progress` in 0..1 of the budget: linear warm-up, then cosine."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.02)
    along = min((progress - WARM_UP) / (1 - WARM_UP), 1.0)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * along))


class Run:
    """Everything that a checkpoint saves."""

    def __init__(self, args: argparse.Namespace):
        torch.manual_seed(args.seed)
        self.args = args
        self.net = DMMDenseNet().to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval()
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=args.rate, weight_decay=1e-4, betas=(0.9, 0.98)
        )
        self.steps = 0
        self.spent_s = 0.0
        self.losses: list[dict[str, float]] = []

    def step(self, music: torch.Tensor, mixture: torch.Tensor) -> float:
        """One update from a batch of signals; returns the loss."""
        self.net.train()
        target, mixed = spectra(music, mixture)
        with torch.autocast("cpu", torch.bfloat16, enabled=not self.args.float32):
            logits = self.net(mixed.abs())
        loss = mask_loss(logits.float(), target, mixed)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP_NORM)
        self.optimiser.step()
        self.steps += 1
        self.update_average()
        return loss.item()

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential average of weights and statistics, a plain mean while it is young."""
        keep = min(AVERAGE_KEEP, self.steps / (self.steps + 10))
        fresh = self.net.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(fresh[name], 1 - keep)
            else:
                value.copy_(fresh[name])

    @torch.no_grad()
    def validate(self, batches: list) -> float:
        """Mean loss of the averaged network over fixed validation batches."""
        total = 0.0
        for music, mixture in batches:
            target, mixed = spectra(music, mixture)
            with torch.autocast("cpu", torch.bfloat16, enabled=not self.args.float32):
                logits = self.average(mixed.abs())
            total += mask_loss(logits.float(), target, mixed).item()
        return total / len(batches)

    def save(self, path: Path) -> None:
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "spent_s": self.spent_s,
            "losses": self.losses,
            "commit": commit(),
            "args": {key: str(value) for key, value in vars(self.args).items()},
        }
        draft = path.with_suffix(".draft")
        torch.save(state, draft)
        draft.replace(path)
        (path.parent / "losses.json").write_text(json.dumps(self.losses, indent=1))

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps, self.spent_s, self.losses = state["steps"], state["spent_s"], state["losses"]


def train(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    run = Run(args)
    args.out.mkdir(parents=True, exist_ok=True)
    latest = args.out / "latest.pt"
    if args.resume and latest.exists():
        run.load(latest)
    # The stream's seed moves with the steps, so a resumed run hears new mixtures.
    stream = Mixtures(args.corpus, "train", args.frames, args.seed + run.steps)
    batches = iter(DataLoader(stream, batch_size=args.batch))
    check = iter(DataLoader(Mixtures(args.corpus, "valid", args.frames, 1), batch_size=args.batch))
    validation = [next(check) for _ in range(args.validation_batches)]
    budget_s = args.minutes * 60
    began = time.monotonic() - run.spent_s
    saved = run.spent_s
    recent: list[float] = []
    with tqdm(total=round(budget_s), initial=round(run.spent_s), unit="s", mininterval=10, file=sys.stderr) as bar:
        while run.spent_s < budget_s and run.steps < args.max_steps:
            for group in run.optimiser.param_groups:
                group["lr"] = args.rate * rate_factor(run.spent_s / budget_s)
            recent.append(run.step(*next(batches)))
            run.spent_s = time.monotonic() - began
            bar.update(round(run.spent_s) - bar.n)
            bar.set_postfix(step=run.steps, loss=f"{sum(recent) / len(recent):.4f}", refresh=False)
            if run.spent_s - saved > args.save_every * 60:
                record(run, recent, validation, latest)
                saved, recent = run.spent_s, []
    record(run, recent, validation, latest)


def record(run: Run, recent: list[float], validation: list, latest: Path) -> None:
    """Validate, note the losses, write the checkpoint."""
    row = {
        "step": run.steps,
        "minutes": round(run.spent_s / 60, 2),
        "train": sum(recent) / max(len(recent), 1),
        "valid": run.validate(validation),
    }
    run.losses.append(row)
    run.save(latest)
    tqdm.write(json.dumps(row), file=sys.stderr)


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m underscore_training.train", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="folder that `corpus` wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/music-1"), help="folder for checkpoints and losses")
    parser.add_argument("--minutes", type=float, default=80.0, help="time budget; the learning rate is annealed over it")
    parser.add_argument("--max-steps", type=int, default=10**9, help="stop after this many steps all the same")
    parser.add_argument("--batch", type=int, default=3)
    parser.add_argument("--frames", type=int, default=128, help="frames per clip, divisible by 8; 128 are 2.1 s")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=float, default=5.0, help="minutes between checkpoints")
    parser.add_argument("--validation-batches", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--float32", action="store_true", help="no bfloat16; for processors without avx512_bf16 or AMX")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's latest checkpoint")
    args = parser.parse_args(argv)
    if args.frames % 8 != 0:
        parser.error("--frames must be divisible by 8")
    with_environment(argv)
    try:
        train(args)
    except CorpusMissing as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

"""Train one system from its configuration, in as many sittings as it takes."""

import argparse
import os
import sys
from pathlib import Path

from ..corpus.errors import CorpusError
from ..mixtures.recipes import RECIPES
from ..nets.systems import UnknownSystem
from ..options import whole
from . import config as configs
from . import together
from .checkpoint import CheckpointError
from .config import ConfigError
from .sitting import help_train, train

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_WAIT_POLICY": "passive",
}
"""With libc's defaults the allocator returns every feature map to the system and page
faults cost as much as the arithmetic. Threads that spin while they wait for each other
waste half the machine when something else runs on it."""


def with_environment(argv: list[str]) -> None:
    """Start this command again with the variables that libc and OpenMP read only at their start."""
    if any(os.environ.get(key) != value for key, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, "-m", "underscore_training.train", *argv], os.environ | ENVIRONMENT)


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
    parser.add_argument("--processes", type=whole, default=1, help="processes that share each batch, of --threads threads each")
    parser.add_argument("--workers", type=int, default=0, help="processes that mix ahead; the batches are the same")
    parser.add_argument("--save-every", type=float, default=5.0, help="minutes between checkpoints")
    parser.add_argument("--validation-batches", type=whole, default=12)
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint if there is one")
    args = parser.parse_args(argv)
    args.out = args.out or Path("runs") / args.config.stem
    with_environment(argv)
    try:
        config = configs.read(args.config)
        if config.data.batch // RECIPES[config.data.recipe].num_pairs % args.processes:
            raise ConfigError(f"--processes {args.processes}: a batch of {config.data.batch} clips cannot be shared equally")
        with together.processes(args.processes, help_train, args, config):
            train(args, config)
    except (ConfigError, CorpusError, CheckpointError, UnknownSystem, together.HelperLost) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command with --resume to go on from the last checkpoint")


if __name__ == "__main__":
    main()

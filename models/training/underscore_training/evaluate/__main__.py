"""The command: score, or read scores; then print, write, draw."""

import os

# Before numpy: its threads would wait for each other by spinning, on processors that --jobs uses.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import shlex
import sys
from pathlib import Path

import torch

from ..corpus.errors import CorpusError
from ..options import seconds, whole
from ..train.checkpoint import commit
from .clips import CLIP_S
from .errors import EvaluateError
from .estimators import trained
from .files import check_writable, write_all
from .programme import programme_scores
from .report import markdown, with_tables
from .results import Results, beside, from_json, read, to_json
from .rnnoise import INSTALL, PROGRAM
from .run import Plan, evaluate
from .timing import real_time_factor

PROG = "python -m underscore_training.evaluate"
DESCRIPTION = """Score separators on test clips that none of them heard in training.

Beside the checkpoints stand the mixture itself, RNNoise where it is installed, and two masks made
from the references, the ideal ratio mask and the phase-sensitive mask, as ceilings."""


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=PROG, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked = parser.add_argument_group("what to score")
    asked.add_argument("--checkpoint", type=Path, nargs="+", default=[], metavar="FILE", help="networks to compare")
    asked.add_argument("--corpus", type=Path, metavar="DIR", help="folder that `corpus` wrote")
    asked.add_argument("--programme", type=Path, metavar="DIR", help="folder of the demo programme: music.flac, dialogue.flac")
    asked.add_argument("--model", type=Path, metavar="FILE", help="exported file to time on one thread")
    asked.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="a scores.json to make tables and plots from; nothing is run"
    )
    asked.add_argument(
        "--beside", type=Path, metavar="FILE", help="a scores.json of the same clips; what it has besides stands in the same tables"
    )
    given = parser.add_argument_group("how")
    given.add_argument(
        "--split", choices=("test", "valid"), default="test", help="of the corpus: valid is for choosing between networks (default: %(default)s)"
    )
    given.add_argument("--clips", type=whole, default=48, help="number of test clips (default: %(default)s)")
    given.add_argument("--clip-s", type=seconds, default=CLIP_S, help="their length (default: %(default)s)")
    given.add_argument("--seed", type=int, default=11, help="draws the clips (default: %(default)s)")
    given.add_argument("--threads", type=whole, default=1, help="torch threads of each process (default: %(default)s)")
    given.add_argument("--jobs", type=whole, default=1, help="processes (default: %(default)s)")
    given.add_argument("--rnnoise", default=PROGRAM, metavar="PROGRAM", help=f"as `{INSTALL}` makes it (default: %(default)s)")
    kept = parser.add_argument_group("what to write")
    kept.add_argument("--out", type=Path, metavar="DIR", help="write scores.json and scores.md there")
    kept.add_argument("--figures", type=Path, metavar="DIR", help="write plots there, PNG and SVG")
    kept.add_argument("--readme", type=Path, metavar="FILE", help="put the tables between this file's markers")
    args = parser.parse_args(argv)
    asks = (args.corpus, args.programme, args.model)
    if args.source and (any(asks) or args.checkpoint):
        parser.error("--from runs nothing: leave --checkpoint, --corpus, --programme and --model away")
    if not args.source and not any(asks):
        parser.error("nothing to do: give --corpus, --programme, --model or --from")
    if args.checkpoint and not (args.corpus or args.programme):
        parser.error("--checkpoint needs --corpus or --programme to be scored on")
    if args.figures and not (args.corpus or args.source):
        parser.error("--figures needs --corpus, or --from a file that has scores of one")
    if args.beside and not args.corpus:
        parser.error("--beside needs --corpus: it adds to what is scored there")
    return args


def measured(args: argparse.Namespace, argv: list[str]) -> Results:
    """Run everything that was asked for."""
    results = Results(command=shlex.join([*PROG.split(), *argv]), commit=commit())
    if args.model:
        # First: a file that cannot be timed must not cost scores that took long.
        results.rtf = real_time_factor(args.model)
    torch.set_num_threads(args.threads)
    if args.programme:
        results.programme, left_out = programme_scores(args.programme, trained(args.checkpoint))
        results.left_out += left_out
    if args.corpus:
        plan = Plan(args.corpus, args.split, args.checkpoint, args.clips, args.seed, args.clip_s, args.rnnoise, args.threads)
        evaluate(plan, results, args.jobs)
    return results


def run(args: argparse.Namespace, argv: list[str]) -> None:
    """All that can go wrong with the places to write to goes wrong before the long work."""
    if args.figures:
        try:
            from .plots import plots
        except ModuleNotFoundError as error:
            raise EvaluateError(f"--figures needs {error.name}: `pip install -e '.[figures]'`") from error
    if args.readme:
        with_tables(args.readme, "")
    for folder in (args.out, args.figures, args.readme and args.readme.parent):
        if folder:
            check_writable(folder)
    earlier = read(args.beside) if args.beside else None
    results = read(args.source) if args.source else measured(args, argv)
    if earlier:
        results = beside(results, earlier, args.beside)
    # Tables and plots are made from the rounded numbers that are kept, so that --from makes the same ones.
    results = from_json(to_json(results), Path("scores.json"))
    tables = markdown(results)
    print(tables, end="", flush=True)
    files: dict[Path, bytes] = {}
    if args.out:
        files |= {args.out / "scores.json": to_json(results), args.out / "scores.md": tables.encode()}
    if args.figures:
        files |= {args.figures / name: content for name, content in plots(results).items()}
    if args.readme:
        files[args.readme] = with_tables(args.readme, tables).encode()
    write_all(files)
    for path in files:
        print(path, file=sys.stderr)


def main(argv: list[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    try:
        run(args, argv)
    except (EvaluateError, CorpusError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing was written")


if __name__ == "__main__":
    main()

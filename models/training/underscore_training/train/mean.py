"""Mean of the averaged weights of several checkpoints of one network, of which some may name more classes than others.

Runs that began from the same weights end in one basin, where their mean does what none of them does alone (Wortsman et al., "Model
soups", 2022): between one run that is good at levels and one that is good at ways it has most of both. Nothing is trained.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checkpoint
from .checkpoint import CheckpointError

NUM_NAMES = "num_kinds"
"""Option of a system: for how many classes it has names."""


def mean(paths: list[Path]) -> dict[str, Any]:
    """The state of a checkpoint: what is not a weight is that of the one of most classes and steps, but what was heard, which is all that any of
    them heard."""
    states = [checkpoint.read(path) for path in paths]
    for path, state in zip(paths, states, strict=True):
        system, expected = (_but_for_names(found["config"]["system"]) for found in (state, states[0]))
        if system != expected:
            raise CheckpointError(f"{path} is of system {system}, expected that of {paths[0]}: {expected}")
    longest = max(states, key=lambda state: (_num_names(state), state["steps"] + state.get("steps_before", 0)))
    heard = [checkpoint.heard(state) for state in states]
    weights = [state["average"] for state in states]
    return {key: longest[key] for key in checkpoint.KEPT if key in longest} | {
        "average": {name: _mean([each[name] for each in weights]) for name in weights[0]},
        "heard": None if any(names is None for names in heard) else sorted(set().union(*heard)),
        "commit": checkpoint.commit(),
        "mean_of": [checkpoint.name_of(path) for path in paths],
    }


def _but_for_names(system: dict[str, Any]) -> dict[str, Any]:
    """A system without how many classes it has names for."""
    options = {name: value for name, value in system.get("options", {}).items() if name != NUM_NAMES}
    return system | {"options": options}


def _num_names(state: dict[str, Any]) -> int:
    return state["config"]["system"].get("options", {}).get(NUM_NAMES, 0)


def _mean(values: list[Tensor]) -> Tensor:
    """Row by row of those that have it, for the names of further classes come last. Counts, which are whole numbers, are the first's."""
    if not values[0].is_floating_point():
        return values[0]
    if len({value.shape for value in values}) == 1:
        return torch.stack(values).mean(dim=0)
    total = torch.zeros_like(max(values, key=len))
    num_values = total.new_zeros(len(total))
    for value in values:
        total[: len(value)] += value
        num_values[: len(value)] += 1
    return total / num_values.reshape(-1, *[1] * (total.dim() - 1))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.train.mean", description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="checkpoints of one network, begun from the same weights")
    parser.add_argument("--out", type=Path, required=True, help="file for the mean")
    args = parser.parse_args(argv)
    try:
        checkpoint.write(args.out, mean(args.checkpoints))
    except CheckpointError as error:
        sys.exit(f"error: {error}")
    print(f"{args.out}: the mean of {', '.join(str(path) for path in args.checkpoints)}")


if __name__ == "__main__":
    main()

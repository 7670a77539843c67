"""A run's file: everything that is needed to go on from it, or to use what it learnt."""

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..nets.complexity import gmac_per_s, num_parameters
from ..nets.systems import build
from . import config as configs
from .config import Config, ConfigError

FORMAT = 2


class CheckpointError(Exception):
    """A checkpoint cannot be read, written or gone on from; the message says what to do."""


@dataclass(frozen=True)
class LoadedNetwork:
    """The averaged network of a checkpoint, in evaluation mode."""

    net: nn.Module
    name: str
    steps: int
    """Those of the runs that it began from included, as far as they are known."""
    heard: frozenset[str] | None
    """Names of the tracks that it was trained and chosen on; unknown for a checkpoint that does not say."""
    gmac_per_s: float
    num_parameters: int
    commit: str
    config: Config


@cache
def commit() -> str:
    """The commit of the code that runs, with a plus when files differed from it as it began: what is in the folder later is not what runs."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty=+", "--abbrev=12"], capture_output=True, text=True, cwd=here)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write whole or not at all; the losses and the configuration as text beside it."""
    draft = path.with_suffix(f".draft{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state | {"format": FORMAT}, draft)
        draft.replace(path)
        draft.write_text(json.dumps(state["losses"], indent=1))
        draft.replace(path.parent / "losses.json")
        about = {key: state[key] for key in ("config", "commit", "steps", "steps_before", "sittings", "spent_s")}
        draft.write_text(json.dumps(about, indent=1))
        draft.replace(path.parent / "run.json")
    except (OSError, RuntimeError) as error:
        draft.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: cannot be written ({error}); the last whole checkpoint is kept") from error


def heard(state: dict[str, Any]) -> set[str] | None:
    """Names of the tracks that a checkpoint's weights heard."""
    names = state.get("heard")
    return None if names is None else set(names)


KEPT = ("average", "config", "commit", "steps", "steps_before", "heard", "sittings", "spent_s", "losses", "format", "mean_of")


def keep_average(path: Path, out: Path) -> None:
    """Copy what scoring, exporting and beginning another run need: a quarter of the whole, small enough for git."""
    state = read(path)
    write(out, {key: state[key] for key in KEPT if key in state})


def write(out: Path, state: dict[str, Any]) -> None:
    """Write whole or not at all."""
    draft = out.with_suffix(".draft")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, draft)
        draft.replace(out)
    except (OSError, RuntimeError) as error:
        draft.unlink(missing_ok=True)
        raise CheckpointError(f"{out}: cannot be written ({error})") from error


def read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except Exception as error:
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({error})") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected a checkpoint of format {FORMAT}; train it again")
    return state


def require_same(path: Path, saved: dict[str, Any], wanted: Config) -> None:
    """Refuse to go on from a run of another configuration."""

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in values.items():
            out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return out

    # A field that was not there yet has the value that it stands for.
    before, now = flat(configs.from_dict(saved, str(path)).as_dict()), flat(wanted.as_dict())
    different = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if different:
        key = different[0]
        raise CheckpointError(
            f"{path} is from another configuration: {key} was {before.get(key)!r} and is now {now.get(key)!r}; "
            "give another --out, or the configuration that it was begun with"
        )


def name_of(path: Path) -> str:
    """The run's where it is a run's own file, else the file's."""
    return path.parent.name if path.stem == "latest" else path.stem


def load_network(path: Path) -> LoadedNetwork:
    """The network that a checkpoint's run would ship."""
    state = read(path)
    try:
        config = configs.from_dict(state["config"], str(path))
        net = build(config.system.name, **config.system.options)
        net.load_state_dict(state["average"])
    except (ConfigError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its weights do not fit the network ({error})") from error
    net.eval()
    names = heard(state)
    return LoadedNetwork(
        net, name_of(path), state["steps"] + state.get("steps_before", 0), None if names is None else frozenset(names),
        gmac_per_s(net), num_parameters(net), state["commit"], config,
    )

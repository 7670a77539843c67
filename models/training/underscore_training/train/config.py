"""What a run is: read from one TOML file, kept whole in every checkpoint."""

import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin

from ..mixtures.asked import NUM_ASKS
from ..mixtures.recipes import RECIPES
from .losses import LOSSES

JUDGED = ("spectra", "heard")


class ConfigError(Exception):
    """The configuration file is not one; the message says which field, what was expected and what came."""


@dataclass(frozen=True)
class SystemConfig:
    """Which network."""

    name: str
    """A key of `nets.systems.SYSTEMS`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Handed to its constructor."""


@dataclass(frozen=True)
class DataConfig:
    """What it hears."""

    recipe: str = "deployed"
    clip_s: float = 4.0
    batch: int = 4
    """Clips per step."""
    halfway_share: float = 0.0
    """Of mixtures that are asked twice: both times for what lies between the two (`train.halfway`)."""
    class_mean_share: float = 0.0
    """Of mixtures that are asked twice: by the means of the classes instead of by examples (`train.class_means`)."""


@dataclass(frozen=True)
class OptimiserConfig:
    """How it learns. The rate follows a cosine over `steps`."""

    steps: int
    peak_rate: float = 1e-3
    final_rate: float = 1e-5
    warm_up_steps: int = 100
    weight_decay: float = 1e-4
    clip_norm: float = 5.0
    average_keep: float = 0.998
    """Share of the running average of the weights that stays at each step, once there were as many steps that it acts: until then `n / (n + 10)`
    stays at step `n`, which is 0.998 at step 4 990."""


@dataclass(frozen=True)
class Config:
    """A whole run."""

    system: SystemConfig
    optimiser: OptimiserConfig
    data: DataConfig = field(default_factory=DataConfig)
    loss: str = "separation"
    """A key of `losses.LOSSES`."""
    initial: str | None = None
    """A checkpoint whose averaged weights the run begins with, relative to the working folder; none: fresh ones."""
    judged: str = "spectra"
    """`spectra`: an estimate as the mask makes it. `heard`: as it comes out of synthesis, for grids that do not let all of a frame be heard."""
    precision: str = "bfloat16"
    """`bfloat16` (autocast) or `float32`."""
    seed: int = 7

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


_PARTS = {"system": SystemConfig, "optimiser": OptimiserConfig, "data": DataConfig}


def _filled(kind: type, values: dict[str, Any], where: str) -> Any:
    known = {item.name for item in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown field {unknown[0]!r}, expected one of {', '.join(sorted(known))}")
    for item in fields(kind):
        if item.name in values and not _fits(values[item.name], item.type):
            expected = getattr(item.type, "__name__", str(item.type))
            raise ConfigError(f"{where}: {item.name} is {values[item.name]!r}, expected {expected}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def _fits(value: Any, kind: Any) -> bool:
    """Whether TOML's `value` may stand for a field of this type."""
    if isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, (int, float))
    return isinstance(value, get_origin(kind) if get_origin(kind) is dict else kind)


def from_dict(values: dict[str, Any], where: str) -> Config:
    """A `Config` from nested dictionaries, with every unknown or missing field named."""
    values = dict(values)
    for name, kind in _PARTS.items():
        if name in values:
            if not isinstance(values[name], dict):
                raise ConfigError(f"{where}: expected a table [{name}], got {values[name]!r}")
            values[name] = _filled(kind, values[name], f"{where} [{name}]")
    config = _filled(Config, values, where)
    if config.precision not in ("bfloat16", "float32"):
        raise ConfigError(f"{where}: precision is {config.precision!r}, expected 'bfloat16' or 'float32'")
    for name, value, known in (
        ("loss", config.loss, LOSSES),
        ("judged", config.judged, JUDGED),
        ("[data] recipe", config.data.recipe, RECIPES),
    ):
        if value not in known:
            raise ConfigError(f"{where}: {name} is {value!r}, expected one of {', '.join(known)}")
    num_pairs = RECIPES[config.data.recipe].num_pairs
    if config.judged == "heard" and num_pairs == NUM_ASKS:
        raise ConfigError(f"{where}: judged is 'heard', expected 'spectra': recipe {config.data.recipe!r} asks, and who is asked is judged by spectra")
    if config.data.batch % num_pairs:
        raise ConfigError(f"{where}: [data] batch is {config.data.batch}, expected a multiple of {num_pairs}: recipe {config.data.recipe!r} gives {num_pairs} pairs at once")
    for name in ("halfway_share", "class_mean_share"):
        share = getattr(config.data, name)
        if not 0 <= share <= 1:
            raise ConfigError(f"{where}: [data] {name} is {share}, expected 0 to 1")
        if share > 0 and num_pairs != NUM_ASKS:
            raise ConfigError(f"{where}: [data] {name} is {share}, expected 0: recipe {config.data.recipe!r} does not ask each mixture twice")
    for name, value in (
        ("[optimiser] steps", config.optimiser.steps), ("[data] batch", config.data.batch), ("[data] clip_s", config.data.clip_s)
    ):
        if value <= 0:
            raise ConfigError(f"{where}: {name} is {value}, expected more than 0")
    return config


def read(path: Path) -> Config:
    """The configuration in a TOML file."""
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; configurations lie in configs/") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    return from_dict(values, str(path))

"""Everything that an evaluation found, and the file that it is kept in."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .errors import EvaluateError
from .estimators import Facts
from .scoring import FullBandScore, Leak, Score

FORMAT = 1
DECIMALS = 4


@dataclass(frozen=True)
class ProgrammeScore:
    """SDR of one stem of the demo programme, all channels together."""

    stem: str
    estimator: str
    sdr_db: float


@dataclass
class Results:
    """Rows as they were measured; tables and plots are made from these alone."""

    command: str
    commit: str
    configuration: dict[str, Any] = field(default_factory=dict)
    estimators: list[Facts] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    full_band: list[FullBandScore] = field(default_factory=list)
    programme: list[ProgrammeScore] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)
    """Mean processor time of one clip's estimate, by estimator."""
    skipped: list[str] = field(default_factory=list)
    """Clips without scores, each with the reason."""
    left_out: list[str] = field(default_factory=list)
    """Estimators and sections that could not be had, each with the reason."""
    rtf: float | None = None
    """Of the exported file, on one thread."""


ROWS = {"estimators": Facts, "scores": Score, "leaks": Leak, "full_band": FullBandScore, "programme": ProgrammeScore}


def rounded(value: Any) -> Any:
    return round(value, DECIMALS) if isinstance(value, float) else value


def to_json(results: Results) -> bytes:
    """One row to a line, so that two files can be compared."""
    lines = [f'"format": {FORMAT}']
    for entry in fields(results):
        value = getattr(results, entry.name)
        if entry.name in ROWS:
            rows = [json.dumps({key: rounded(cell) for key, cell in asdict(row).items()}) for row in value]
            text = "[\n" + ",\n".join(rows) + "\n]" if rows else "[]"
        elif entry.name == "cpu_s":
            text = json.dumps({key: rounded(cell) for key, cell in value.items()})
        else:
            text = json.dumps(rounded(value))
        lines.append(f'"{entry.name}": {text}')
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def from_json(text: str | bytes, path: Path) -> Results:
    """What `to_json` wrote, its numbers rounded; `path` is named where it is something else."""
    try:
        content = json.loads(text)
        found = content.pop("format")
        if found != FORMAT:
            raise EvaluateError(f"{path}: is of format {found}, this program reads {FORMAT}; evaluate again")
        for name, row in ROWS.items():
            content[name] = [row(**values) for values in content[name]]
        return Results(**content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluateError(f"{path}: is no file of scores ({type(error).__name__}: {error})") from error


def beside(results: Results, earlier: Results, path: Path) -> Results:
    """The rows of both; of an estimator that is in both the new ones. They must be of the same clips."""

    def clips(found: Results) -> dict[int, tuple[str, str]]:
        return {row.clip_idx: (row.speaker, row.piece) for row in found.scores}

    # Files of before there was a choice of splits are of the test split.
    configurations = [{"split": "test"} | found.configuration for found in (results, earlier)]
    if configurations[0] != configurations[1] or clips(results) != clips(earlier):
        raise EvaluateError(f"{path}: is not of the same clips; give the same corpus, --clips, --clip-s and --seed")
    names = {facts.name for facts in results.estimators} | {row.estimator for row in results.programme}

    def both(entry: str) -> list:
        kept = [row for row in getattr(earlier, entry) if getattr(row, "estimator", None) not in names]
        return kept + getattr(results, entry)

    return replace(
        results,
        command=f"{earlier.command}\n{results.command}",
        estimators=[facts for facts in earlier.estimators if facts.name not in names] + results.estimators,
        **{entry: both(entry) for entry in ("scores", "leaks", "full_band", "programme")},
        cpu_s=earlier.cpu_s | results.cpu_s,
        skipped=list(dict.fromkeys(earlier.skipped + results.skipped)),
        left_out=list(dict.fromkeys(earlier.left_out + results.left_out)),
    )


def read(path: Path) -> Results:
    try:
        return from_json(path.read_bytes(), path)
    except OSError as error:
        raise EvaluateError(f"{path}: cannot be read ({error.strerror})") from error

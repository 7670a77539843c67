"""`manifest.toml`: what is shipped, pinned by hash. Written by the exporters only."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

HEADER = """\
# Models that ship with the plugin. Written by `python -m underscore_training.export`;
# a hand-edited hash would only make the engine refuse the file.
"""
FIELDS = (
    "id",
    "name",
    "file",
    "sha256",
    "licence",
    "sample_rate_hz",
    "window_s",
    "hop_s",
    "synthesis_s",
    "num_bins",
    "frames_per_call",
    "look_ahead_frames",
    "look_back_frames",
    "stems",
    "residual",
)
ASKED_FIELDS = ("embedding_size", "query_frames", "map", "preset")
"""Of models that are asked by example. `map`: how the space is drawn; `preset`: a table of id and embedding for each class."""


def entry(path: Path, meta: dict[str, Any], file_name: str | None = None) -> dict[str, Any]:
    """A model's table: its metadata, its file name (`file_name`, of a draft that is to have it) and hash."""
    known = {**meta, "file": file_name or path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    if not meta["embedding_size"]:
        return {field: known[field] for field in FIELDS}
    known["preset"] = meta["presets"]
    return {field: known[field] for field in (*FIELDS, *ASKED_FIELDS)}


def drafted(manifest: Path, new: dict[str, Any]) -> Path:
    """A whole manifest beside the one that is there, to be renamed to it: the table with the same id is replaced or appended, the others stay."""
    tables = tomllib.loads(manifest.read_text())["model"] if manifest.exists() else []
    by_id = {table["id"]: table for table in tables} | {new["id"]: new}
    lines = [HEADER]
    for table in by_id.values():
        lines.append("[[model]]")
        own = [field for field in (*FIELDS, *ASKED_FIELDS) if field in table and field != "preset"]
        lines += [f"{field} = {_as_toml(table[field])}" for field in own]
        for preset in table.get("preset", []):
            lines += ["", "[[model.preset]]", *(f"{key} = {json.dumps(preset[key])}" for key in ("id", "embedding"))]
        lines.append("")
    draft = manifest.with_suffix(".draft")
    try:
        draft.write_text("\n".join(lines))
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _as_toml(value: Any) -> str:
    """JSON's strings, numbers and lists of these are TOML's too; a table is written within its line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_as_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)

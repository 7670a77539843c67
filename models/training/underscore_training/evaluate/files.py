"""Results reach the disk whole, all of them, or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import EvaluateError


def reason(path: Path, error: OSError) -> EvaluateError:
    return EvaluateError(f"{path}: cannot be written ({error.strerror or error})")


def check_writable(folder: Path) -> None:
    """Find out before the long work that nothing could be kept of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise reason(folder, error) from error


def check_writable_file(path: Path) -> None:
    """The same of a file in a folder."""
    if path.is_dir():
        raise EvaluateError(f"{path}: expected the name of a file, got a folder; name a file in it")
    check_writable(path.parent)


def write_all(contents: dict[Path, bytes]) -> None:
    """Write every file under a draft name, then rename them all: a full disk is met before the first old file goes."""
    drafts: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                draft = path.with_name(f".{path.name}.draft{os.getpid()}")
                drafts[path] = draft
                with draft.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise reason(path, error) from error
        for path, draft in drafts.items():
            try:
                draft.replace(path)
            except OSError as error:
                raise reason(path, error) from error
    finally:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

"""The commands in order on the tiny corpus: train, resume, evaluate, export."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"underscore_training.{name}", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_train_resume_evaluate_export(tiny_corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    short = ("--corpus", tiny_corpus, "--out", run, "--batch", 1, "--frames", 16, "--threads", 1,
             "--validation-batches", 1, "--float32")
    command("train", *short, "--max-steps", 2)
    command("train", *short, "--max-steps", 3, "--resume")
    assert [row["step"] for row in json.loads((run / "losses.json").read_text())] == [2, 3]
    checkpoint = run / "latest.pt"
    weights = tmp_path / "weights"
    command("export", "--checkpoint", checkpoint, "--weights", weights, "--manifest", tmp_path / "manifest.toml")
    table = command("evaluate", "--checkpoint", checkpoint, "--corpus", tiny_corpus, "--clips", 1,
                    "--model", weights / "music-1.pt")
    assert "| -10 dB | dialogue | model |" in table and "RTF on one thread" in table


def test_errors_are_sentences(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "underscore_training.train", "--corpus", str(tmp_path), "--out", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT,
    )
    assert done.returncode == 1 and "run `python -m underscore_training.corpus` first" in done.stderr


def test_every_command_explains_itself() -> None:
    for name in ("corpus", "train", "evaluate", "export", "golden", "fixtures", "programme"):
        assert "usage: python -m underscore_training" in command(name, "--help")

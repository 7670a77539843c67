"""The commands in order on a tiny corpus: corpus, train in two sittings, export, evaluate. About two minutes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from conftest import sound

ROOT = Path(__file__).parents[1]
CONFIG = """
[system]
name = "crn"
options = { features = [4, 4, 6, 8], time_memory = 8, band_memory = 6, num_blocks = 1, look_ahead_frames = 3 }
[data]
clip_s = 1.0
batch = 2
[optimiser]
steps = 3
"""
COMMANDS = ("corpus", "train", "evaluate", "evaluate.where", "evaluate.asked", "export", "export.packer", "nets", "golden", "fixtures", "programme")


def run(name: str, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", f"underscore_training.{name}", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT,
    )


def command(name: str, *arguments: object) -> str:
    done = run(name, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_recordings_to_a_scored_model_file(tmp_path: Path) -> None:
    for number, split in enumerate(("tr", "cv", "tt")):
        for idx in range(2):
            folder = tmp_path / "dnr" / split / str(idx)
            folder.mkdir(parents=True)
            for kind in ("speech", "music"):
                soundfile.write(folder / f"{kind}.wav", sound(kind, 2 * number + idx), 48_000)
    corpus = tmp_path / "corpus"
    table = command("corpus", "--dnr", tmp_path / "dnr", "--out", corpus)
    assert all(f"| {split} | {kind} |" in table for split in ("train", "valid", "test") for kind in ("speech", "music"))

    (tmp_path / "tiny.toml").write_text(CONFIG)
    sitting = ("--config", tmp_path / "tiny.toml", "--corpus", corpus, "--out", tmp_path / "run", "--threads", 1,
               "--validation-batches", 1)
    command("train", *sitting, "--until-step", 2)
    command("train", *sitting, "--resume")
    assert [row["step"] for row in json.loads((tmp_path / "run" / "losses.json").read_text())] == [2, 3]

    checkpoint, weights = tmp_path / "run" / "latest.pt", tmp_path / "weights"
    weights.mkdir()
    exported = ("--checkpoint", checkpoint, "--weights", weights, "--manifest", tmp_path / "manifest.toml", "--id", "tiny")
    refused = run("export", *exported)
    assert refused.returncode == 1 and "recordings of dnr" in refused.stderr and "Traceback" not in refused.stderr
    assert not list(weights.iterdir()), "what others own is not given under the shipped licence"
    said = command("export", *exported, "--training-data", "DnR", "--licence", "CC-BY-4.0")
    assert "largest difference" in said
    command("evaluate", "--checkpoint", checkpoint, "--corpus", corpus, "--clips", 2, "--clip-s", 2, "--out", tmp_path / "scores",
            "--model", weights / "tiny.pt")
    scores = (tmp_path / "scores" / "scores.md").read_text()
    assert "run" in scores and np.isfinite(json.loads((tmp_path / "run" / "losses.json").read_text())[-1]["valid"])


def test_errors_are_sentences(tmp_path: Path) -> None:
    done = run("train", "--config", ROOT / "configs" / "unet.toml", "--corpus", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 1 and "run `python -m underscore_training.corpus` first" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_explains_itself() -> None:
    for name in COMMANDS:
        assert "usage: python -m underscore_training" in command(name, "--help"), name

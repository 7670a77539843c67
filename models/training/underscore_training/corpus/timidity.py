"""MIDI to sound by patches of the Gravis Ultrasound: timidity as a program."""

import re
import shutil
from pathlib import Path

import numpy as np

from .errors import NoScores
from .fluidsynth import ended, sound_of
from .track import TRACK_RATE_HZ

PROGRAM = re.compile(r"^\s*(\d+)\s+\S+\.pat")


def is_there(config: str) -> bool:
    """Whether the program is, and the patches that `config` lists."""
    return shutil.which("timidity") is not None and Path(config).exists()


def programs(config: str) -> frozenset[int]:
    """Of General MIDI's, those that it has a patch for."""
    found, is_tones = set(), False
    for line in Path(config).read_text().splitlines():
        if line.startswith(("bank", "drumset")):
            is_tones = line.split() == ["bank", "0"]
        elif is_tones and (match := PROGRAM.match(line)):
            found.add(int(match[1]))
    return frozenset(found)


def played(midi: bytes, config: str, name: str, length_s: float, limit_s: float) -> np.ndarray:
    """A MIDI file as the patches of `config` play it, at most `length_s` of it; float32 `[sample]` at 48 kHz.

    `Undecodable`, by `name`, when it takes more than `limit_s`, or plays for too long.
    """

    def play(midi_file: Path, sound: Path) -> None:
        command = ["timidity", "-c", config, "-Ow", "-s", str(TRACK_RATE_HZ), "--quiet=2", "-o", str(sound), str(midi_file)]
        status, said = ended(command, name, limit_s)
        if status != 0 or not sound.exists():
            raise NoScores(f"{name}: {said[-1] if said else 'timidity failed'}: apt install timidity freepats")

    return sound_of(midi, play, name, length_s)

"""MIDI to sound by patches of the Gravis Ultrasound: timidity as a program."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .decode import Undecodable, decode
from .errors import CorpusError, NoScores
from .track import TRACK_RATE_HZ

LARGEST_BYTES = 600 * TRACK_RATE_HZ * 2 * 2
"""Stereo, 16 bits, ten minutes: the kernel stops there what never ends."""
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

    `Undecodable`, by `name`, when it takes more than `limit_s`.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            midi_file, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
            midi_file.write_bytes(midi)
            command = ["prlimit", f"--fsize={LARGEST_BYTES}", "--core=0", "timidity", "-c", config, "-Ow", "-s", str(TRACK_RATE_HZ)]
            command += ["--quiet=2", "-o", str(sound), str(midi_file)]
            done = subprocess.run(command, capture_output=True, check=False, timeout=limit_s)
            if done.returncode != 0 or not sound.exists():
                said = done.stderr.decode(errors="replace").strip().splitlines()
                raise NoScores(f"{name}: {said[-1] if said else 'timidity failed'}: apt install timidity freepats")
            return decode(sound, length_s)
    except subprocess.TimeoutExpired as error:
        raise Undecodable(f"{name}: timidity is not done after {limit_s} s") from error
    except OSError as error:
        raise CorpusError(f"{name}: temporary files cannot be written ({error}): make room, or set TMPDIR to where there is some") from error

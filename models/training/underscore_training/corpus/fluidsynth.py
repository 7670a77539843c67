"""MIDI to sound: fluidsynth as a program."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .decode import Undecodable, decode
from .errors import CorpusError
from .track import TRACK_RATE_HZ

GAIN = 0.6
LOADING = ("-o", "synth.dynamic-sample-loading=1")
"""Only the samples that a score plays: of a compressed soundfont all are decoded otherwise, which takes four times as long as playing."""


def played(midi: bytes, soundfont: str, name: str, length_s: float, limit_s: float) -> np.ndarray:
    """A MIDI file as `soundfont` plays it, at most `length_s` of it; float32 `[sample]` at 48 kHz.

    `Undecodable`, by `name`, when it takes more than `limit_s`: some scores never end.
    """
    with tempfile.TemporaryDirectory() as folder:
        midi_file, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
        midi_file.write_bytes(midi)
        command = ["fluidsynth", "-ni", "-q", "-r", str(TRACK_RATE_HZ), "-g", str(GAIN), *LOADING, "-F", str(sound), soundfont, str(midi_file)]
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise Undecodable(f"{name}: fluidsynth is not done after {limit_s} s") from error
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise CorpusError("fluidsynth does not run: apt install fluidsynth, or pass --no-scores") from error
        return decode(sound, length_s)

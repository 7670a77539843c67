"""MIDI to sound: fluidsynth as a program."""

import signal
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .decode import Undecodable, decode
from .errors import CorpusError
from .track import TRACK_RATE_HZ

GAIN = 0.6
LONGEST_S = 600.0
"""Of sound: a score that plays on after it never ends, and fluidsynth writes until it is stopped."""
LARGEST_BYTES = round(LONGEST_S * TRACK_RATE_HZ) * 2 * 2
"""Stereo, 16 bits: what fluidsynth writes. The kernel stops it there, whatever has become of who started it."""
LOADING = ("-o", "synth.dynamic-sample-loading=1")
"""Only the samples that a score plays: of a compressed soundfont all are decoded otherwise, which takes four times as long as playing."""


def played(midi: bytes, soundfont: str, name: str, length_s: float, limit_s: float) -> np.ndarray:
    """A MIDI file as `soundfont` plays it, at most `length_s` of it; float32 `[sample]` at 48 kHz.

    `Undecodable`, by `name`, when it takes more than `limit_s` or plays for more than `LONGEST_S`: some scores never end.
    """
    with tempfile.TemporaryDirectory() as folder:
        midi_file, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
        midi_file.write_bytes(midi)
        command = ["prlimit", f"--fsize={LARGEST_BYTES}", "--core=0", "fluidsynth", "-ni", "-q", "-r", str(TRACK_RATE_HZ), "-g", str(GAIN)]
        command += [*LOADING, "-F", str(sound), soundfont, str(midi_file)]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise Undecodable(f"{name}: fluidsynth is not done after {limit_s} s") from error
        except FileNotFoundError as error:
            raise CorpusError("prlimit is not there: apt install util-linux, or pass --no-scores") from error
        if done.returncode == -signal.SIGXFSZ:
            raise Undecodable(f"{name}: fluidsynth is not done after {LONGEST_S:.0f} s of sound")
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip().splitlines()
            raise CorpusError(f"{name}: {reason[-1] if reason else 'fluidsynth failed'}: apt install fluidsynth, or pass --no-scores")
        return decode(sound, length_s)

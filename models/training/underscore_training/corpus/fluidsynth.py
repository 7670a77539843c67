"""MIDI to sound: fluidsynth as a program."""

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from .decode import Undecodable, decode
from .errors import CorpusError
from .track import TRACK_RATE_HZ

GAIN = 0.6
LONGEST_S = 600.0
"""Of sound: a score that plays on after it never ends, and fluidsynth writes until it is stopped."""
BYTES_PER_S = 2 * 2 * TRACK_RATE_HZ
"""Stereo, 16 bits: what fluidsynth writes."""
LOOK_S = 0.05
LOADING = ("-o", "synth.dynamic-sample-loading=1")
"""Only the samples that a score plays: of a compressed soundfont all are decoded otherwise, which takes four times as long as playing."""


def played(midi: bytes, soundfont: str, name: str, length_s: float, limit_s: float) -> np.ndarray:
    """A MIDI file as `soundfont` plays it, at most `length_s` of it; float32 `[sample]` at 48 kHz.

    `Undecodable`, by `name`, when it takes more than `limit_s` or plays for more than `LONGEST_S`: some scores never end.
    """
    with tempfile.TemporaryDirectory() as folder:
        midi_file, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
        midi_file.write_bytes(midi)
        command = ["fluidsynth", "-ni", "-q", "-r", str(TRACK_RATE_HZ), "-g", str(GAIN), *LOADING, "-F", str(sound), soundfont, str(midi_file)]
        try:
            playing = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError as error:
            raise CorpusError("fluidsynth is not there: apt install fluidsynth, or pass --no-scores") from error
        with playing:
            began_s = time.monotonic()
            while playing.poll() is None:
                is_endless = sound.exists() and sound.stat().st_size > LONGEST_S * BYTES_PER_S
                if is_endless or time.monotonic() - began_s > limit_s:
                    playing.kill()
                    raise Undecodable(f"{name}: fluidsynth is not done after {limit_s} s or {LONGEST_S:.0f} s of sound")
                time.sleep(LOOK_S)
        if playing.returncode != 0:
            raise CorpusError(f"{name}: fluidsynth ended with {playing.returncode}: apt install fluidsynth, or pass --no-scores")
        return decode(sound, length_s)

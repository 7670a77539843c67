"""MIDI to sound: fluidsynth as a program."""

import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .decode import Undecodable, decode
from .errors import CorpusError, NoScores
from .track import TRACK_RATE_HZ

NOT_MENDED = {
    "Audio file write error": "make room for temporary files, or set TMPDIR to where there is some",
    "Failed to open audio file": "make room for temporary files, or set TMPDIR to where there is some",
    "Failed to load the SoundFont": "install its package anew",
    "not a SoundFont or MIDI file": "install the soundfont's package, or look at the score",
}
"""Complaints after which fluidsynth goes on, with silence, half a file or its own soundfont, and ends as if nothing had been; and what to do."""
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
    return sound_of(midi, lambda midi_file, sound: _play(midi_file, soundfont, sound, name, limit_s), name, length_s)


def sound_of(midi: bytes, play: Callable[[Path, Path], None], name: str, length_s: float) -> np.ndarray:
    """What `play` writes to its second file of the score in its first one, at most `length_s` of it; float32 `[sample]` at 48 kHz."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            midi_file, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
            midi_file.write_bytes(midi)
            play(midi_file, sound)
            return decode(sound, length_s)
    except OSError as error:
        raise CorpusError(f"{name}: temporary files cannot be written ({error}): make room, or set TMPDIR to where there is some") from error


def ended(command: list[str], name: str, limit_s: float) -> tuple[int, list[str]]:
    """The exit status of a program that plays `name`, and the lines that it complained in; `Undecodable`, where it would never end."""
    limited = ["prlimit", f"--fsize={LARGEST_BYTES}", "--core=0", *command]
    try:
        done = subprocess.run(limited, capture_output=True, check=False, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise Undecodable(f"{name}: {command[0]} is not done after {limit_s} s") from error
    except FileNotFoundError as error:
        raise NoScores("prlimit is not there: apt install util-linux") from error
    if done.returncode == -signal.SIGXFSZ:
        raise Undecodable(f"{name}: {command[0]} is not done after {LONGEST_S:.0f} s of sound")
    return done.returncode, done.stderr.decode(errors="replace").strip().splitlines()


def _play(midi_file: Path, soundfont: str, sound: Path, name: str, limit_s: float) -> None:
    command = ["fluidsynth", "-ni", "-q", "-r", str(TRACK_RATE_HZ), "-g", str(GAIN), *LOADING, "-F", str(sound), soundfont, str(midi_file)]
    status, said = ended(command, name, limit_s)
    for line in said:
        for complaint, advice in NOT_MENDED.items():
            if complaint in line:
                raise NoScores(f"{name}: {soundfont}: {line.strip()}: {advice}")
    if status != 0:
        raise NoScores(f"{name}: {said[-1] if said else 'fluidsynth failed'}: apt install fluidsynth")

"""RNNoise, the well-known noise suppressor: what is to be had today without a network of one's own.

It runs as the program `nnnoiseless` of the crate of that name, a port of RNNoise with its
weights, on 48 kHz 16-bit audio. Its output is the speech; the music is what it removed.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .clips import CLIP_RATE_HZ
from .errors import EvaluateError
from .resample import resampled

PROGRAM = "nnnoiseless"
INSTALL = "cargo install nnnoiseless --version 0.5.2 --locked"
RATE_HZ = 48_000
FRAME_SAMPLES = 480
DELAY_SAMPLES = 0
"""Of the program's output, at 48 kHz, as a test measures: its overlap-add is a frame late, and the
program drops the first frame. (The library alone is 480 samples late.)"""
PEAK = 0.9
"""Louder clips are turned down before they become 16-bit, and up again afterwards."""
TIMEOUT_S = 120


class RNNoise:
    """Works at the clips' rate; the way to 48 kHz and back is inside."""

    name = "RNNoise"
    sample_rate_hz = CLIP_RATE_HZ

    def __init__(self, program: str = PROGRAM):
        found = shutil.which(program)
        if found is None:
            raise EvaluateError(f"RNNoise is left out: there is no program {program!r}; install it with `{INSTALL}`")
        self.program = found

    def speech_48k(self, mixture: np.ndarray) -> np.ndarray:
        """`[sample]` within full scale at 48 kHz -> the speech in it, `[sample]`, aligned with it."""
        # The program forgets an unfinished frame and drops the first: two frames more bring all out.
        fill = 2 * FRAME_SAMPLES + DELAY_SAMPLES + -mixture.size % FRAME_SAMPLES
        with tempfile.TemporaryDirectory() as folder:
            source, result = Path(folder) / "mixture.raw", Path(folder) / "speech.raw"
            np.round(np.pad(mixture, (0, fill)) * 32767).astype("<i2").tofile(source)
            try:
                subprocess.run(
                    [self.program, source, result], check=True, capture_output=True, text=True, timeout=TIMEOUT_S
                )
                speech = np.fromfile(result, "<i2").astype(np.float64) / 32767
            except (OSError, subprocess.SubprocessError) as error:
                said = (getattr(error, "stderr", None) or "").strip()
                raise EvaluateError(f"{self.program} failed: {error} {said}".strip()) from error
        speech = speech[DELAY_SAMPLES : DELAY_SAMPLES + mixture.size]
        if speech.size != mixture.size:
            raise EvaluateError(
                f"{self.program} gave {speech.size} samples, expected {mixture.size}; it is to be had with `{INSTALL}`"
            )
        return speech

    def music(self, mixture: np.ndarray) -> np.ndarray:
        heard = resampled(mixture, self.sample_rate_hz, RATE_HZ)
        gain = min(1.0, PEAK / max(float(np.abs(heard).max()), 1e-9))
        speech = resampled(self.speech_48k(heard * gain) / gain, RATE_HZ, self.sample_rate_hz)
        return mixture - speech[: mixture.size]

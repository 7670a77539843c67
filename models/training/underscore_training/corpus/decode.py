"""Any audio file to 48 kHz mono, and speech files joined into one track."""

import random
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .errors import CorpusError
from .track import TRACK_RATE_HZ

AUDIO_SUFFIXES = {
    ".aac", ".aif", ".aiff", ".flac", ".g722", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav", ".wma", ".wv",
}
PIECE_LIMIT_S = 240.0
"""Seconds taken of one piece: variety is worth more than length."""
SPEAKER_LIMIT_S = 3600.0
"""The same of one speaker: a day of a reader would need 50 GB of memory, and teach little that an hour does not. The longest of the shipped
corpus has half an hour."""
SILENT_PEAK = 1e-3
TRIM_RATIO = 10 ** (-45 / 20)
"""Silence at both ends of a speech file, relative to its peak, is cut."""
GAP_S = (0.05, 0.5)
SPEECH_RMS = 0.08
SPEECH_PEAK = 0.5
SHORTEST_S = 0.1


class Undecodable(Exception):
    """A file that holds no usable sound; the message says which and why."""


def decode(
    path: Path, limit_s: float | None = None, streams: tuple[int, ...] = (), silence_allowed: bool = False
) -> np.ndarray:
    """Float32 `[sample]` at 48 kHz, channels averaged, full scale 1, of any rate and number of channels.

    `streams` of a container with several are added; without it the best one is taken.
    """
    command = ["ffmpeg", "-v", "error", "-nostdin"]
    if path.suffix == ".g722":
        command += ["-f", "g722"]
    command += ["-i", str(path), "-vn"]
    if streams:
        inputs = "".join(f"[0:a:{stream}]" for stream in streams)
        command += ["-filter_complex", f"{inputs}amix=inputs={len(streams)}:normalize=0"]
    if limit_s is not None:
        command += ["-t", str(limit_s)]
    command += ["-ac", "1", "-ar", str(TRACK_RATE_HZ), "-f", "f32le", "-"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise CorpusError("ffmpeg is not installed: apt install ffmpeg") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise Undecodable(f"{path}: cannot be decoded: {reason[-1] if reason else 'no reason given'}")
    signal = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], np.float32)
    if signal.size == 0 or not np.isfinite(signal).all():
        raise Undecodable(f"{path}: empty or not finite")
    if not silence_allowed and float(np.abs(signal).max()) < SILENT_PEAK:
        raise Undecodable(f"{path}: silent")
    return signal


def trimmed(signal: np.ndarray) -> np.ndarray:
    """Without the near-silence at both ends; empty when there is nothing else."""
    if signal.size == 0 or float(np.abs(signal).max()) < SILENT_PEAK:
        return signal[:0]
    loud = np.flatnonzero(np.abs(signal) > float(np.abs(signal).max()) * TRIM_RATIO)
    return signal[loud[0] : loud[-1] + 1]


def joined_speech(utterances: Iterable[np.ndarray], rng: random.Random) -> np.ndarray:
    """A speaker's utterances in random order with random pauses, each at the same RMS."""
    order = list(utterances)
    rng.shuffle(order)
    parts: list[np.ndarray] = []
    for utterance in order:
        utterance = trimmed(utterance)
        if utterance.size < SHORTEST_S * TRACK_RATE_HZ:
            continue
        rms = float(np.sqrt(np.mean(utterance**2)))
        gain = min(SPEECH_RMS / rms, SPEECH_PEAK / float(np.abs(utterance).max()))
        parts += [utterance * gain, np.zeros(int(rng.uniform(*GAP_S) * TRACK_RATE_HZ), np.float32)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)

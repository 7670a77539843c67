"""Mixtures made while training runs: random speaker, piece, level, tone.

Levels are those the plugin will meet: music 30 dB below to 10 dB above the speech,
some clips of one source alone, any overall level.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from .grid import MODEL_GRID, SAMPLE_RATE_HZ, stft

SPEECH_ONLY = 0.06
MUSIC_ONLY = 0.08
MUSIC_DB = (-30.0, 0.0)
LOUD_MUSIC_DB = (0.0, 10.0)
LOUD_MUSIC_SHARE = 0.25
LEVEL_DB = (-45.0, -6.0)
"""Peak of the mixture relative to full scale."""
TILT_DB = 8.0
"""Largest gain of the random equaliser at each of its nodes."""
SILENT_RMS = 1e-3
SECOND_SPEAKER_SHARE = 0.1


class CorpusMissing(Exception):
    """The corpus folder is not one that `corpus` wrote."""


def clip_samples(num_frames: int) -> int:
    """Samples that hold `num_frames` frames exactly."""
    return (num_frames - 1) * MODEL_GRID.hop_samples + MODEL_GRID.window_samples


@dataclass(frozen=True)
class Recording:
    name: str
    source: str
    samples: np.ndarray


class Shelf:
    """All recordings of one kind in one split, drawn from with given odds."""

    def __init__(self, corpus: Path, split: str, kind: str):
        index_path = corpus / "index.json"
        if not index_path.exists():
            raise CorpusMissing(f"{index_path} is missing: run `python -m underscore_training.corpus` first")
        index = json.loads(index_path.read_text())
        array = np.load(corpus / f"{split}_{kind}.npy", mmap_mode="r")
        self.recordings = [
            Recording(item["name"], item["source"], array[item["start"] : item["start"] + item["length"]])
            for item in index["items"]
            if (item["split"], item["kind"]) == (split, kind)
        ]
        if not self.recordings:
            raise CorpusMissing(f"{corpus} has no {kind} in its {split} split")
        # The square root lets small voices be heard without repeating them endlessly.
        odds = np.sqrt([recording.samples.size for recording in self.recordings])
        self.odds = odds / odds.sum()

    def draw(self, rng: np.random.Generator, num_samples: int) -> np.ndarray:
        """A stretch of a random recording that is not silent, RMS 1; float32 `[num_samples]`."""
        for _ in range(20):
            recording = self.recordings[rng.choice(len(self.recordings), p=self.odds)].samples
            surplus = recording.size - num_samples
            if surplus >= 0:
                start = int(rng.integers(surplus + 1))
                stretch = np.asarray(recording[start : start + num_samples])
            else:
                stretch = np.zeros(num_samples, np.int16)
                at = int(rng.integers(-surplus + 1))
                stretch[at : at + recording.size] = recording
            stretch = stretch.astype(np.float32) / 32768
            rms = float(np.sqrt(np.mean(stretch**2)))
            if rms > SILENT_RMS:
                return stretch / rms
        raise CorpusMissing("20 stretches in a row are silent: the corpus is not usable")


def equalise(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth random gain over frequency: six nodes, one and a half octaves apart."""
    nodes_hz = SAMPLE_RATE_HZ / 2 * 2.0 ** (-1.5 * np.arange(5, -1, -1))
    gains_db = rng.uniform(-TILT_DB, TILT_DB, nodes_hz.size)
    frequencies_hz = np.fft.rfftfreq(signal.size, 1 / SAMPLE_RATE_HZ)
    curve_db = np.interp(np.log2(frequencies_hz + 1), np.log2(nodes_hz + 1), gains_db)
    shaped = np.fft.irfft(np.fft.rfft(signal) * 10 ** (curve_db / 20), signal.size).astype(np.float32)
    return shaped / max(float(np.sqrt(np.mean(shaped**2))), 1e-6)


def mix(speech: Shelf, music: Shelf, rng: np.random.Generator, num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """One training pair: the music as it is in the mixture, and the mixture."""
    kind = rng.random()
    zero = np.zeros(num_samples, np.float32)
    if kind < SPEECH_ONLY:
        voice, tune = speech.draw(rng, num_samples), zero
    elif kind < SPEECH_ONLY + MUSIC_ONLY:
        voice, tune = zero, music.draw(rng, num_samples)
    else:
        voice, tune = speech.draw(rng, num_samples), music.draw(rng, num_samples)
        if rng.random() < SECOND_SPEAKER_SHARE:
            other = speech.draw(rng, num_samples) * 10 ** (rng.uniform(-12, 0) / 20)
            voice = voice + other
    if rng.random() < 0.5 and voice.any():
        voice = equalise(voice, rng)
    if rng.random() < 0.5 and tune.any():
        tune = equalise(tune, rng)
    range_db = LOUD_MUSIC_DB if rng.random() < LOUD_MUSIC_SHARE else MUSIC_DB
    tune = tune * 10 ** (rng.uniform(*range_db) / 20)
    mixture = voice + tune
    gain = 10 ** (rng.uniform(*LEVEL_DB) / 20) / max(float(np.abs(mixture).max()), 1e-6)
    return tune * gain, mixture * gain


class Mixtures(IterableDataset):
    """An endless stream of pairs `[sample]`: music, mixture. Seeded per worker."""

    def __init__(self, corpus: Path, split: str, num_frames: int, seed: int):
        self.speech = Shelf(corpus, split, "speech")
        self.music = Shelf(corpus, split, "music")
        self.num_samples = clip_samples(num_frames)
        self.seed = seed

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        while True:
            music, mixture = mix(self.speech, self.music, rng, self.num_samples)
            yield torch.from_numpy(music), torch.from_numpy(mixture)


def spectra(music: Tensor, mixture: Tensor) -> tuple[Tensor, Tensor]:
    """`[batch, sample]` each -> complex `[batch, frame, 512]` each, Nyquist dropped."""
    both = stft(torch.cat([music, mixture]))[..., :-1]
    return both[: music.shape[0]], both[music.shape[0] :]

"""The test clips: which stretches of which recordings, the same ones for every estimator.

A clip depends on the corpus, the seed and its index only: asking for more clips keeps the
first ones, and any process can make any clip.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..corpus.errors import CorpusError
from ..mixtures.shelf import Recording, Shelf
from .errors import EvaluateError
from .metrics import SilentReference
from .resample import resampled

CLIP_S = 12.0
CLIP_RATE_HZ = 32_000
SCORE_RATE_HZ = 16_000
"""The rate of the comparison: the highest at which every system has something to say."""
MUSIC_LEVELS_DB = (0.0, -10.0)
"""Of the music relative to the speech, RMS over the clip."""
RMS = 0.05
"""26 dB below full scale: a common level of a programme, and headroom for peaks."""


@dataclass(frozen=True)
class Clip:
    """One stretch of speech and one of music, equally loud: float64 `[sample]` at 32 kHz."""

    idx: int
    speaker: str
    piece: str
    speech: np.ndarray
    music: np.ndarray
    is_full_band: bool
    """Whether both recordings truly reach above 8 kHz."""


def in_turn(num_clips: int, num_recordings: int, rng: np.random.Generator) -> list[int]:
    """A recording for each clip: all of them in random order, again and again, so that none is favoured."""
    order: list[int] = []
    while len(order) < num_clips:
        order += rng.permutation(num_recordings).tolist()
    return order[:num_clips]


def levelled(samples: np.ndarray) -> np.ndarray:
    """`[sample]` at 32 kHz with the RMS `RMS` in the band that is scored; silence stays silence."""
    signal = samples.astype(np.float64)
    rms = float(np.sqrt(np.mean(resampled(signal, CLIP_RATE_HZ, SCORE_RATE_HZ) ** 2)))
    return signal * (RMS / rms) if rms > 0 else signal


class ClipList:
    """`num_clips` clips of `clip_s` seconds out of one split of a corpus."""

    def __init__(self, speech: Shelf, music: Shelf, num_clips: int, seed: int, clip_s: float = CLIP_S):
        """From two shelves at 32 kHz."""
        # Even at 32 kHz, so that it is whole at 16 and at 48 kHz too.
        self.num_samples = 2 * round(clip_s * CLIP_RATE_HZ / 2)
        self.num_clips, self.seed = num_clips, seed
        self.speech, self.music = speech, music
        self.speakers = self.long_enough(speech, "speech", clip_s)
        self.pieces = self.long_enough(music, "music", clip_s)
        # A stream each, so that another number of speakers does not change the pieces.
        self.speaker_order = in_turn(num_clips, len(self.speakers), np.random.default_rng([seed, 0]))
        self.piece_order = in_turn(num_clips, len(self.pieces), np.random.default_rng([seed, 1]))

    @classmethod
    def from_corpus(cls, corpus: Path, split: str, num_clips: int, seed: int, clip_s: float = CLIP_S) -> "ClipList":
        """From a folder that `corpus` wrote; raises `CorpusError` where that split is empty."""
        shelves = [Shelf(corpus, split, kind, CLIP_RATE_HZ) for kind in ("speech", "music")]
        return cls(*shelves, num_clips, seed, clip_s)

    def long_enough(self, shelf: Shelf, kind: str, clip_s: float) -> list[Recording]:
        """Recordings that fill a clip, by name: their order in the shelf must not matter."""
        recordings = sorted(shelf.recordings, key=lambda recording: recording.name)
        kept = [recording for recording in recordings if recording.samples.size >= self.num_samples]
        if not kept:
            longest_s = max((recording.samples.size for recording in recordings), default=0) / CLIP_RATE_HZ
            raise EvaluateError(
                f"no {kind} of the split lasts {clip_s:g} s, the longest {longest_s:.1f} s; "
                f"build a larger corpus or give a smaller --clip-s"
            )
        return kept

    def __len__(self) -> int:
        return self.num_clips

    def clip(self, idx: int) -> Clip:
        """Raises `SilentReference` where a recording has nothing to give."""
        rng = np.random.default_rng([self.seed, 2, idx])
        speaker = self.speakers[self.speaker_order[idx]]
        piece = self.pieces[self.piece_order[idx]]
        try:
            speech = self.speech.stretch(speaker, rng, self.num_samples).samples
            music = self.music.stretch(piece, rng, self.num_samples).samples
        except CorpusError as error:
            raise SilentReference(str(error)) from error
        return Clip(
            idx, speaker.name, piece.piece, levelled(speech), levelled(music),
            bool(speaker.is_full_band and piece.is_full_band),
        )

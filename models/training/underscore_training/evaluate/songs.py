"""Songs to be asked for their parts: a score in one arrangement, 10 s of its parts at gains of their own, and a voice over them."""

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..corpus.errors import CorpusError
from ..corpus.stems import CLASSES, PATCHED, SUNG
from ..mixtures.asked import GAINS, VOICE
from ..mixtures.recipe import at_unit_rms
from ..mixtures.shelf import Recording, Score, Shelf, scores_in_parts

CLIP_S = 10.0
SEED = 31
PRESENT = 0.02
"""Of a part's RMS over the whole song: what is softer in a clip does not play there."""
OF_ARRANGEMENT = re.compile(rf"/({SUNG}|{PATCHED})\d+/[a-z]+$")
"""What is played in an arrangement that is sung, and what is sung; and what is played by patches."""


@dataclass(frozen=True)
class Song:
    """10 s of parts at their gains `[sample]`, by class."""

    name: str
    group: str
    parts: dict[str, np.ndarray]
    pieces: dict[str, str]
    """Of the recordings, by class: no random query is of one of them."""
    fine: dict[str, str]
    """Fine labels of what plays, by class, where it has one."""

    @property
    def mixture(self) -> np.ndarray:
        return np.sum(list(self.parts.values()), axis=0)


def shelves(corpus: Path, split: str, rate_hz: int, kinds: Iterable[str] = (VOICE, *CLASSES)) -> dict[str, Shelf]:
    """Those of the split's classes that it has recordings of."""
    found = {}
    for kind in kinds:
        try:
            found[kind] = Shelf(corpus, split, kind, rate_hz)
        except CorpusError as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


def chosen(by_class: dict[str, Shelf], is_wanted: Callable[[Recording], bool]) -> dict[str, Shelf]:
    """Of every class the recordings that are wanted, as far as there are any."""
    names = {kind: {recording.name for recording in shelf.recordings if is_wanted(recording)} for kind, shelf in by_class.items()}
    return {kind: by_class[kind].only(wanted) for kind, wanted in names.items() if wanted}


def arrangements(by_class: dict[str, Shelf], of: str = "") -> dict[str, Shelf]:
    """Of every class what is played in arrangements that are sung, or by patches (`of` these), or in the others."""

    def kind_of(recording: Recording) -> str:
        found = OF_ARRANGEMENT.search(recording.name)
        return found[1] if found else ""

    return chosen(by_class, lambda recording: kind_of(recording) == of)


def songs(by_class: dict[str, Shelf], rate_hz: int) -> list[Song]:
    """All arrangements in which two classes or more play, a voice beside them."""
    found = []
    length = round(CLIP_S * rate_hz)
    for name, recordings in sorted(scores_in_parts(by_class).items()):
        # What is drawn for a song does not depend on the others.
        rng = np.random.default_rng([SEED, *name.encode()])
        clips = max((_clips(recordings, start, length) for start in range(0, 4 * length, length // 2)), key=len)
        if len(clips) < 2:
            continue
        pieces = {kind: recordings[kind].piece for kind in clips}
        if VOICE in by_class:
            voice = by_class[VOICE].draw(rng, length)
            clips[VOICE], pieces[VOICE] = voice.samples, voice.recording.piece
        gains = {kind: rng.uniform(*GAINS) for kind in clips}
        levelled = {kind: (0.05 * gains[kind] * at_unit_rms(clip)).astype(np.float32) for kind, clip in clips.items()}
        fine = {kind: recordings[kind].fine for kind in clips if kind in recordings and recordings[kind].fine}
        found.append(Song(name, next(iter(recordings.values())).piece, levelled, pieces, fine))
    return found


def spread(found: list[Song], most: int) -> list[Song]:
    """At most so many, of as many scores as there are: arrangements of one lie side by side."""
    return [found[idx] for idx in sorted({round(place) for place in np.linspace(0, len(found) - 1, min(most, len(found)))})]


def _clips(recordings: Score, start: int, length: int) -> dict[str, np.ndarray]:
    """The parts that play from `start` on."""
    found = {}
    for kind, recording in recordings.items():
        clip = recording.samples[start : start + length].astype(np.float32) / 32768
        rms = np.sqrt(np.mean(np.square(recording.samples, dtype=np.float32))) / 32768
        if clip.size == length and np.sqrt(np.mean(clip**2)) > PRESENT * rms > 0:
            found[kind] = clip
    return found

"""Mixtures of classes, one of which is asked for by an example.

After the protocol of Lee, Choi and Lee (ISMIR 2019): classes are drawn, each is target or
rest, gains are uniform in 0.25..1.25. What is added: the example is another stretch of the
same recording or of another one of its class; the rest at times holds the target's class,
too; at times what is asked for is not there.
"""

import numpy as np

from ..corpus.errors import CorpusError
from ..corpus.stems import CLASSES, UNHEARD
from ..grid import HOP_S, WINDOW_S
from ..nets.query import QUERY_FRAMES
from . import augment
from .recipe import Context, Pair, at_unit_rms, levelled
from .shelf import Drawn

KINDS = ("speech", *(name for name in CLASSES if name not in UNHEARD))
NUM_CLASSES_SHARES = (0.3, 0.4, 0.3)
"""Of two, three and four classes at once."""
GAINS = (0.25, 1.25)
SAME_RECORDING_SHARE = 0.5
SAME_STRETCH_SHARE = 0.15
"""The example is the target itself: what an estimate is encoded as must lead back to it."""
TWO_TARGETS_SHARE = 0.2
RIVAL_SHARE = 0.12
"""The rest holds another recording of the target's class."""
ABSENT_SHARE = 0.08
"""What is asked for is not there. Only for a network that knows what it is asked for: one that does not yet finds nothing at all then, in
all clips, because exact silence in these is worth more than anything that it can learn soon (300 steps ended in masks of 0.01)."""
STRETCH = 1.2
STRETCH_SHARE = 0.5
EQUALISED_SHARE = 0.4
IN_ROOM_SHARE = 0.15


def query_samples(rate_hz: int) -> int:
    return round(((QUERY_FRAMES - 1) * HOP_S + WINDOW_S) * rate_hz)


def _at_speed(factor: float, num_samples: int) -> int:
    """Samples to draw, so that played `factor` times as fast they are `num_samples`; even, with small factors, for the transform's sake."""
    return num_samples if factor == 1.0 else round(num_samples * factor / 500) * 500


def _played(drawn: Drawn, num_samples: int) -> np.ndarray:
    """A stretch at the speed at which it fills `num_samples`, RMS 1."""
    return drawn.samples if drawn.samples.size == num_samples else at_unit_rms(augment.stretched(drawn.samples, num_samples))


def _coloured(signal: np.ndarray, context: Context, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < EQUALISED_SHARE:
        signal = augment.equalised(signal, context.rate_hz, rng)
    if rng.random() < IN_ROOM_SHARE:
        signal = augment.in_room(signal, context.rate_hz, rng)
    return at_unit_rms(signal)


def _of_class(context: Context, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A sound of a class and an example of it, `[sample]` and `[query sample]`, RMS 1."""
    shelf, length = context.shelves[kind], query_samples(context.rate_hz)
    factor = STRETCH ** rng.uniform(-1, 1) if rng.random() < STRETCH_SHARE else 1.0
    drawn = shelf.draw(rng, _at_speed(factor, context.num_samples))
    sound = _played(drawn, context.num_samples)
    if rng.random() < SAME_RECORDING_SHARE:
        try:
            query = _played(shelf.stretch(drawn.recording, rng, _at_speed(factor, length)), length)
        except CorpusError:
            # A part that hardly plays has no second stretch.
            query = np.resize(sound, length)
    else:
        query = shelf.draw(rng, length).samples
    colour_seed = int(rng.integers(1 << 31))
    # The microphone that the example was taken with may be another one.
    query_seed = colour_seed if rng.random() < 0.6 else int(rng.integers(1 << 31))
    sound = _coloured(sound, context, np.random.default_rng(colour_seed))
    query = _coloured(query, context, np.random.default_rng(query_seed))
    if context.num_samples >= length and rng.random() < SAME_STRETCH_SHARE:
        query = sound[:length]
    return sound, query


def asked(context: Context, rng: np.random.Generator, absent_share: float = 0.0) -> Pair:
    """Two to four classes, one or two of them the target."""
    num_classes = 2 + rng.choice(3, p=NUM_CLASSES_SHARES)
    kinds = list(rng.choice(KINDS, num_classes, replace=False))
    num_targets = 2 if num_classes > 2 and rng.random() < TWO_TARGETS_SHARE else 1
    target, rest = np.zeros(context.num_samples, np.float32), np.zeros(context.num_samples, np.float32)
    query = np.zeros(query_samples(context.rate_hz), np.float32)
    is_absent = rng.random() < absent_share
    for idx, kind in enumerate(kinds):
        sound, example = _of_class(context, kind, rng)
        gain = np.float32(rng.uniform(*GAINS))
        if idx >= num_targets:
            rest = rest + gain * sound
            continue
        query = query + gain * example
        if not is_absent:
            target = target + gain * sound
        if num_targets == 1 and rng.random() < RIVAL_SHARE:
            rival, _ = _of_class(context, kind, rng)
            rest = rest + np.float32(rng.uniform(*GAINS)) * rival
    pair = levelled(target, target + rest, rng)
    return Pair(pair.music, pair.mixture, at_unit_rms(query).astype(np.float32), str(kinds[0]) if num_targets == 1 else None)

"""Mixtures of classes, one of which is asked for by an example.

After the protocol of Lee, Choi and Lee (ISMIR 2019): classes are drawn, each is target or
rest, gains are uniform in 0.25..1.25. What is added: the example is another stretch of the
same recording or of another one of its class; two recordings may be of one class, and only
their examples tell them apart; at times what is asked for is not there.

Every mixture is asked twice, for two different things. What does not depend on the question
then cancels out of a step: from questions one at a time nothing was learnt of them in 600.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from ..corpus.errors import CorpusError
from ..corpus.stems import CLASSES, DRUM_PIECES, SINGING, UNHEARD
from ..grid import HOP_S, WINDOW_S
from ..nets.query import QUERY_FRAMES
from . import augment
from .recipe import Context, Pair, at_unit_rms, levelled
from .shelf import TRIES, Drawn, Score, played_at

VOICE = "speech"
KINDS = (VOICE, *(name for name in CLASSES if name not in UNHEARD))
PIECES = tuple(DRUM_PIECES)
ASKED_FOR = (*KINDS, *PIECES, SINGING)
"""All that a network can have names for, in this order: one of before there were pieces, or singing, has the first of them."""
ASKED_MOST = {VOICE: 3.0, "drums": 1.5, "bass": 1.5}
"""How often a class is drawn, where not once: what people ask for most."""
NUM_CLASSES_SHARES = (0.3, 0.4, 0.3)
"""Of two, three and four classes at once."""
GAINS = (0.25, 1.25)
SAME_RECORDING_SHARE = 0.5
SAME_STRETCH_SHARE = 0.15
"""The example is the target itself: what an estimate is encoded as must lead back to it."""
MORE_SAME_RECORDING_SHARE = 0.6
MORE_SAME_STRETCH_SHARE = 0.3
"""The same two, for a network that means lead almost as far as examples: what an example alone can tell is to be heard in it."""
MOST_SAME_RECORDING_SHARE = 0.8
"""The first, for one that hears no more in an example of a voice or of a kit than of which class it is: means teach it the classes by now."""
MOST_SAME_STRETCH_SHARE = 0.5
"""The second, for one that an example of a bass or of a kit tells hardly more than another one's does."""
NUM_ASKS = 2
"""For how many things each mixture is asked."""
TWO_TARGETS_SHARE = 0.2
RIVALS_SHARE = 0.2
"""The two that are asked for are of one class."""
MORE_RIVALS_SHARE = 0.3
"""The same, for a network that finds classes and is to tell two of one apart."""
ABSENT_SHARE = 0.08
"""What is asked for is not there. Only for a network that knows what it is asked for: one that does not yet finds nothing at all then, in
all clips, because exact silence in these is worth more than anything that it can learn soon (300 steps ended in masks of 0.01)."""
MORE_ABSENT_SHARE = 0.14
"""The same, for a network whose questions are so often answered that it finds something whatever is asked for."""
ALONE_SHARE = 0.1
"""Nothing but what is asked for is there: one that never heard that takes something away even then."""
SUSTAINED = ("organ", "strings", "choir", "brass", "reed", "pipe", "lead", "pad")
"""Classes whose notes last, and are taken for one another: of an example's nearest neighbours in `query-6`'s space, one in five is of its
class for organs, brass and leads, and all are for drums."""
ALIKE_SHARE = 0.3
"""Of mixtures without a recorded piece or a kit: in which both that are asked for are of these. Of two drawn at random it is one in five."""
SUNG_SHARE = 0.3
"""In which one of the two that are asked for is sung, or the voice over a recorded piece is; not in kits."""
FEWER_ALIKE_SHARE = 0.15
FEWER_SUNG_SHARE = 0.2
"""The same two, for a network that knows them: what is alike, or sung, is there instead of basses and drums."""
KIT_SHARE = 0.15
"""Of mixtures without a recorded piece: in which the drums are asked for piece by piece."""
THIRD_PIECE_SHARE = 0.6
"""Of these, in which three pieces are hit, not two."""
RECORDED = "music"
"""Pieces as they were recorded, in which any class may play: beside one a voice alone can be asked for, or the piece itself."""
RECORDED_SHARE = 0.2
MORE_RECORDED_SHARE = 0.28
SONG_SHARE = 0.5
"""Of mixtures without a recorded piece or a kit, a third of all; where rivals are drawn before, a fifth: parts of one score that play together, in time
and in tune, as in whatever a song is taken apart for. What is drawn from anywhere gives itself away by both."""
VOICE_OVER_SONG_SHARE = 0.6
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


def _by_odds(kinds: list[str], count: int, rng: np.random.Generator, scores: Mapping[str, list[Score]] = MappingProxyType({})) -> list[str]:
    """Of them so many, each as often as it is asked for; the less often the more of `scores` it plays in."""
    odds = np.array([ASKED_MOST.get(kind, 1.0) / max(len(scores.get(kind, ())), 1) for kind in kinds])
    return [str(kind) for kind in rng.choice(kinds, count, replace=False, p=odds / odds.sum())]


def _speed(rng: np.random.Generator) -> float:
    return STRETCH ** rng.uniform(-1, 1) if rng.random() < STRETCH_SHARE else 1.0


@dataclass(frozen=True)
class Sound:
    """One of a mixture's, and an example of it: `[sample]` and `[query sample]`, RMS 1 up to the gain of both."""

    kind: str
    samples: np.ndarray
    example: np.ndarray
    piece: str
    """That it is of."""

    def at_some_gain(self, rng: np.random.Generator) -> "Sound":
        gain = np.float32(rng.uniform(*GAINS))
        return replace(self, samples=gain * self.samples, example=gain * self.example)


def _with_example(
    context: Context, kind: str, drawn: Drawn, factor: float, rng: np.random.Generator, same_recording_share: float, same_stretch_share: float
) -> Sound:
    """What was drawn at a speed, as it is there with an example of it."""
    shelf, length = context.shelves[kind], query_samples(context.rate_hz)
    sound = _played(drawn, context.num_samples)
    if rng.random() < same_recording_share:
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
    if context.num_samples >= length and rng.random() < same_stretch_share:
        query = sound[:length]
    return Sound(kind, sound, query, drawn.recording.piece)


def _of_class(
    context: Context,
    kind: str,
    rng: np.random.Generator,
    same_recording_share: float,
    same_stretch_share: float = SAME_STRETCH_SHARE,
    other_than: str | None = None,
) -> Sound:
    """A sound of a class, of another piece than `other_than`."""
    factor = _speed(rng)
    drawn = context.shelves[kind].draw(rng, _at_speed(factor, context.num_samples), other_than)
    return _with_example(context, kind, drawn, factor, rng, same_recording_share, same_stretch_share)


def _of_song(
    context: Context, rng: np.random.Generator, same_recording_share: float, same_stretch_share: float, is_even: bool = False, is_alike: bool = False
) -> list[Sound]:
    """Two or more parts of a score that play together, at times a voice over them. The first that is asked for is of any class as often as elsewhere,
    though few play in many scores; the second, where it `is_even`, too, and else mostly bass or drums, which play in most. Where it `is_alike` both are
    sustained, if the score has two of these."""
    factor = _speed(rng)
    num_samples = _at_speed(factor, context.num_samples)
    if not context.scores:
        raise CorpusError("no score has two parts that can be asked for: run `corpus --stems`")
    for _ in range(TRIES):
        firsts = [kind for kind in context.scores if not is_alike or kind in SUSTAINED]
        one = _by_odds(firsts or list(context.scores), 1, rng)[0]
        score = context.scores[one][rng.integers(len(context.scores[one]))]
        surplus = min(part.samples.size for part in score.values()) - num_samples
        played = played_at(score, int(rng.integers(surplus + 1)), num_samples) if surplus >= 0 else {}
        if one in played and len(played) >= NUM_ASKS:
            break
    else:
        raise CorpusError(f"{TRIES} stretches of scores in a row have fewer than {NUM_ASKS} parts that play: the corpus is not usable")
    sounds = {
        kind: _with_example(context, kind, Drawn(score[kind], cut), factor, rng, same_recording_share, same_stretch_share)
        for kind, cut in played.items()
    }
    if rng.random() < VOICE_OVER_SONG_SHARE:
        sounds[VOICE] = _of_class(context, VOICE, rng, same_recording_share, same_stretch_share)
    others = [kind for kind in sounds if kind != one]
    if is_alike and any(kind in SUSTAINED for kind in others):
        others = [kind for kind in others if kind in SUSTAINED]
    first = [one, *_by_odds(others, NUM_ASKS - 1, rng, context.scores if is_even else {})]
    first = [first[place] for place in rng.permutation(NUM_ASKS)]
    return [sounds[kind].at_some_gain(rng) for kind in [*first, *(kind for kind in sounds if kind not in first)]]


def drawn_kinds(rng: np.random.Generator, recorded_share: float, kit_share: float, alike_share: float, sung_share: float) -> list[str]:
    """Two to four kinds for a mixture, of which the first two are asked for."""
    if recorded_share > 0 and rng.random() < recorded_share:
        return [SINGING if sung_share > 0 and rng.random() < sung_share else VOICE, RECORDED]
    num_sounds = 2 + rng.choice(3, p=NUM_CLASSES_SHARES)
    kinds = _by_odds(list(KINDS), num_sounds, rng)
    if kit_share == 0 or rng.random() >= kit_share:
        if alike_share > 0 and rng.random() < alike_share:
            alike = [str(kind) for kind in rng.choice(SUSTAINED, NUM_ASKS, replace=False)]
            kinds = [*alike, *(kind for kind in kinds if kind not in alike)][:num_sounds]
        if sung_share > 0 and rng.random() < sung_share:
            kinds[rng.integers(NUM_ASKS)] = SINGING
        return kinds
    hit = [str(piece) for piece in rng.permutation(PIECES)][: 3 if rng.random() < THIRD_PIECE_SHARE else 2]
    beside = [kind for kind in kinds if kind != "drums"][: 4 - len(hit)]
    # One of the kit against another, or against what plays beside it.
    return [*hit, *beside] if rng.random() < 0.5 else [hit[0], *beside[:1], *hit[1:], *beside[1:]]


def asked(
    context: Context,
    rng: np.random.Generator,
    absent_share: float = 0.0,
    alone_share: float = 0.0,
    recorded_share: float = 0.0,
    kit_share: float = 0.0,
    alike_share: float = 0.0,
    sung_share: float = 0.0,
    rivals_share: float = RIVALS_SHARE,
    same_recording_share: float = SAME_RECORDING_SHARE,
    same_stretch_share: float = SAME_STRETCH_SHARE,
    song_share: float = 0.0,
    is_even: bool = False,
) -> list[Pair]:
    """Two to four sounds in one mixture, which is asked for the first and for the second of them; now and then for a third beside the first.
    Or a voice over a recorded piece, or a drum kit whose pieces are asked for one by one, or the parts of a score, two to nine with a voice. `is_even`:
    songs are drawn before rivals are, and their classes evenly."""
    kinds = drawn_kinds(rng, recorded_share, kit_share, alike_share, sung_share)
    # Classes alone: two of one, or two at once, may be asked for.
    is_plain = RECORDED not in kinds and kinds[0] not in PIECES
    num_pieces = len({recording.piece for recording in context.shelves[kinds[0]].recordings})
    is_song = is_even and is_plain and rng.random() < song_share
    is_rivalry = is_plain and not is_song and rng.random() < rivals_share and num_pieces > 1
    if is_rivalry:
        kinds[1] = kinds[0]
    if not is_even:
        is_song = is_plain and not is_rivalry and song_share > 0 and rng.random() < song_share
    if is_song:
        is_alike = is_even and set(kinds[:NUM_ASKS]) <= set(SUSTAINED)
        sounds = _of_song(context, rng, same_recording_share, same_stretch_share, is_even, is_alike)
    else:
        sounds = []
        for place, kind in enumerate(kinds):
            is_rival = is_rivalry and place < NUM_ASKS
            # Of two of one piece no example could tell which is asked for.
            other_than = sounds[-1].piece if is_rival and sounds else None
            # Another piece says nothing of this one.
            from_same = 1.0 if is_rival or kind == RECORDED else same_recording_share
            sounds.append(_of_class(context, kind, rng, from_same, same_stretch_share, other_than).at_some_gain(rng))
    targets = [[0], [1]]
    # A rival that is asked for together with something else would leave its class to the other.
    if is_plain and len(sounds) > 2 and not is_rivalry and rng.random() < TWO_TARGETS_SHARE:
        targets[0].append(2)
    level_rng_seed = int(rng.integers(1 << 31))
    pairs = []
    for places in targets:
        target = np.sum([sounds[place].samples for place in places], axis=0)
        mixture = np.sum([sound.samples for sound in sounds], axis=0)
        if rng.random() < absent_share:
            mixture, target = mixture - target, np.zeros_like(target)
        elif alone_share > 0 and rng.random() < alone_share:
            mixture = target
        pair = levelled(target, mixture, np.random.default_rng(level_rng_seed))
        query = at_unit_rms(np.sum([sounds[place].example for place in places], axis=0)).astype(np.float32)
        kind = sounds[places[0]].kind
        pairs.append(Pair(pair.music, pair.mixture, query, kind if len(places) == 1 and kind != RECORDED else None))
    return pairs


def examples(context: Context, rng: np.random.Generator) -> Pair:
    """Two examples of one recording, for a network that learns to listen: a pair's `query`, and its `music`, which is all of its mixture."""
    kind = str(rng.choice(KINDS))
    sound = _of_class(context, kind, rng, 1.0)
    pair = levelled(sound.samples, sound.samples, rng)
    return Pair(pair.music, pair.mixture, sound.example.astype(np.float32), kind)

"""How one training pair is mixed: two recipes, the paper's and the one for a deployed model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..corpus.stems import CLASSES
from . import augment
from .shelf import Drawn, Score, Shelf, scores_in_parts

PEAK_DB = (-45.0, -3.0)
"""Peak of the mixture relative to full scale."""


@dataclass(frozen=True)
class Pair:
    """Float32 `[sample]` each; what is not music is dialogue."""

    music: np.ndarray
    """What is to be found; where it is asked for, the target."""
    mixture: np.ndarray
    query: np.ndarray | None = None
    """An example of the target, where the network is given one; its level says nothing."""
    kind: str | None = None
    """What the example is of, where it is of one kind."""


@dataclass(frozen=True)
class Context:
    """Where a recipe draws from."""

    shelves: dict[str, Shelf]
    """By kind."""
    num_samples: int
    rate_hz: int

    @cached_property
    def scores(self) -> dict[str, list[Score]]:
        """By class, those that it plays in beside another one."""
        shelves = {kind: shelf for kind, shelf in self.shelves.items() if kind in CLASSES}
        found = [score for _, score in sorted(scores_in_parts(shelves).items()) if len(score) > 1]
        by_class = {kind: [score for score in found if kind in score] for kind in shelves}
        return {kind: scores for kind, scores in by_class.items() if scores}

    @property
    def speech(self) -> Shelf:
        return self.shelves["speech"]

    @property
    def music(self) -> Shelf:
        return self.shelves["music"]


def at_unit_rms(signal: np.ndarray) -> np.ndarray:
    return signal / max(float(np.sqrt(np.mean(signal**2))), 1e-6)


def levelled(music: np.ndarray, mixture: np.ndarray, rng: np.random.Generator) -> Pair:
    """Any overall level that a fader may give."""
    gain = 10 ** (rng.uniform(*PEAK_DB) / 20) / max(float(np.abs(mixture).max()), 1e-6)
    return Pair((music * gain).astype(np.float32), (mixture * gain).astype(np.float32))


def paper(context: Context, rng: np.random.Generator) -> Pair:
    """The paper's protocol: speech and music at -30 to 0 dB relative to it, nothing done to either."""
    speech = context.speech.draw(rng, context.num_samples).samples
    music = context.music.draw(rng, context.num_samples).samples * 10 ** (rng.uniform(-30, 0) / 20)
    return levelled(music, speech + music, rng)


PLAIN_SHARE = 0.5
"""One speaker over one piece, as recorded: what most programmes are."""
SPEECH_ONLY = 0.08
MUSIC_ONLY = 0.10
STRETCH_SHARE = 0.85
SPEECH_STRETCH = 1.3
"""Voices are moved by up to 30 %, which makes other speakers of them."""
MUSIC_STRETCH = 1.25
SECOND_VOICE_SHARE = 0.2
CLOSE_SHARE = 0.4
"""Voices with pops and rumble. Half of the training voices are synthetic and have none; many a real one has a tenth
of its energy below 100 Hz."""
SECOND_PIECE_SHARE = 0.3
"""Two pieces at once are a third one. With few pieces a network soon knows each; it knows no pair."""
EQUALISED_SHARE = 0.7
NARROW_SHARE = 0.15
"""Mixtures without treble, as a 16 kHz host gives them."""
EXTENSION_SHARE = 0.8


def drawn_at_other_speed(
    shelf: Shelf, context: Context, rng: np.random.Generator, limit: float
) -> tuple[Drawn, np.ndarray]:
    """A stretch, played at another speed at times, RMS 1."""
    if rng.random() > STRETCH_SHARE:
        drawn = shelf.draw(rng, context.num_samples)
        return drawn, drawn.samples
    factor = limit ** rng.uniform(-1, 1)
    # Even lengths with small factors, for the transform's sake.
    drawn = shelf.draw(rng, round(context.num_samples * factor / 500) * 500)
    return drawn, at_unit_rms(augment.stretched(drawn.samples, context.num_samples))


def voice(context: Context, rng: np.random.Generator) -> np.ndarray:
    """One speaker somewhere, RMS 1."""
    drawn, signal = drawn_at_other_speed(context.speech, context, rng, SPEECH_STRETCH)
    rate_hz = context.rate_hz
    if rate_hz > 16_000 and not drawn.recording.is_full_band and rng.random() < EXTENSION_SHARE:
        signal = augment.extended_upward(signal, rate_hz, rng)
    if rng.random() < EQUALISED_SHARE:
        signal = augment.equalised(signal, rate_hz, rng)
    if rng.random() < 0.3:
        signal = augment.in_room(signal, rate_hz, rng)
    if rng.random() < CLOSE_SHARE:
        signal = augment.close_to_the_microphone(at_unit_rms(signal), rate_hz, rng)
    if rng.random() < 0.05:
        signal = augment.telephone(signal, rate_hz)
    if rng.random() < 0.06:
        signal = augment.coded(signal, rate_hz, rng)
    if rng.random() < 0.2:
        signal = at_unit_rms(signal) * augment.compression_gain(at_unit_rms(signal), rate_hz, rng)
    return at_unit_rms(signal)


def dialogue(context: Context, rng: np.random.Generator) -> np.ndarray:
    """Speech, at times with a second speaker, at times over a noise floor that belongs to it; RMS about 1."""
    signal = voice(context, rng)
    if rng.random() < SECOND_VOICE_SHARE:
        signal = signal + voice(context, rng) * 10 ** (rng.uniform(-12, 0) / 20)
    if rng.random() < 0.3:
        signal = signal * augment.present_in_part(context.num_samples, context.rate_hz, rng)
    if rng.random() < 0.15:
        signal = signal + augment.coloured_noise(context.num_samples, rng) * 10 ** (rng.uniform(-60, -30) / 20)
    return signal


def tune(context: Context, rng: np.random.Generator) -> np.ndarray:
    """Music, RMS about 1."""
    _, signal = drawn_at_other_speed(context.music, context, rng, MUSIC_STRETCH)
    if rng.random() < SECOND_PIECE_SHARE:
        _, other = drawn_at_other_speed(context.music, context, rng, MUSIC_STRETCH)
        signal = signal + other * 10 ** (rng.uniform(-12, 0) / 20)
    if rng.random() < EQUALISED_SHARE:
        signal = augment.equalised(signal, context.rate_hz, rng)
    if rng.random() < 0.08:
        signal = augment.coded(signal, context.rate_hz, rng)
    if rng.random() < 0.05:
        signal = augment.in_room(signal, context.rate_hz, rng)
    if rng.random() < 0.2:
        signal = at_unit_rms(signal) * augment.compression_gain(at_unit_rms(signal), context.rate_hz, rng)
    signal = at_unit_rms(signal)
    if rng.random() < 0.2:
        signal = signal * augment.present_in_part(context.num_samples, context.rate_hz, rng)
    return signal


def music_gain_db(rng: np.random.Generator) -> float:
    """Music relative to speech: mostly below it, at times above."""
    kind = rng.random()
    if kind < 0.65:
        return float(rng.uniform(-15, 3))
    return float(rng.uniform(-30, -15)) if kind < 0.82 else float(rng.uniform(3, 15))


def plain(context: Context, rng: np.random.Generator) -> Pair:
    """One speaker over one piece, at another speed at times and close to the microphone, otherwise as recorded."""
    _, speech = drawn_at_other_speed(context.speech, context, rng, SPEECH_STRETCH)
    if rng.random() < CLOSE_SHARE:
        speech = at_unit_rms(augment.close_to_the_microphone(speech, context.rate_hz, rng))
    _, music = drawn_at_other_speed(context.music, context, rng, MUSIC_STRETCH)
    music = music * 10 ** (music_gain_db(rng) / 20)
    return levelled(music, speech + music, rng)


def deployed(context: Context, rng: np.random.Generator) -> Pair:
    """What the plugin will meet."""
    if rng.random() < PLAIN_SHARE:
        return plain(context, rng)
    kind = rng.random()
    zero = np.zeros(context.num_samples, np.float32)
    speech = zero if SPEECH_ONLY <= kind < SPEECH_ONLY + MUSIC_ONLY else dialogue(context, rng)
    music = zero if kind < SPEECH_ONLY else tune(context, rng) * 10 ** (music_gain_db(rng) / 20)
    if rng.random() < 0.15:
        music = music * augment.ducking_gain(speech, context.rate_hz, rng)
    mixture = speech + music
    if rng.random() < 0.1:
        # What acts on the whole programme acts on its parts alike.
        gain = augment.compression_gain(at_unit_rms(mixture), context.rate_hz, rng)
        music, mixture = music * gain, mixture * gain
    if context.rate_hz > 16_000 and rng.random() < NARROW_SHARE:
        high_hz = rng.choice([8_000, 11_000])
        music = augment.band_limited(music, context.rate_hz, 0, high_hz)
        mixture = augment.band_limited(mixture, context.rate_hz, 0, high_hz)
    return levelled(music, mixture, rng)


@dataclass(frozen=True)
class Recipe:
    """How pairs are mixed, and of which kinds of recordings."""

    mix: Callable[[Context, np.random.Generator], list[Pair]]
    kinds: tuple[str, ...] = ("speech", "music")
    num_pairs: int = 1
    """That `mix` gives at once: more where one mixture is asked for several things in turn."""


def alone(mix: Callable[[Context, np.random.Generator], Pair], context: Context, rng: np.random.Generator) -> list[Pair]:
    """One pair as all there is."""
    return [mix(context, rng)]

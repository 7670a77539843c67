"""What a model's file says it was trained on, and under what licence it is given.

The shipped corpus has one answer to both. Whoever trained on recordings of their own has another, which nobody but they know.
"""

import re

from ..corpus import debian, voices
from .contract import ExportError

LICENCE = "CC-BY-SA-3.0"
TRAINING_DATA = (
    "Debian packages: asterisk-core-sounds-{{fr,es,it}}-g722, ktuberling-data, hedgewars-data, wesnoth-1.16-music, "
    "warzone2100-music, supertuxkart-data, xmoto-data; flite, festival and espeak-ng voices; scores of "
    "openttd-openmsx and music21 and songs by rule, played with {soundfonts}{sung}. See models/README.md"
)
SHIPPED_SOURCES = {
    *(source.package for source in debian.SOURCES), *(voice.engine for voice in voices.VOICES), "openttd-openmsx", "music21",
}
BY_RULE = re.compile(r"(songs|ambience)/\d{3,4}(/(sung)?\d+/[a-z]+)?")
"""Names that a folder of the user's could begin with too, and what follows in the corpus' own."""
APART = re.compile(r".+/(sung)?\d+/[a-z]+|ambience/\d+")
"""Names of what `corpus --stems` makes."""
IN_SONG = re.compile(r".+/sung\d+/singing")
"""Of these, those that the speakers sing."""
THIRD_ARRANGEMENT = re.compile(r".+/2/[a-z]+")
"""Of these, those that csound's soundfont plays."""


def source_of(name: str) -> str | None:
    """The source of a track that is not the shipped corpus'; nothing of one that is."""
    source = name.split("/")[0]
    return None if source in SHIPPED_SOURCES or BY_RULE.fullmatch(name) else source


def provenance(heard: frozenset[str] | None, training_data: str | None, licence: str | None) -> tuple[str, str]:
    """Training data and licence, as given; or those of the shipped corpus, where a network heard nothing else."""
    if training_data and licence:
        return training_data, licence
    if not heard:
        raise ExportError(
            "the checkpoint does not say what it was trained on, so that its file cannot be given the shipped corpus' provenance: "
            "say on what, and under what licence it is given, by --training-data and --licence"
        )
    others = sorted(name for name in heard if source_of(name))
    if others:
        sources = sorted({str(source_of(name)) for name in others})
        raise ExportError(
            f"expected a network of the shipped corpus alone, got one that heard {len(others)} recordings of {', '.join(sources[:5])}, "
            f"{others[0]!r} among them: say what it was trained on, and under what licence it is given, by --training-data and --licence"
        )
    soundfonts = "FluidR3"
    if any(APART.fullmatch(name) for name in heard):
        third = any(THIRD_ARRANGEMENT.fullmatch(name) for name in heard)
        soundfonts = f"FluidR3, TimGM6mb{' and csound-soundfont' if third else ''}, and ambience by rule"
    sung = "; melodies sung with these voices by WORLD" if any(IN_SONG.fullmatch(name) for name in heard) else ""
    return training_data or TRAINING_DATA.format(soundfonts=soundfonts, sung=sung), licence or LICENCE

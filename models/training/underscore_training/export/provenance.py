"""What a model's file says it was trained on, and under what licence it is given.

The shipped corpus has one answer to both. Whoever trained on recordings of their own has another, which nobody but they know.
"""

import re

from ..corpus import debian, voices
from .contract import ExportError

LICENCE = "CC-BY-SA-3.0"
SCORES = ("openttd-openmsx", "music21")
ASTERISK = re.compile(r"asterisk-core-sounds-(\w+)-g722")
SHIPPED_SOURCES = {
    *(source.package for source in debian.SOURCES), *(voice.engine for voice in voices.VOICES), *SCORES,
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


def listed(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def packages(sources: set[str]) -> str:
    """The packages of recordings among the sources; of one in many languages these are told together."""
    found = [package for package in dict.fromkeys(source.package for source in debian.SOURCES) if package in sources]
    languages = [match[1] for match in map(ASTERISK.fullmatch, found) if match]
    others = [package for package in found if not ASTERISK.fullmatch(package)]
    told = [f"asterisk-core-sounds-{{{','.join(languages)}}}-g722"] if languages else []
    return f"Debian packages: {', '.join([*told, *others])}" if found else ""


def played(heard: frozenset[str], sources: set[str]) -> str:
    """The scores, and what they were played with."""
    scores = [*(name for name in SCORES if name in sources), *(["songs by rule"] if "songs" in sources else [])]
    ambience = "ambience by rule" if "ambience" in sources else ""
    if not scores:
        return ambience
    soundfonts = "FluidR3"
    if any(APART.fullmatch(name) for name in heard):
        third = any(THIRD_ARRANGEMENT.fullmatch(name) for name in heard)
        soundfonts = f"FluidR3, TimGM6mb{' and csound-soundfont' if third else ''}"
    return f"scores of {' and '.join(scores)}, played with {', and '.join(part for part in (soundfonts, ambience) if part)}"


def training_data_of(heard: frozenset[str]) -> str:
    """What of the shipped corpus a network heard, from the names of the tracks."""
    sources = {name.split("/")[0] for name in heard}
    engines = [engine for engine in dict.fromkeys(voice.engine for voice in voices.VOICES) if engine in sources]
    sung = "melodies sung with these voices by WORLD" if any(IN_SONG.fullmatch(name) for name in heard) else ""
    told = (packages(sources), f"{listed(engines)} voices" if engines else "", played(heard, sources), sung)
    return f"{'; '.join(part for part in told if part)}. See models/README.md"


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
    return training_data or training_data_of(heard), licence or LICENCE

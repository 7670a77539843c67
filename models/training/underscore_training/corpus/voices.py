"""Synthetic voices of flite, festival and espeak-ng, reading words composed by rule.

They add speakers where recorded ones are few. The words are made of syllables: what
matters is that every sound of a voice is heard in many neighbourhoods.
"""

import random
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .decode import decode, joined_speech
from .errors import CorpusError
from .track import Split, Track, fingerprint

NUM_PARAGRAPHS = 12
WEIGHT = 0.35
"""Machines speak more evenly than people; they are drawn less often."""

ENGLISH = (
    "the captain|my sister|an old farmer|our neighbour|the driver|a young doctor|nobody|the whole village",
    "remembers|has forgotten|is looking for|would rather sell|cannot find|wants to paint|talks about|carried",
    "the yellow house|three heavy boxes|a very strange letter|the river|some fresh bread|the last train|his shoes",
    "before breakfast|near the harbour|without asking why|again and again|this week|at a quarter past {}|for {} days",
)
LATIN = ("b d f g k l m n p r s t v", "a e i o u")
CYRILLIC = ("б в г д ж з к л м н п р с т ф х ц ч ш", "а е и о у ы я")


@dataclass(frozen=True)
class Voice:
    """A synthesiser's voice; `script` says which letters it reads."""

    engine: str
    voice: str
    script: str
    encoding: str
    split: Split
    licence: str


def _festival(voice: str, script: str, encoding: str, licence: str, split: Split = "train") -> Voice:
    return Voice("festival", f"voice_{voice}", script, encoding, split, licence)


VOICES: tuple[Voice, ...] = (
    *(Voice("flite", voice, "english", "ascii", "train", "Carnegie Mellon's, free") for voice in ("awb", "rms", "slt", "kal16")),
    _festival("ked_diphone", "english", "latin-1", "Edinburgh's, free"),
    _festival("lp_diphone", "latin", "latin-1", "GPL"),
    _festival("pc_diphone", "latin", "latin-1", "GPL"),
    _festival("czech_dita", "latin", "iso-8859-2", "GPL-3"),
    _festival("czech_krb", "latin", "iso-8859-2", "GPL-3"),
    _festival("czech_machac", "latin", "iso-8859-2", "GPL-3", "valid"),
    _festival("czech_ph", "latin", "iso-8859-2", "GPL-3"),
    _festival("upc_ca_ona_hts", "latin", "latin-1", "LGPL-2.1+"),
    _festival("hy_fi_mv_diphone", "latin", "latin-1", "LGPL-2"),
    _festival("suo_fi_lj_diphone", "latin", "latin-1", "LGPL-2"),
    _festival("msu_ru_nsh_clunits", "cyrillic", "utf-8", "BSD-like"),
    *(
        Voice("espeak-ng", voice, "latin", "utf-8", "train", "GPL-3+")
        for voice in (
            "en-us+m3", "en-gb+f2", "fr+f4", "de+m7", "es+f1", "it+m1", "pl+f3", "pt+m5", "sv+f2", "nl+m6",
            "tr+f5", "id+m2", "fi+f3", "hu+m4", "ro+f1", "cs+m8", "da+klatt2", "sw+klatt4",
        )
    ),
)


def syllables(rng: random.Random, consonants: str, vowels: str) -> str:
    """A word of one to four syllables, some closed."""
    word = ""
    for _ in range(rng.choice((1, 2, 2, 3, 3, 4))):
        word += rng.choice([*consonants.split(), ""]) + rng.choice(vowels.split())
        if rng.random() < 0.25:
            word += rng.choice(("n", "s", "r", "l") if consonants is LATIN[0] else ("н", "с", "р", "л"))
    return word


def sentence(script: str, rng: random.Random) -> str:
    """A sentence that the voice can read."""
    if script == "english":
        words = [rng.choice(part.split("|")) for part in ENGLISH]
        return " ".join(words).format(rng.randint(2, 59)) + rng.choice(".?!")
    letters = CYRILLIC if script == "cyrillic" else LATIN
    words = [syllables(rng, *letters) for _ in range(rng.randint(4, 11))]
    if len(words) > 7:
        words[3] += ","
    return " ".join(words).capitalize() + rng.choice(".?!")


def command(voice: Voice, text: Path, sound: Path, rng: random.Random) -> list[str]:
    """What makes the voice read `text` into `sound`, at a tempo and pitch of its own."""
    if voice.engine == "flite":
        stretch = f"duration_stretch={rng.uniform(0.8, 1.2):.2f}"
        return ["flite", "-voice", voice.voice, "--setf", stretch, "-f", str(text), "-o", str(sound)]
    if voice.engine == "festival":
        return ["text2wave", "-eval", f"({voice.voice})", str(text), "-o", str(sound)]
    tempo, pitch = str(rng.randint(130, 190)), str(rng.randint(30, 70))
    return ["espeak-ng", "-v", voice.voice, "-s", tempo, "-p", pitch, "-f", str(text), "-w", str(sound)]


def spoken(voice: Voice, seed: str) -> np.ndarray:
    """Paragraphs read by the voice, joined; float32 `[sample]` at 48 kHz."""
    rng = random.Random(seed)
    paragraphs = []
    with tempfile.TemporaryDirectory() as folder:
        text, sound = Path(folder, "text.txt"), Path(folder, "sound.wav")
        for _ in range(NUM_PARAGRAPHS):
            words = " ".join(sentence(voice.script, rng) for _ in range(5))
            text.write_bytes(words.encode(voice.encoding))
            try:
                subprocess.run(command(voice, text, sound, rng), capture_output=True, check=True)
                paragraphs.append(decode(sound))
            except (FileNotFoundError, subprocess.CalledProcessError) as error:
                raise CorpusError(
                    f"the voice {voice.engine}/{voice.voice} does not speak: apt install flite festival espeak-ng "
                    "and the festvox packages that the README lists, or pass --no-voices"
                ) from error
    return joined_speech(paragraphs, rng)


def tracks(seed: int) -> Iterator[Track]:
    """Every synthetic voice."""
    for voice in VOICES:
        name = f"{voice.engine}/{voice.voice}"
        yield Track(
            name, voice.engine, "speech", voice.split, voice.licence, WEIGHT,
            fingerprint(name, seed, NUM_PARAGRAPHS), partial(spoken, voice, f"{seed}/{name}"),
        )

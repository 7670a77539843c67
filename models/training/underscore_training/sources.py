"""What the corpus is made of: Debian packages, their licences, speakers and pieces.

Nothing outside this list is trained on. Other recordings stay available to measure with.
"""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One Debian package and where its recordings lie once it is unpacked."""

    package: str
    folder: str
    pattern: str
    kind: str
    """`speech` or `music`."""
    group_depth: int
    """Speech only: path components below `folder` that name the speaker; 0 means one speaker."""
    licence: str


SOURCES: tuple[Source, ...] = (
    *(
        Source(
            f"asterisk-core-sounds-{language}-g722",
            f"usr/share/asterisk/sounds/{voice}",
            "**/*.g722",
            "speech",
            0,
            licence,
        )
        for language, voice, licence in (
            ("fr", "fr_CA_f_June", "CC-BY-SA-3.0"),
            ("es", "es_MX_f_Allison", "CC-BY-SA-3.0"),
            ("it", "it_IT_m_Carlo", "CC-BY-3.0"),
            ("ru", "ru_RU_f_IvrvoiceRU", "CC-BY-3.0"),
        )
    ),
    Source("ktuberling-data", "usr/share/ktuberling/sounds", "*/*", "speech", 1, "GPL-2+"),
    Source("hedgewars-data", "usr/share/games/hedgewars/Data/Sounds/voices", "*/*.ogg", "speech", 1, "GFDL-1.3"),
    Source("wesnoth-1.16-music", "usr/share/games/wesnoth/1.16/data/core/music", "*.ogg", "music", 0, "GPL-2+"),
    Source(
        "warzone2100-music",
        "usr/share/games/warzone2100/music",
        "**/*.op[ug]*",
        "music",
        0,
        "CC-BY-SA-3.0+ or GPL-2+",
    ),
    Source("hedgewars-data", "usr/share/games/hedgewars/Data/Music", "*.ogg", "music", 0, "GPL-2"),
    Source("supertuxkart-data", "usr/share/games/supertuxkart/data/music", "*.ogg", "music", 0, "CC-BY-SA-3.0, some 4.0 or GPL"),
    Source("xmoto-data", "usr/share/games/xmoto/Textures/Musics", "*.ogg", "music", 0, "GPL-2+"),
)

AUDIO_SUFFIXES = {".g722", ".ogg", ".opus", ".wav", ".mp3", ".flac"}

EXCLUDED_SPEAKERS = {"hedgewars-data/Robot", "hedgewars-data/Singer"}
"""A vocoder and a singer: neither is dialogue."""

TEST_SPEAKERS = {
    "asterisk-core-sounds-ru-g722",
    "ktuberling-data/ru",
    "ktuberling-data/uk",
    "ktuberling-data/da",
    "hedgewars-data/Pirate",
}
VALID_SPEAKERS = {"ktuberling-data/de", "ktuberling-data/ca", "hedgewars-data/Mobster"}

SILENT_NAME = "silence"
"""Recordings of silence, a folder of the prompts and a piece: nothing to learn."""


def speaker_of(source: Source, path: Path) -> str:
    """The speaker of a speech file, `path` relative to the source's folder.

    The four Serbian folders of one package hold one voice in different spellings.
    """
    if source.group_depth == 0:
        return source.package
    name = path.parts[0].split("@")[0]
    return f"{source.package}/{name}"


_VARIANT = re.compile(r"([-_ ](fast|slow|intro|loop|short|long|normal|end|old|enhanced|sd|f|\d{1,2}))+$", re.IGNORECASE)


def piece_of(source: Source, path: Path) -> str:
    """The piece of a music file; variants of one composition count as one piece."""
    stem = _VARIANT.sub("", path.stem.lower())
    return f"{source.package}/{stem}"

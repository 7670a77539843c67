"""The shipped corpus: recordings inside Debian packages, their licences, speakers and pieces.

Nothing outside this list, `voices` and `scores` is trained on. Other recordings stay
available to measure with.
"""

import random
import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .decode import AUDIO_SUFFIXES, PIECE_LIMIT_S, SPEAKER_LIMIT_S, Undecodable, decode, joined_speech
from .errors import CorpusError
from .track import TRACK_RATE_HZ, Split, Track, drawn_split, file_fingerprint


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

SINGER = "hedgewars-data/Singer"
"""The one voice of the sources that sings: kept to measure with. Probably that of a performer whom training hears, see `TEST_SPEAKERS`."""
EXCLUDED_SPEAKERS = {"hedgewars-data/Robot", SINGER}
"""A vocoder and a singer: neither is dialogue."""
EXCLUDED_FILES = {"tt-monkeys", "tt-weasels", "tt-somethingwrong", "tt-allbusy-monkeys"}
"""Prompts that are no speech or hold more than speech: screaming monkeys, effects."""
SILENT_NAME = "silence"
"""Recordings of silence, a folder of the prompts and a piece: nothing to learn."""

NUM_DECODED_AT_ONCE = 2
"""Files of one speaker."""

# Speakers are few, so the held-out ones are named. Upstream's credits of Hedgewars name one performer for its voices: Pirate, and Mobster in
# validation, are probably a voice that training hears as British, Classic, Default, HillBilly, Russian and Surfer. They stay where they are,
# because shipped checkpoints name what they heard, and their scores were taken in these splits.
TEST_SPEAKERS = {
    "asterisk-core-sounds-ru-g722",
    "ktuberling-data/ru",
    "ktuberling-data/uk",
    "ktuberling-data/da",
    "hedgewars-data/Pirate",
}
VALID_SPEAKERS = {"ktuberling-data/de", "ktuberling-data/ca", "hedgewars-data/Mobster"}

_VARIANT = re.compile(r"([-_ ](fast|slow|intro|loop|short|long|normal|end|old|enhanced|sd|f|\d{1,2}))+$", re.IGNORECASE)


def speaker_of(source: Source, path: Path) -> str:
    """The speaker of a speech file, `path` relative to the source's folder.

    The four Serbian folders of one package hold one voice in different spellings.
    """
    if source.group_depth == 0:
        return source.package
    name = path.parts[0].split("@")[0]
    return f"{source.package}/{name}"


def piece_of(source: Source, path: Path) -> str:
    """The piece of a music file; variants of one composition count as one piece."""
    stem = _VARIANT.sub("", path.stem.lower())
    return f"{source.package}/{stem}"


def split_of_speaker(speaker: str) -> Split:
    if speaker in TEST_SPEAKERS:
        return "test"
    return "valid" if speaker in VALID_SPEAKERS else "train"


def find_files(source: Source, packages: Path) -> list[Path]:
    """The recordings of a source, sorted."""
    folder = packages / source.package / source.folder
    if not folder.is_dir():
        raise CorpusError(
            f"{folder} is missing: unpack the package there with\n"
            f"  apt-get download {source.package} && dpkg -x {source.package}_*.deb {packages / source.package}"
        )
    paths = [
        path
        for path in sorted(folder.glob(source.pattern))
        if path.suffix in AUDIO_SUFFIXES
        and SILENT_NAME not in (path.parent.name, path.stem)
        and path.stem not in EXCLUDED_FILES
    ]
    if not paths:
        raise CorpusError(f"no audio files match {source.pattern} in {folder}")
    return paths


def speech_from(paths: list[Path], seed: str) -> np.ndarray:
    """All files of a speaker joined; files that cannot be used are left out and named.

    Of a speaker who speaks for longer than `SPEAKER_LIMIT_S`, files in a random order until there is as much.
    """
    limit_samples = round(SPEAKER_LIMIT_S * TRACK_RATE_HZ)

    def attempt(path: Path) -> np.ndarray | None:
        try:
            return decode(path, SPEAKER_LIMIT_S)
        except Undecodable as error:
            print(f"left out: {error}")
            return None

    # A draw of its own: whoever is short enough sounds as if there were no limit.
    order = random.Random(f"{seed}/order").sample(range(len(paths)), len(paths))
    found: dict[int, np.ndarray] = {}
    num_samples = num_tried = 0
    with ThreadPoolExecutor(NUM_DECODED_AT_ONCE) as pool:
        # A few at a time: what a pool is given at once it decodes, whether it is still wanted or not.
        while num_tried < len(order) and num_samples < limit_samples:
            places = order[num_tried : num_tried + NUM_DECODED_AT_ONCE]
            num_tried += len(places)
            for place, signal in zip(places, pool.map(attempt, [paths[place] for place in places])):
                if signal is not None and num_samples < limit_samples:
                    found[place] = signal[: limit_samples - num_samples]
                    num_samples += found[place].size
    if num_samples >= limit_samples:
        print(f"{paths[0].parent}: {SPEAKER_LIMIT_S:.0f} s of a speaker are taken, of {len(found)} of {len(paths)} files")
    return joined_speech([found[place] for place in sorted(found)], random.Random(seed))


def speakers(
    packages: Path, listed: tuple[Source, ...] = SOURCES, excluded: Collection[str] = EXCLUDED_SPEAKERS
) -> dict[str, tuple[Source, list[Path]]]:
    """Recordings of every speaker of the unpacked packages, by name."""
    found: dict[str, tuple[Source, list[Path]]] = {}
    for source in listed:
        if source.kind == "speech":
            for path in find_files(source, packages):
                speaker = speaker_of(source, path.relative_to(packages / source.package / source.folder))
                if speaker not in excluded:
                    found.setdefault(speaker, (source, []))[1].append(path)
    return dict(sorted(found.items()))


def tracks(packages: Path, seed: int, listed: tuple[Source, ...] = SOURCES) -> Iterator[Track]:
    """Every speaker and piece of the unpacked packages."""
    for source in listed:
        if source.kind == "music":
            for path in find_files(source, packages):
                piece = piece_of(source, path)
                yield Track(
                    f"{source.package}/{path.relative_to(packages / source.package / source.folder)}", source.package, "music",
                    drawn_split(piece, seed), source.licence, 1.0, file_fingerprint([path]), partial(decode, path, PIECE_LIMIT_S), piece,
                )
    for speaker, (source, paths) in speakers(packages, listed).items():
        yield Track(
            speaker, source.package, "speech", split_of_speaker(speaker), source.licence, 1.0,
            file_fingerprint(paths), partial(speech_from, paths, f"{seed}/{speaker}"),
        )

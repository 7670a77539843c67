"""What is heard of two sounds of a song on the way from asking for the one to asking for the other."""

import numpy as np
import torch

from ..mixtures import examples
from ..nets.asked import AskedCRN
from ..nets.sphere import between
from .forked import each
from .metrics import energy, level_db
from .songs import Song, spread

NUM_STEPS = 11
NUM_WAYS = 20
RIPPLE_DB = 1.0


def ripple_db(levels_db: np.ndarray) -> float:
    """By how much levels `[step]` miss being monotone: the most that they rise above an earlier one, or fall below one, whichever is less."""
    rise = (levels_db - np.minimum.accumulate(levels_db)).max()
    fall = (np.maximum.accumulate(levels_db) - levels_db).max()
    return float(min(rise, fall))


def wrong_way_db(levels_db: np.ndarray) -> float:
    """By how much more is heard of either sound where the other one is asked for than where it is, `[sound, step]`; 0 where both go the way they
    are to. A network that takes one for the other does so at the ends, however evenly it goes from one to the other."""
    falling, rising = levels_db
    return float(max(falling[-1] - falling[0], rising[0] - rising[-1], 0.0))


def ways(
    net: AskedCRN, found: list[Song], means: dict[str, torch.Tensor], most: int, by_own: bool = False, num_jobs: int = 1
) -> list[dict]:
    """A row per song: how much is heard of its two loudest classes, dB of their own energy, at `NUM_STEPS` points from one's mean to the other's, or
    `by_own` examples; by how much either's level misses being monotone, and goes the wrong way; and by how much the levels would miss it if what is
    found at one end were faded into what is found at the other."""

    def of_song(song: Song) -> dict | None:
        kinds = sorted((kind for kind in song.parts if kind in means), key=lambda kind: -energy(song.parts[kind]))[:2]
        if len(kinds) < 2:
            return None
        ends = [examples.embedding(net, song.parts[kind]) if by_own else means[kind] for kind in kinds]
        mixture = torch.from_numpy(song.mixture)[None]
        sounds = np.stack([song.parts[kind] for kind in kinds])
        shares = np.linspace(0, 1, NUM_STEPS)
        with torch.no_grad():
            heard = [net.let_through(mixture, torch.from_numpy(sounds), between(*ends, float(share))[None]).numpy() for share in shares]
        faded = [(1 - share) * heard[0] + share * heard[-1] for share in shares]
        # `[sound, step]`
        levels_db, of_faded_db = (np.array([[level_db(*pair) for pair in zip(sounds, step)] for step in steps]).T for steps in (heard, faded))
        return {
            "song": song.name, "classes": kinds, "levels_db": levels_db.tolist(), "wrong_way_db": wrong_way_db(levels_db),
            "ripple_db": max(map(ripple_db, levels_db)), "faded_ripple_db": max(map(ripple_db, of_faded_db)),
        }

    return [row for row in each(of_song, spread(found, most), num_jobs, "ways") if row is not None]


def ways_told(rows: list[dict], ends: str) -> str:
    ripples, wrong = ([row[name] for row in rows] for name in ("ripple_db", "wrong_way_db"))
    return (
        f"Between {ends}, {len(rows)} songs: {sum(ripple <= RIPPLE_DB for ripple in ripples)} monotone within {RIPPLE_DB:.0f} dB, "
        f"median ripple {np.median(ripples):.2f} dB, largest {max(ripples):.2f} dB ({max(row['faded_ripple_db'] for row in rows):.2f} dB if what is found "
        f"at the ends were faded); more of a sound where the other one is asked for in {sum(by > RIPPLE_DB for by in wrong)}, by {max(wrong):.2f} dB at most"
    )

"""Make every track that is not there yet."""

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tqdm import tqdm

from . import store
from .decode import Undecodable
from .errors import CorpusError
from .track import SPLITS, TRACK_RATE_HZ, Track

SHORTEST_S = 3.0
"""A speaker or piece with less sound is not worth a place in a split."""

AHEAD_S = 2 * 3600.0
"""Of sound that is made and not stored yet: beyond that nothing further is begun, so that many processors do not fill the memory."""


@dataclass(frozen=True)
class Built:
    """What a build did not store, and what it found of earlier ones."""

    left_out: list[str]
    """Named and not usable, each with its reason."""
    kept: list[str]
    """Stored tracks that were not named and stay, by their paths in the corpus."""
    removed: list[str]
    """The same where the build was to prune."""


def build(corpus: Path, tracks: Iterable[Track], prune: bool = False) -> Built:
    """Store all tracks; what is there already is left alone.

    Tracks of the listed kinds that the list does not name are kept: they may have taken hours, and another list is no word
    about them. With `prune` they are removed, so that the folder is what the command says.
    """
    listed = list(tracks)
    names = [track.name for track in listed]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise CorpusError(f"two recordings have one name: {', '.join(twice[:5])}; rename a folder or file")
    if not prune:
        _require_same_splits(corpus, listed)
    left_out = []
    wanted = set()
    for track, made in tqdm(_made_ahead(corpus, listed), total=len(listed), desc="tracks", file=sys.stderr):
        note = store.track_folder(corpus, track.split, track.kind) / f"{store.slug(track.name)}.json"
        if made is None:
            wanted.add(note)
            continue
        try:
            signal = made.result()
        except Undecodable as error:
            left_out.append(str(error))
            continue
        if signal.size < SHORTEST_S * TRACK_RATE_HZ:
            left_out.append(f"{track.name}: {signal.size / TRACK_RATE_HZ:.1f} s of sound, {SHORTEST_S:.0f} s are needed")
            continue
        store.write_track(corpus, track, signal)
        wanted.add(note)
    if not wanted:
        # Before anything is removed: a wrong folder must not cost the corpus that is there.
        reasons = "\n  ".join(left_out[:10])
        raise CorpusError(f"no usable recording at all:\n  {reasons}")
    kinds = {track.kind for track in listed}
    others = sorted(note for note in (corpus / "tracks").glob("*/*/*.json") if note not in wanted and note.parent.name in kinds)
    if prune:
        for note in others:
            store.remove_track(corpus, note)
    told = [str(note.relative_to(corpus)) for note in others]
    return Built(left_out, [] if prune else told, told if prune else [])


def _require_same_splits(corpus: Path, listed: list[Track]) -> None:
    """Refuse to put a piece or speaker into one split while the corpus has it, and keeps it, in another."""
    split_of = {track.group or track.name: track.split for track in listed}
    for kind in {track.kind for track in listed}:
        for split in SPLITS:
            for row in store.rows(corpus, split, kind):
                now = split_of.get(row.group or row.name, split)
                if now != split:
                    raise CorpusError(
                        f"{row.name} is stored in {corpus} as {split}, and this command puts it into {now}: give the --seed that the "
                        "corpus was built with, another --out, or --prune, which removes all that this command does not name"
                    )


def _made_ahead(corpus: Path, listed: list[Track]) -> Iterator[tuple[Track, Future[np.ndarray] | None]]:
    """Each track and its sound, none where it is stored already; what makes sounds are other programs, so some run at once."""
    num_threads = os.cpu_count() or 1
    with ThreadPoolExecutor(num_threads) as pool:
        ahead: deque[tuple[Track, Future[np.ndarray] | None]] = deque()
        try:
            for track in listed:
                ahead.append((track, None if store.refresh(corpus, track) else pool.submit(track.make)))
                while ahead and (_is_ready(ahead[0]) or len(ahead) > 2 * num_threads or _made_s(ahead) > AHEAD_S):
                    yield ahead.popleft()
                # None waits its turn in the pool, where it would be made however much is made already.
                being_made = [future for _, future in ahead if future is not None and not future.done()]
                if len(being_made) >= num_threads:
                    wait(being_made, return_when=FIRST_COMPLETED)
            while ahead:
                yield ahead.popleft()
        finally:
            for _, made in ahead:
                if made is not None:
                    made.cancel()


def _is_ready(first: tuple[Track, Future[np.ndarray] | None]) -> bool:
    _, made = first
    return made is None or made.done()


def _made_s(ahead: Iterable[tuple[Track, Future[np.ndarray] | None]]) -> float:
    """Seconds of sound that wait to be stored."""
    made = [future for _, future in ahead if future is not None and future.done() and future.exception() is None]
    return sum(future.result().size for future in made) / TRACK_RATE_HZ

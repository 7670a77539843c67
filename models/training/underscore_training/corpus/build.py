"""Make every track that is not there yet."""

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tqdm import tqdm

from . import store
from .decode import Undecodable
from .errors import CorpusError
from .track import TRACK_RATE_HZ, Track

SHORTEST_S = 3.0
"""A speaker or piece with less sound is not worth a place in a split."""


def build(corpus: Path, tracks: Iterable[Track]) -> list[str]:
    """Store all tracks; what is there already is left alone. Returns what was left out, and why.

    A track of a listed kind that the list no longer has is removed, so that the folder is what the command says.
    """
    listed = list(tracks)
    names = [track.name for track in listed]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise CorpusError(f"two recordings have one name: {', '.join(twice[:5])}; rename a folder or file")
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
    for note in (corpus / "tracks").glob("*/*/*.json"):
        if note not in wanted and note.parent.name in kinds:
            left_out.append(f"{note.relative_to(corpus)}: no longer asked for, removed")
            note.unlink()
            note.with_suffix(".opus").unlink(missing_ok=True)
    return left_out


def _made_ahead(corpus: Path, listed: list[Track]) -> Iterator[tuple[Track, Future[np.ndarray] | None]]:
    """Each track and its sound, none where it is stored already; what makes sounds are other programs, so some run at once."""
    num_threads = os.cpu_count() or 1
    with ThreadPoolExecutor(num_threads) as pool:
        ahead: deque[tuple[Track, Future[np.ndarray] | None]] = deque()
        try:
            for track in listed:
                ahead.append((track, None if store.refresh(corpus, track) else pool.submit(track.make)))
                if len(ahead) > 2 * num_threads:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            for _, made in ahead:
                if made is not None:
                    made.cancel()

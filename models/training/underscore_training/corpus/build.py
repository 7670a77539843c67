"""Make every track that is not there yet."""

import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from . import store
from .decode import Undecodable
from .errors import CorpusError
from .track import TRACK_RATE_HZ, Track

SHORTEST_S = 3.0
"""A speaker or piece with less sound is not worth a place in a split."""


def build(corpus: Path, tracks: Iterable[Track]) -> list[str]:
    """Store all tracks; what is there already is left alone. Returns what was left out, and why.

    A track that the list no longer has is removed, so that the folder is what the command says.
    """
    listed = list(tracks)
    names = [track.name for track in listed]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise CorpusError(f"two recordings have one name: {', '.join(twice[:5])}; rename a folder or file")
    left_out = []
    wanted = set()
    for track in tqdm(listed, desc="tracks", file=sys.stderr):
        note = store.track_folder(corpus, track.split, track.kind) / f"{store.slug(track.name)}.json"
        if store.refresh(corpus, track):
            wanted.add(note)
            continue
        try:
            signal = track.make()
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
    for note in (corpus / "tracks").glob("*/*/*.json"):
        if note not in wanted:
            left_out.append(f"{note.relative_to(corpus)}: no longer asked for, removed")
            note.unlink()
            note.with_suffix(".opus").unlink(missing_ok=True)
    return left_out

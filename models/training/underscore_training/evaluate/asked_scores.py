"""What a network finds of each sound of a song, by kind of query; of one that does not play, and of one that is all there is."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np
import torch

from ..mixtures import examples
from ..mixtures.shelf import Shelf
from ..nets.asked import AskedCRN
from . import query_protocols as protocols
from .forked import each
from .metrics import level_db, sdr_db
from .songs import SEED, Song

NUM_RANDOM = 4
"""Recordings that are drawn as random queries of a sound: by one alone the mean over a class swings by half a decibel and more."""


@torch.no_grad()
def sdr_and_level_db(net: AskedCRN, mixture: np.ndarray, part: np.ndarray, embedding: torch.Tensor) -> tuple[float, float]:
    """How clean a part is in what is found, and how loud: what else is in it counts for the one and not for the other."""
    both = torch.from_numpy(np.stack([mixture, part]))
    found, of_part = net.let_through(both[:1], both, embedding[None]).numpy()
    return sdr_db(part, found), level_db(part, of_part)


def scores(
    net: AskedCRN, found: list[Song], by_class: dict[str, Shelf], means: dict[str, torch.Tensor], kinds: Collection[str] | None = None,
    fine: Mapping[str, dict[str, torch.Tensor]] = MappingProxyType({}), num_jobs: int = 1,
) -> list[dict]:
    """A row per song and class, of `kinds` or of all: SDR in dB by kind of query, and under `random` that of each random one with its distance from the own.
    `fine`: means by class and fine label, by which what has such a label is asked for, too."""
    in_one_window = net.in_one_window()

    def of_song(song: Song) -> list[dict]:
        mixture, rows = song.mixture, []
        for kind, part in song.parts.items():
            if kinds is not None and kind not in kinds:
                continue
            row = {"song": song.name, "group": song.group, "class": kind, "mixture": sdr_db(part, mixture)}
            # What is drawn for a sound does not depend on the other songs and sounds.
            rng = np.random.default_rng([SEED, *f"{song.name} {kind}".encode()])
            own = examples.embedding(net, part)
            row["GQ"], row["level by GQ"] = sdr_and_level_db(net, mixture, part, own)
            row["GQ in one window"] = sdr_db(part, protocols.separated(in_one_window, mixture, own))
            others = [other for other in by_class[kind].recordings if other.piece != song.pieces[kind]]
            for place in rng.choice(len(others), min(NUM_RANDOM, len(others)), replace=False) if others else ():
                random = examples.embedding(net, others[place].samples.astype(np.float32) / 32768)
                distance = 1.0 - float(torch.nn.functional.cosine_similarity(own, random, dim=0))
                found_by_random = protocols.separated(net, mixture, random)
                row.setdefault("random", []).append({"cosine distance": distance, "SDR": sdr_db(part, found_by_random)})
                if "RQ again" not in row:
                    row["RQ again"] = sdr_db(part, protocols.separated(net, mixture, examples.embedding(net, found_by_random)))
            if "random" in row:
                row["RQ"] = float(np.mean([query["SDR"] for query in row["random"]]))
            if kind in means:
                row["mean"], row["level by mean"] = sdr_and_level_db(net, mixture, part, means[kind])
                label = song.fine.get(kind, "")
                if label in fine.get(kind, {}):
                    row["fine label"], row["fine mean"] = label, sdr_db(part, protocols.separated(net, mixture, fine[kind][label]))
            rows.append(row)
        return rows

    return [row for rows in each(of_song, found, num_jobs, "songs") for row in rows]


def absent(net: AskedCRN, found: list[Song], means: dict[str, torch.Tensor], num_jobs: int = 1) -> list[float]:
    """What a class leads to that does not play: level of the estimate against the mixture, dB, one class per song."""

    def level(song: Song) -> float | None:
        others = sorted(means.keys() - song.parts.keys())
        if not others:
            return None
        kind = others[np.random.default_rng([SEED, *song.name.encode()]).integers(len(others))]
        mixture = song.mixture
        heard = protocols.separated(net, mixture, means[kind])
        return level_db(mixture, heard)

    return [told for told in each(level, found, num_jobs, "absent") if told is not None]


def alone(net: AskedCRN, found: list[Song], means: dict[str, torch.Tensor], num_jobs: int = 1) -> list[tuple[float, float]]:
    """What is left of a class that is asked for where nothing else plays: SDR and level, dB, one class per song."""

    def kept(song: Song) -> tuple[float, float] | None:
        kinds = sorted(means.keys() & song.parts.keys())
        if not kinds:
            return None
        kind = kinds[np.random.default_rng([SEED, *song.name.encode()]).integers(len(kinds))]
        part = song.parts[kind]
        return sdr_and_level_db(net, part, part, means[kind])

    return [told for told in each(kept, found, num_jobs, "alone") if told is not None]

"""How well a network finds what it is asked for: test songs, by the protocols of Lee, Choi and Lee (ISMIR 2019).

A song is a test score in one arrangement, played by a soundfont that was never trained on (much of which was, under
another name: see `corpus.stems`), and in others by instruments that share no sample with the training's: 10 s
of its parts at gains of their own, and a voice over them. Each class in it is asked for in turn

- by the mean of its training examples (`mean`),
- by the loudest 3 s of itself (`GQ`, the ground truth as query),
- by other songs' recordings of its class (`RQ`, random queries, of which the mean is told), and by the estimate that the first of these
  led to (`RQ again`),
- by the mean of the training examples with its own fine label, where it has one (`fine mean`).

Printed is the SDR, and by how much it is above that of the unprocessed mixture, with 95 % intervals
over scores, how loud what was asked for is in what was found, which SDR hardly tells, and what the stream loses to a network that knows the whole clip's statistics; then the same of the pieces of a drum kit, in songs whose kit comes apart,
and of the singer, in songs that are sung. Then what lies between two sounds: how much is heard of
either on the way from one class' mean to the other's along the sphere, and from one sound's own example to the other's, by how much that misses being
monotone, and whether it goes the right way; what is found of a class that does not play, and of one that is all there is; and what `query_protocols` has: one of two of a class,
coarse means against fine ones, what a query loses by its distance, and neighbours in the space; voices over recorded pieces.

How loud and how clean what is found is hang together: networks are to be compared at one level, to which `--raised` brings them.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path

import torch

from ..corpus import debian
from ..corpus.errors import CorpusError
from ..corpus.stems import CLASSES, DRUM_PIECES, FINE, PATCHED, SINGING, SUNG, UNHEARD
from ..export import contract
from ..export.file import listens_alike
from ..export.space import Space
from ..mixtures import examples
from ..mixtures.asked import ASKED_FOR, RECORDED, VOICE
from ..mixtures.shelf import Recording, Shelf
from ..nets.asked import AskedCRN
from ..options import whole
from ..train.checkpoint import CheckpointError, LoadedNetwork, load_network
from . import asked_told as told
from . import query_protocols as protocols
from .asked_scores import absent, alone, scores
from .errors import EvaluateError
from .files import check_writable_file, write_all
from .songs import Song, arrangements, chosen, shelves, songs, spread
from .ways import NUM_WAYS, ways, ways_told

NUM_KITS = 24
"""Songs that are scored with their kit apart."""
COMPARED = ("scores", "piece_scores", "patch_scores", "singing_scores")


Finding = tuple[str, list, Callable[[list], str]]
"""Name of a protocol, its rows for `--out`, and what is said of them where there are any."""


@dataclass(frozen=True)
class Asked:
    """A network, and of one split what it is asked for."""

    net: AskedCRN
    corpus: Path
    split: str
    num_songs: int
    """At most so many of each kind."""
    learnt: frozenset[str]
    """Pieces that it was trained on, some of them as wholes: no songs of theirs are made."""
    space: Space | None
    """Whose presets are the means of classes; else these are learnt from the corpus."""

    def _of(self, *kinds: str) -> dict[str, Shelf]:
        def is_new(recording: Recording) -> bool:
            return recording.piece not in self.learnt

        return chosen(shelves(self.corpus, self.split, self.net.sample_rate_hz, kinds), is_new)

    def _mean(self, kind: str) -> torch.Tensor:
        return self.space.preset_of(kind) if self.space else examples.class_mean(self.net, self.corpus, kind)

    @cached_property
    def every(self) -> dict[str, Shelf]:
        return self._of(VOICE, *CLASSES, SINGING)

    @cached_property
    def instruments(self) -> dict[str, Shelf]:
        return {kind: shelf for kind, shelf in self.every.items() if kind != SINGING}

    @cached_property
    def by_class(self) -> dict[str, Shelf]:
        return arrangements(self.instruments)

    @cached_property
    def by_patches(self) -> dict[str, Shelf]:
        return arrangements(self.instruments, PATCHED) | {kind: self.by_class[kind] for kind in (VOICE,) if kind in self.by_class}

    @cached_property
    def with_singer(self) -> dict[str, Shelf]:
        return arrangements(self.every, SUNG)

    @cached_property
    def pieces(self) -> dict[str, Shelf]:
        """Of drum kits."""
        return arrangements(self._of(*DRUM_PIECES))

    @cached_property
    def kits(self) -> dict[str, Shelf]:
        return {kind: shelf for kind, shelf in self.by_class.items() if kind != "drums"} | self.pieces

    @cached_property
    def means(self) -> dict[str, torch.Tensor]:
        return {kind: self._mean(kind) for kind in (VOICE, *CLASSES) if kind not in UNHEARD}

    @cached_property
    def means_of_pieces(self) -> dict[str, torch.Tensor]:
        return {kind: self._mean(kind) for kind in self.pieces}

    @cached_property
    def mean_of_singing(self) -> dict[str, torch.Tensor]:
        return {SINGING: self._mean(SINGING)} if SINGING in self.every else {}

    @cached_property
    def fine_means(self) -> dict[str, dict[str, torch.Tensor]]:
        if self.space:
            return {}
        return {kind: examples.fine_means(self.net, self.corpus, kind) for kind in FINE if kind in self.by_class}

    @cached_property
    def songs(self) -> list[Song]:
        return self._songs(self.by_class)

    def _songs(self, by_class: dict[str, Shelf], *kinds: str, most: int = sys.maxsize) -> list[Song]:
        """Those in which all of `kinds` play."""
        found = [song for song in songs(by_class, self.net.sample_rate_hz) if song.parts.keys() >= set(kinds)]
        return spread(found, min(self.num_songs, most))

    @property
    def songs_with_kits(self) -> list[Song]:
        return self._songs(self.kits, *self.pieces, most=NUM_KITS) if self.pieces else []

    @property
    def songs_by_patches(self) -> list[Song]:
        return self._songs(self.by_patches)

    @property
    def songs_with_singer(self) -> list[Song]:
        return self._songs(self.with_singer, SINGING)

    @cached_property
    def samples(self) -> list[protocols.Sample]:
        return protocols.samples(self.net, self.by_class)


def space_of(path: Path, net: AskedCRN) -> Space:
    """Of a model file that was made of the same weights."""
    try:
        space = Space.of_metadata(contract.load(path)[1])
    except (contract.ExportError, KeyError, TypeError) as error:
        raise EvaluateError(f"--space: expected the model file of a network that is asked ({error!r})") from error
    if not listens_alike(path, net):
        raise EvaluateError(f"--space {path}: it listens otherwise than the checkpoint, so that its presets lie elsewhere; leave it away")
    return space


def asked_of(loaded: LoadedNetwork, args: argparse.Namespace) -> Asked:
    net = loaded.net
    if not isinstance(net, AskedCRN):
        raise CheckpointError(f"{args.checkpoint} is no network that is asked: train one with system.name = \"asked\"")
    raise_logits(net, args.raised)
    heard = loaded.heard or frozenset()
    # A network may have begun with one that was trained on the same score as a whole piece, under its name without the class.
    learnt = frozenset(f"stems/{name}" for name in heard) if args.split != "train" else frozenset()
    asked = Asked(net, args.corpus, args.split, args.songs, learnt, space_of(args.space, net) if args.space else None)
    if args.split == "test":
        known = sorted({recording.name for shelf in asked.every.values() for recording in shelf.recordings} & heard)
        if known:
            raise CheckpointError(f"{args.checkpoint} was trained on {known[0]}, which is of the test split")
    if not asked.songs:
        raise EvaluateError(f"{args.corpus} has no songs in parts to be scored: run `corpus --stems` to its end")
    return asked


def findings(asked: Asked, num_pairs: int, num_jobs: int) -> Iterator[Finding]:
    """One protocol after the other."""
    net, means = asked.net, asked.means
    yield from _scores(asked, num_jobs)
    for name, ends, is_own in (("ways", "the means of two classes", False), ("own_ways", "two sounds' own examples", True)):
        yield name, ways(net, asked.songs, means, NUM_WAYS, is_own, num_jobs), partial(ways_told, ends=ends)
    yield "absent_db", absent(net, asked.songs, means, num_jobs), told.absent
    yield "alone", alone(net, asked.songs, means, num_jobs), told.alone
    yield "pulls", protocols.pulls(net, asked.by_class, num_pairs), told.pulls
    yield "coarse", protocols.coarse_against_fine(net, asked.by_class, means, num_pairs), told.coarse
    for kind in UNHEARD:
        # No network was asked for it in any split. It was heard as part of the music that it may have begun with.
        shelf = Shelf(asked.corpus, "train", kind, net.sample_rate_hz)
        others = {other: shelf for other, shelf in asked.by_class.items() if other not in UNHEARD}
        what = f"{kind}, never asked for in training, over two {asked.split} sounds"
        yield f"unheard_{kind}", protocols.unheard(net, shelf, others, 4 * num_pairs), partial(told.unheard, what=what)
    yield from _over_recordings(asked, 4 * num_pairs)
    yield "neighbours", list(protocols.neighbours_of_the_class(asked.samples).items()), told.neighbours


def _scores(asked: Asked, num_jobs: int) -> Iterator[Finding]:
    """By kind of query: of songs, of the pieces of kits, by new instruments, and of who sings; and what a query loses by its distance."""
    net = asked.net

    def said(first: str, then: Callable[[list], str] = lambda _: "") -> Callable[[list], str]:
        return lambda rows: f"{first}\n\n{told.scored(rows)}\n{then(rows)}"

    of = {"test": "", "valid": " of the validation's", "train": " of the training's"}[asked.split]
    rows = scores(net, asked.songs, asked.by_class, asked.means, fine=asked.fine_means, num_jobs=num_jobs)
    further = lambda rows: f"{told.by_source(rows)}\n{told.levels(rows)}\n{told.streamed(rows)}\n\n{told.fine(rows)}\n"
    yield "scores", rows, said(f"{len(asked.songs)} songs{of}, SDR in dB; in brackets above the mixture's", further)
    yield "distance", [asdict(protocols.distance_against_loss(rows))] if any("random" in row for row in rows) else [], told.distance
    found = asked.songs_with_kits
    rows = scores(net, found, asked.kits, asked.means_of_pieces, asked.pieces, num_jobs=num_jobs)
    yield "piece_scores", rows, said(f"Kits apart, {len(found)} songs")
    found = asked.songs_by_patches
    rows = scores(net, found, asked.by_patches, asked.means, num_jobs=num_jobs)
    yield "patch_scores", rows, said(f"By instruments that share no sample with the training's, {len(found)} songs")
    found = asked.songs_with_singer
    rows = scores(net, found, asked.with_singer, asked.mean_of_singing, [SINGING], num_jobs=num_jobs)
    never = "" if SINGING in ASKED_FOR[: net.named.out_features] else ", by a network that was never asked for singing"
    yield "singing_scores", rows, said(f"Sung, {len(found)} songs{never}", told.by_source)


def _over_recordings(asked: Asked, most: int) -> Iterator[Finding]:
    """Voices, and the one person who sings, over pieces as they were recorded."""
    pieces = shelves(asked.corpus, asked.split, asked.net.sample_rate_hz, [RECORDED]).get(RECORDED)
    singing = asked.every.get(SINGING)
    singer = singing.only([debian.SINGER]) if singing and any(recording.name == debian.SINGER for recording in singing.recordings) else None
    for name, who, shelf, mean in (
        ("voices", "Voices", asked.by_class.get(VOICE), asked.means.get(VOICE)),
        ("singer", "A person who sings", singer, asked.mean_of_singing.get(SINGING)),
    ):
        if pieces and shelf and mean is not None:
            yield name, protocols.over_recordings(asked.net, shelf, pieces, mean, most), partial(told.over_recordings, who=who)


@torch.no_grad()
def raise_logits(net: AskedCRN, by: float) -> None:
    """Raises the logits of all masks; those of bins between wide bands, too, which are interpolated."""
    net.last.bias += by


def figures(path: Path, split: str) -> dict:
    """What `--out` wrote of the same split."""
    try:
        found = json.loads(path.read_text())
        of_split = found["of"]["split"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluateError(f"{path}: expected what --out wrote ({error!r})") from error
    if of_split != split:
        raise EvaluateError(f"{path}: expected scores of the split {split!r}, got those of {of_split!r}")
    return found


def main(argv: list[str] | None = None) -> None:
    try:
        _score(_parsed(argv))
    except (CheckpointError, CorpusError, EvaluateError) as error:
        sys.exit(f"error: {error}")


def _score(args: argparse.Namespace) -> None:
    # What can go wrong with the places to write to goes wrong before the long work.
    for path in (args.out, args.figure):
        if path:
            check_writable_file(path)
    if args.figure:
        try:
            plots = import_module(".query_plots", __package__)
        except ModuleNotFoundError as error:
            raise EvaluateError(f"--figure needs {error.name}: `pip install -e '.[figures]'`") from error
    others = figures(args.beside, args.split) if args.beside else None
    loaded = load_network(args.checkpoint)
    asked = asked_of(loaded, args)
    if loaded.heard is None and args.split == "test":
        print(
            f"{args.checkpoint} does not say what it was trained on: whether it heard these songs is not known, and the figures below may be "
            "of songs that it learnt\n"
        )
    found = {
        "of": {"checkpoint": args.checkpoint.name, "split": args.split, "raised": args.raised, "pairs": args.pairs, "space": args.space and args.space.name},
        "says_what_it_heard": loaded.heard is not None,
    }
    for name, rows, said in findings(asked, args.pairs, args.jobs):
        found[name] = rows
        if not rows:
            continue
        print(said(rows), flush=True)
        if others is not None and name in COMPARED:
            print(told.beside(rows, others.get(name, [])), flush=True)
    if args.out:
        write_all({args.out: json.dumps(found, indent=1).encode()})
    if args.figure:
        plots.draw(asked.samples, {"means": found["ways"], "own examples": found["own_ways"]}, found["scores"], args.figure)


def _parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m underscore_training.evaluate.asked", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True, help="folder that `corpus` and `corpus --stems` wrote")
    parser.add_argument(
        "--split", choices=("test", "valid", "train"), default="test",
        help="valid: songs that it was not trained on, played by soundfonts that it was trained on, to choose between networks by; "
        "train: songs that it may have been trained on; one that finds no more in these is too small, and has learnt nothing by heart",
    )
    parser.add_argument(
        "--space", type=Path, metavar="FILE",
        help="take the means of classes from the presets of this model file, as the plugin does: of the corpus then only the split's own part is needed, "
        "and of the training's what was never asked for; means finer than classes are left out",
    )
    parser.add_argument("--songs", type=whole, default=1000, help="at most so many")
    parser.add_argument("--jobs", type=whole, default=1, help="processes that score songs; the figures are the same (default: %(default)s)")
    parser.add_argument("--pairs", type=whole, default=6, help="of two recordings of a class, and clips for coarse against fine, per class")
    parser.add_argument(
        "--raised", type=float, default=0.0, metavar="LOGITS",
        help="raise all logits by so much: of any network more is found, and more beside it; what is louder and cleaner at once is better",
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the space, the ways and what a query loses by its distance there, PNG or SVG")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures of every clip there, JSON")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="what another network's --out wrote: compare clip by clip")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()

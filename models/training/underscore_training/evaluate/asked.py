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
over songs, how loud what was asked for is in what was found, which SDR hardly tells, and what the stream loses to a network that knows the whole clip's statistics; then the same of the pieces of a drum kit, in songs whose kit comes apart,
and of the singer, in songs that are sung. Then what lies between two sounds: the energy of
either in the estimate on the way from one class' mean to the other's along the sphere, and from one sound's own example to the other's, and by
how much it ever turns back; what is found of a class that does not play, and of one that is all there is; and what `query_protocols` has: one of two of a class,
coarse means against fine ones, what a query loses by its distance, and neighbours in the space; voices over recorded pieces.

How loud and how clean what is found is hang together: networks are to be compared at one level, to which `--raised` brings them.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from ..corpus import debian
from ..corpus.errors import CorpusError
from ..corpus.stems import CLASSES, DRUM_PIECES, FINE, PATCHED, SINGING, SUNG, UNHEARD
from ..mixtures import examples
from ..mixtures.asked import ASKED_FOR, GAINS, RECORDED, VOICE
from ..mixtures.recipe import at_unit_rms
from ..mixtures.shelf import Recording, Score, Shelf, scores_in_parts
from ..nets.asked import AskedCRN
from ..nets.sphere import between
from ..options import whole
from ..train.checkpoint import CheckpointError, load_network
from . import query_protocols as protocols
from .errors import EvaluateError
from .forked import each
from .files import check_writable_file, write_all
from .metrics import energy, level_db, sdr_db
from .report import table
from .statistics import interval

CLIP_S = 10.0
SEED = 31
IN_ORDER = (VOICE, *CLASSES, *DRUM_PIECES, SINGING)
PRESENT = 0.02
"""Of a part's RMS over the whole song: what is softer in a clip does not play there."""
NUM_STEPS = 11
NUM_WAYS = 20
NUM_KITS = 24
"""Songs that are scored with their kit apart."""
OF_ARRANGEMENT = re.compile(rf"/({SUNG}|{PATCHED})\d+/[a-z]+$")
"""What is played in an arrangement that is sung, and what is sung; and what is played by patches."""
NUM_RANDOM = 4
"""Recordings that are drawn as random queries of a sound: by one alone the mean over a class swings by half a decibel and more."""
RIPPLE_DB = 1.0
CLEARLY_DB = 0.5
"""By which the sound's own example is to be better than another recording of its class."""


@dataclass(frozen=True)
class Song:
    """10 s of parts at their gains `[sample]`, by class."""

    name: str
    group: str
    parts: dict[str, np.ndarray]
    pieces: dict[str, str]
    """Of the recordings, by class: no random query is of one of them."""
    fine: dict[str, str]
    """Fine labels of what plays, by class, where it has one."""

    @property
    def mixture(self) -> np.ndarray:
        return np.sum(list(self.parts.values()), axis=0)


def shelves(corpus: Path, split: str, rate_hz: int, kinds: Iterable[str] = (VOICE, *CLASSES)) -> dict[str, Shelf]:
    """Those of the split's classes that it has recordings of."""
    found = {}
    for kind in kinds:
        try:
            found[kind] = Shelf(corpus, split, kind, rate_hz)
        except CorpusError as error:
            print(f"left out: {error}", file=sys.stderr)
    return found


def chosen(by_class: dict[str, Shelf], is_wanted: Callable[[Recording], bool]) -> dict[str, Shelf]:
    """Of every class the recordings that are wanted, as far as there are any."""
    names = {kind: {recording.name for recording in shelf.recordings if is_wanted(recording)} for kind, shelf in by_class.items()}
    return {kind: by_class[kind].only(wanted) for kind, wanted in names.items() if wanted}


def arrangements(by_class: dict[str, Shelf], of: str = "") -> dict[str, Shelf]:
    """Of every class what is played in arrangements that are sung, or by patches (`of` these), or in the others."""

    def kind_of(recording: Recording) -> str:
        found = OF_ARRANGEMENT.search(recording.name)
        return found[1] if found else ""

    return chosen(by_class, lambda recording: kind_of(recording) == of)


def songs(by_class: dict[str, Shelf], rate_hz: int) -> list[Song]:
    """All arrangements in which two classes or more play, a voice beside them."""
    found = []
    length = round(CLIP_S * rate_hz)
    for name, recordings in sorted(scores_in_parts(by_class).items()):
        # What is drawn for a song does not depend on the others.
        rng = np.random.default_rng([SEED, *name.encode()])
        clips = max((_clips(recordings, start, length) for start in range(0, 4 * length, length // 2)), key=len)
        if len(clips) < 2:
            continue
        pieces = {kind: recordings[kind].piece for kind in clips}
        if VOICE in by_class:
            voice = by_class[VOICE].draw(rng, length)
            clips[VOICE], pieces[VOICE] = voice.samples, voice.recording.piece
        gains = {kind: rng.uniform(*GAINS) for kind in clips}
        levelled = {kind: (0.05 * gains[kind] * at_unit_rms(clip)).astype(np.float32) for kind, clip in clips.items()}
        fine = {kind: recordings[kind].fine for kind in clips if kind in recordings and recordings[kind].fine}
        found.append(Song(name, next(iter(recordings.values())).piece, levelled, pieces, fine))
    return found


def spread(found: list[Song], most: int) -> list[Song]:
    """At most so many, of as many scores as there are: arrangements of one lie side by side."""
    return [found[idx] for idx in sorted({round(place) for place in np.linspace(0, len(found) - 1, min(most, len(found)))})]


def _clips(recordings: Score, start: int, length: int) -> dict[str, np.ndarray]:
    """The parts that play from `start` on."""
    found = {}
    for kind, recording in recordings.items():
        clip = recording.samples[start : start + length].astype(np.float32) / 32768
        rms = np.sqrt(np.mean(np.square(recording.samples, dtype=np.float32))) / 32768
        if clip.size == length and np.sqrt(np.mean(clip**2)) > PRESENT * rms > 0:
            found[kind] = clip
    return found


def scores(
    net: AskedCRN, found: list[Song], by_class: dict[str, Shelf], means: dict[str, torch.Tensor], kinds: Collection[str] = IN_ORDER,
    fine: Mapping[str, dict[str, torch.Tensor]] = MappingProxyType({}), num_jobs: int = 1,
) -> list[dict]:
    """A row per song and class, of `kinds`: SDR in dB by kind of query, and under `random` that of each random one with its distance from the own.
    `fine`: means by class and fine label, by which what has such a label is asked for, too."""
    in_one_window = net.in_one_window()

    def of_song(place: tuple[int, int]) -> list[dict]:
        number, num_before = place
        song, rows = found[number], []
        mixture = song.mixture
        for kind, part in song.parts.items():
            if kind not in kinds:
                continue
            row = {"song": song.name, "group": song.group, "class": kind, "mixture": sdr_db(part, mixture)}
            rng = np.random.default_rng([SEED, number, num_before + len(rows)])
            own = examples.embedding(net, part)
            found_by_own = protocols.separated(net, mixture, own)
            row["GQ"], row["level by GQ"] = sdr_db(part, found_by_own), level_db(part, found_by_own)
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
                found_by_mean = protocols.separated(net, mixture, means[kind])
                row["mean"], row["level by mean"] = sdr_db(part, found_by_mean), level_db(part, found_by_mean)
                label = song.fine.get(kind, "")
                if label in fine.get(kind, {}):
                    row["fine label"], row["fine mean"] = label, sdr_db(part, protocols.separated(net, mixture, fine[kind][label]))
            rows.append(row)
        return rows

    num_rows = [sum(kind in kinds for kind in song.parts) for song in found]
    places = [(number, sum(num_rows[:number])) for number in range(len(found))]
    return [row for rows in each(of_song, places, num_jobs, "songs") for row in rows]


QUERIES = ("mean", "GQ", "RQ", "RQ again")


def score_table(rows: list[dict]) -> str:
    lines = []
    for kind in IN_ORDER:
        own = [row for row in rows if row["class"] == kind]
        if not own:
            continue
        name = f"{kind} (never asked for in training)" if kind in UNHEARD else kind
        line = [name, str(len(own)), f"{np.mean([row['mixture'] for row in own]):.1f}"]
        for query in QUERIES:
            with_query = [row for row in own if query in row]
            if not with_query:
                line.append("-")
                continue
            gains = [row[query] - row["mixture"] for row in with_query]
            mean = np.mean([row[query] for row in with_query])
            spread = interval(gains, [row["group"] for row in with_query])
            within = "" if spread.low is None else f" [{spread.low:.1f}, {spread.high:.1f}]"
            line.append(f"{mean:.1f} ({np.mean(gains):+.1f}{within})")
        lines.append(line)
    return table(["Class", "Clips", "Mixture", *QUERIES], lines)


def order(rows: list[dict]) -> str:
    """Whether the sound's own example is the best query and another recording the last one, class by class, and the means over all clips.
    Where two of a class come the other way round, by how much they do, clip by clip: an interval with 0 in it says neither."""

    def mean(query: str, kind: str) -> float:
        return float(np.mean([row[query] - row["mixture"] for row in rows if row["class"] == kind and query in row]))

    def has(query: str, kind: str) -> bool:
        return any(row["class"] == kind and query in row for row in rows)

    def turned(kind: str) -> str:
        """Of the two pairs those that come the other way round."""
        told = []
        for better, worse in (("GQ", "mean"), ("mean", "RQ")):
            both = [row for row in rows if row["class"] == kind and better in row and worse in row]
            spread = interval([row[worse] - row[better] for row in both], [row["group"] for row in both])
            if spread.mean > 0:
                within = "" if spread.low is None else f" [{spread.low:.2f}, {spread.high:.2f}]"
                told.append(f"{worse} {spread.mean:.2f}{within} above {better}")
        return f" ({'; '.join(told)})" if told else ""

    kinds = [kind for kind in IN_ORDER if all(has(query, kind) for query in ("GQ", "mean", "RQ"))]
    gains = {kind: tuple(mean(query, kind) for query in ("GQ", "mean", "RQ")) for kind in kinds}
    out_of_order = [kind for kind, (own, middle, other) in gains.items() if not own >= middle >= other]
    too_close = [kind for kind, (own, _, other) in gains.items() if own - other < CLEARLY_DB]
    told = [
        f"{kind} {', '.join(f'{gain:.2f}' for gain in gains[kind])}{turned(kind)}" for kind in dict.fromkeys([*out_of_order, *too_close])
    ]
    means = ", ".join(
        f"{query} {np.mean([row[query] - row['mixture'] for row in rows if query in row]):+.2f} dB" for query in QUERIES if any(query in row for row in rows)
    )
    return (
        f"GQ >= mean >= RQ in {len(kinds) - len(out_of_order)} of {len(kinds)} classes, GQ - RQ >= {CLEARLY_DB} dB in {len(kinds) - len(too_close)}"
        f"{'; not so (GQ, mean, RQ, dB above the mixture): ' + '; '.join(told) if told else ''}\nOver all clips: {means}"
    )


def fine_told(rows: list[dict]) -> str:
    """What has a fine label, asked for by the mean of its class and by that of its label: a table, and the difference with its interval over scores."""
    both = [row for row in rows if "fine mean" in row]
    if not both:
        return "Nothing that plays has a fine label that two scores or more of the training have: a corpus of before there were any gets them by `corpus --stems`"
    lines = []
    for kind, label in sorted({(row["class"], row["fine label"]) for row in both}, key=lambda pair: (IN_ORDER.index(pair[0]), pair[1])):
        own = [row for row in both if (row["class"], row["fine label"]) == (kind, label)]
        lines.append([label, kind, str(len(own)), *(f"{np.mean([row[query] - row['mixture'] for row in own]):+.1f}" for query in ("mean", "fine mean", "GQ"))])
    spread = interval([row["fine mean"] - row["mean"] for row in both], [row["group"] for row in both])
    within = "" if spread.low is None else f" [{spread.low:+.2f}, {spread.high:+.2f}]"
    means = ", ".join(f"{query} {np.mean([row[query] - row['mixture'] for row in both]):+.2f} dB" for query in ("mean", "fine mean", "GQ"))
    return (
        f"{table(['Fine label', 'Class', 'Clips', 'mean', 'fine mean', 'GQ'], lines)}\n\n"
        f"Over {len(both)} clips with a fine label: {means}; the fine mean is {spread.mean:+.2f} dB{within} beside the class'"
    )


def beside(rows: list[dict], others: list[dict]) -> str:
    """By how much each kind of query gains, clip by clip, against another network's rows of the same songs; and class by class."""
    of_others = {(row["song"], row["class"]): row for row in others}
    pairs = [(row, of_others[row["song"], row["class"]]) for row in rows if (row["song"], row["class"]) in of_others]
    lines = [f"Against the other network, {len(pairs)} clips of both:"]
    for query in QUERIES:
        gains = [(row["class"], row["group"], row[query] - other[query]) for row, other in pairs if query in row and query in other]
        if not gains:
            continue
        spread = interval([gain for *_, gain in gains], [group for _, group, _ in gains])
        within = "" if spread.low is None else f" [{spread.low:+.2f}, {spread.high:+.2f}]"
        of_kinds = {kind: np.mean([gain for of, _, gain in gains if of == kind]) for kind in IN_ORDER if any(of == kind for of, *_ in gains)}
        told = ", ".join(f"{kind} {gain:+.2f}" for kind, gain in of_kinds.items())
        lines.append(f"{query} {spread.mean:+.2f} dB{within} ({told})")
    return "\n".join(lines)


def by_source(rows: list[dict]) -> str:
    """Means over all clips of songs that were composed by the rule that composed most of the training's, and of songs by people."""
    told = []
    for name, is_of in (("composed by rule", True), ("by people", False)):
        own = [row for row in rows if row["group"].startswith("stems/songs/") == is_of]
        gains = {query: [row[query] - row["mixture"] for row in own if query in row] for query in QUERIES}
        listed = ", ".join(f"{query} {np.mean(values):+.2f} dB" for query, values in gains.items() if values)
        if own:
            told.append(f"Songs {name}, {len({row['group'] for row in own})} scores, {len(own)} clips: {listed}")
    return "\n".join(told)


def levels_told(rows: list[dict]) -> str:
    """How much softer what is asked for is in what was found than in the mixture."""
    levels = {query: [row[f"level by {query}"] for row in rows if f"level by {query}" in row] for query in ("mean", "GQ")}
    told = ", ".join(f"{query} {np.median(values):+.1f} dB" for query, values in levels.items() if values)
    return f"Level of what was asked for, median: {told}"


def streamed_told(rows: list[dict]) -> str:
    """What the stream loses to a network that knows the statistics of the whole clip from its beginning on."""
    spread = interval([row["GQ"] - row["GQ in one window"] for row in rows], [row["group"] for row in rows])
    within = "" if spread.low is None else f" [{spread.low:+.2f}, {spread.high:+.2f}]"
    return f"Streamed against in one window of {CLIP_S:g} s, by GQ: {spread.mean:+.2f} dB{within}"


def absent(net: AskedCRN, found: list[Song], means: dict[str, torch.Tensor], num_jobs: int = 1) -> list[float]:
    """What a class leads to that does not play: level of the estimate against the mixture, dB, one class per song."""

    def level(number: int) -> float | None:
        others = sorted(means.keys() - found[number].parts.keys())
        if not others:
            return None
        kind = others[np.random.default_rng([SEED, number]).integers(len(others))]
        mixture = found[number].mixture
        heard = protocols.separated(net, mixture, means[kind])
        return float(10 * np.log10(max(energy(heard) / energy(mixture), 1e-12)))

    return [told for told in each(level, range(len(found)), num_jobs, "absent") if told is not None]


def alone(net: AskedCRN, found: list[Song], means: dict[str, torch.Tensor], num_jobs: int = 1) -> list[tuple[float, float]]:
    """What is left of a class that is asked for where nothing else plays: SDR and level, dB, one class per song."""

    def kept(number: int) -> tuple[float, float] | None:
        kinds = sorted(means.keys() & found[number].parts.keys())
        if not kinds:
            return None
        kind = kinds[np.random.default_rng([SEED, number]).integers(len(kinds))]
        part = found[number].parts[kind]
        heard = protocols.separated(net, part, means[kind])
        return sdr_db(part, heard), level_db(part, heard)

    return [told for told in each(kept, range(len(found)), num_jobs, "alone") if told is not None]


def interpolation(
    net: AskedCRN, found: list[Song], means: dict[str, torch.Tensor], most: int, by_own: bool = False, num_jobs: int = 1
) -> list[dict]:
    """A row per song: energies of its two loudest classes in the estimate, dB, on the way from one mean to the other, or `by_own` examples;
    and how far they turn back, and would if what is found at one end were faded into what is found at the other."""

    def turns_back_db(energies_db: list[list[float]]) -> float:
        falling, rising = (np.array(energies) for energies in energies_db)
        return max(float((falling - np.minimum.accumulate(falling)).max()), float((np.maximum.accumulate(rising) - rising).max()))

    def of_song(song: Song) -> dict | None:
        kinds = sorted((kind for kind in song.parts if kind in means), key=lambda kind: -energy(song.parts[kind]))[:2]
        if len(kinds) < 2:
            return None
        ends = [examples.embedding(net, song.parts[kind]) if by_own else means[kind] for kind in kinds]
        mixture, row = song.mixture, {"song": song.name, "classes": kinds}
        shares = np.linspace(0, 1, NUM_STEPS)
        heard = [protocols.separated(net, mixture, between(*ends, float(share))) for share in shares]
        faded = [(1 - share) * heard[0] + share * heard[-1] for share in shares]
        row["energies_db"], of_faded = ([[level_db(song.parts[kind], step) for step in steps] for kind in kinds] for steps in (heard, faded))
        row["ripple_db"], row["faded_ripple_db"] = turns_back_db(row["energies_db"]), turns_back_db(of_faded)
        return row

    return [row for row in each(of_song, spread(found, most), num_jobs, "ways") if row is not None]


def ripples(ways: list[dict], ends: str) -> str:
    """How far the energies of `interpolation` turn back."""
    found = sorted(way["ripple_db"] for way in ways)
    within = sum(ripple <= RIPPLE_DB for ripple in found)
    return (
        f"Between {ends}, {len(found)} songs: {within} monotone within {RIPPLE_DB:.0f} dB, "
        f"median ripple {np.median(found):.2f} dB, largest {found[-1]:.2f} dB; what is found at both ends, faded: "
        f"{max(way['faded_ripple_db'] for way in ways):.2f} dB at most"
    )


def further(
    net: AskedCRN,
    rows: list[dict],
    ways: dict[str, list[dict]],
    by_class: dict[str, Shelf],
    means: dict[str, torch.Tensor],
    args: argparse.Namespace,
) -> str:
    """The figures of `query_protocols`, a line each; with `--figure` the picture of all."""
    lines = []
    pulls = protocols.pulls(net, by_class, args.pairs)
    if pulls:
        lines.append(protocols.pulls_told(pulls))
    coarse = protocols.coarse_against_fine(net, by_class, means, args.pairs)
    if coarse:
        fine, wide = (np.mean([row[name] for row in coarse]) for name in ("fine", "coarse"))
        lines.append(f"Means of fine classes: {fine:.1f} dB, of coarse ones {wide:.1f} dB, {len(coarse)} clips")
    for kind in UNHEARD:
        # No network was asked for it in any split. It was heard as part of the music that it may have begun with.
        shelf = Shelf(args.corpus, "train", kind, net.sample_rate_hz)
        rows_of_unheard = protocols.unheard(net, shelf, {kind: shelf for kind, shelf in by_class.items() if kind not in UNHEARD}, 4 * args.pairs)
        gains = {query: [row[query] for row in rows_of_unheard if query in row] for query in ("GQ", "RQ")}
        told = ", ".join(
            f"{query} {np.mean(values):+.1f} dB, {np.mean([gain > 0 for gain in values]):.0%} above it" for query, values in gains.items() if values
        )
        lines.append(f"{kind}, never asked for in training, over two {args.split} sounds, {len(rows_of_unheard)} clips, against the mixture: {told}")
    pieces = shelves(args.corpus, args.split, net.sample_rate_hz, [RECORDED])
    singing = shelves(args.corpus, args.split, net.sample_rate_hz, [SINGING]).get(SINGING)
    has_singer = singing is not None and any(recording.name == debian.SINGER for recording in singing.recordings)
    voices = {"Voices": (by_class.get(VOICE), VOICE), "A person who sings": (singing.only([debian.SINGER]) if has_singer else None, SINGING)}
    for name, (shelf, kind) in voices.items():
        over = protocols.over_recordings(net, shelf, pieces[RECORDED], means[kind], 4 * args.pairs) if pieces and shelf else []
        if over:
            told = ", ".join(f"{query} {np.mean([row[query] for row in over]):+.1f} dB" for query in ("GQ", "mean"))
            lines.append(f"{name} over recorded pieces, {len(over)} clips, against the mixture: {told}")
    correlation = protocols.distance_against_loss(rows)
    within = "" if correlation.low is None else f" [{correlation.low:.2f}, {correlation.high:.2f}]"
    lines.append(f"Loss of a random query against its distance: rank correlation {correlation.mean:.2f}{within}")
    found = protocols.samples(net, by_class)
    shares = protocols.neighbours_of_the_class(found)
    listed = ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items())
    lines.append(f"Nearest neighbours that are of the class: {np.mean(list(shares.values())):.0%} ({listed})")
    if args.figure:
        from .query_plots import draw

        draw(found, ways, rows, args.figure)
    return "\n".join(lines)


@torch.no_grad()
def raise_logits(net: AskedCRN, by: float) -> None:
    """Raises the logits of all masks; those of bins between wide bands, too, which are interpolated."""
    net.last.bias += by


def figures(path: Path) -> dict:
    """What `--out` wrote."""
    try:
        found = json.loads(path.read_text())
        found["scores"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluateError(f"{path}: expected what --out wrote ({error})") from error
    return found


def main(argv: list[str] | None = None) -> None:
    try:
        _score(argv)
    except EvaluateError as error:
        sys.exit(f"error: {error}")


def _score(argv: list[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m underscore_training.evaluate.asked", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True, help="folder that `corpus` and `corpus --stems` wrote")
    parser.add_argument(
        "--split", choices=("test", "valid", "train"), default="test",
        help="valid: songs that it heard in validation alone, played by soundfonts that it was trained on, to choose between networks by; "
        "train: songs that it may have been trained on; one that finds no more in these is too small, and has learnt nothing by heart",
    )
    parser.add_argument("--songs", type=whole, default=1000, help="at most so many")
    parser.add_argument("--jobs", type=whole, default=1, help="processes that score songs; the figures are the same (default: %(default)s)")
    parser.add_argument("--pairs", type=whole, default=6, help="of two recordings of a class, and clips for coarse against fine, per class")
    parser.add_argument(
        "--raised", type=float, default=0.0, metavar="LOGITS",
        help="raise all logits by so much: of any network more is found, and more beside it; what is louder and cleaner at once is better",
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the space, the ways and what a query loses by its distance there, PNG or SVG")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all figures there, JSON")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="what another network's --out wrote: compare clip by clip")
    args = parser.parse_args(argv)
    try:
        # What can go wrong with the places to write to goes wrong before the long work.
        for path in (args.out, args.figure):
            if path:
                check_writable_file(path)
        if args.figure:
            try:
                import_module(".query_plots", __package__)
            except ModuleNotFoundError as error:
                raise EvaluateError(f"--figure needs {error.name}: `pip install -e '.[figures]'`") from error
        others = figures(args.beside) if args.beside else None
        loaded = load_network(args.checkpoint)
        net = loaded.net
        if not isinstance(net, AskedCRN):
            raise CheckpointError(f"{args.checkpoint} is no network that is asked: train one with system.name = \"asked\"")
        raise_logits(net, args.raised)
        every = shelves(args.corpus, args.split, net.sample_rate_hz, (VOICE, *CLASSES, SINGING))
        is_test = args.split == "test"
        heard = {recording.name for shelf in every.values() for recording in shelf.recordings} & (loaded.heard or set())
        if heard and is_test:
            raise CheckpointError(f"{args.checkpoint} was trained on {sorted(heard)[0]}, which is of the test split")
        # A network may have begun with one that was trained on the same score as a whole piece, under its name without the class.
        heard = {f"stems/{name}" for name in loaded.heard or set()} if is_test else set()

        def not_heard(by_class: dict[str, Shelf]) -> dict[str, Shelf]:
            return chosen(by_class, lambda recording: recording.piece not in heard)

        every = not_heard(every)
        instruments = {kind: shelf for kind, shelf in every.items() if kind != SINGING}
        by_class, with_singer = arrangements(instruments), arrangements(every, SUNG)
        by_patches = arrangements(instruments, PATCHED) | {kind: by_class[kind] for kind in (VOICE,) if kind in by_class}
        found = spread(songs(by_class, net.sample_rate_hz), args.songs)
        if not found:
            raise EvaluateError(f"{args.corpus} has no songs in parts to be scored: run `corpus --stems` to its end")
        means = {kind: examples.class_mean(net, args.corpus, kind) for kind in (VOICE, *CLASSES) if kind not in UNHEARD}
        of_kits = arrangements(not_heard(shelves(args.corpus, args.split, net.sample_rate_hz, DRUM_PIECES)))
        kits = {kind: shelf for kind, shelf in by_class.items() if kind != "drums"} | of_kits
        fine = {kind: examples.fine_means(net, args.corpus, kind) for kind in FINE if kind in by_class}
        means_of_pieces = {kind: examples.class_mean(net, args.corpus, kind) for kind in of_kits}
        mean_of_singing = {SINGING: examples.class_mean(net, args.corpus, SINGING)} if SINGING in every else {}
    except (CheckpointError, CorpusError, EvaluateError) as error:
        sys.exit(f"error: {error}")
    if loaded.heard is None and is_test:
        print(
            f"{args.checkpoint} does not say what it was trained on: whether it heard these songs is not known, and the figures below may be "
            "of songs that it learnt\n"
        )
    rows = scores(net, found, by_class, means, fine=fine, num_jobs=args.jobs)
    ways, own_ways = (interpolation(net, found, means, NUM_WAYS, by_own, args.jobs) for by_own in (False, True))
    of = {"test": "", "valid": " of the validation's", "train": " of the training's"}[args.split]
    print(f"{len(found)} songs{of}, SDR in dB; in brackets above the mixture's\n\n{score_table(rows)}\n\n{order(rows)}\n{by_source(rows)}\n{levels_told(rows)}\n{streamed_told(rows)}\n\n{fine_told(rows)}\n")
    apart = [song for song in songs(kits, net.sample_rate_hz) if of_kits and song.parts.keys() >= of_kits.keys()]
    apart = spread(apart, min(args.songs, NUM_KITS))
    rows_of_pieces = scores(net, apart, kits, means_of_pieces, of_kits, num_jobs=args.jobs)
    if rows_of_pieces:
        print(f"Kits apart, {len(apart)} songs\n\n{score_table(rows_of_pieces)}\n\n{order(rows_of_pieces)}\n")
    patched = spread(songs(by_patches, net.sample_rate_hz), args.songs)
    rows_of_patches = scores(net, patched, by_patches, means, num_jobs=args.jobs)
    if rows_of_patches:
        print(f"By instruments that share no sample with the training's, {len(patched)} songs\n\n{score_table(rows_of_patches)}\n\n{order(rows_of_patches)}\n")
    sung = [song for song in songs(with_singer, net.sample_rate_hz) if SINGING in song.parts]
    sung = spread(sung, args.songs)
    rows_of_singers = scores(net, sung, with_singer, mean_of_singing, mean_of_singing, num_jobs=args.jobs)
    if rows_of_singers:
        was_asked = SINGING in ASKED_FOR[: net.named.out_features]
        never = "" if was_asked else ", by a network that was never asked for singing"
        print(f"Sung, {len(sung)} songs{never}\n\n{score_table(rows_of_singers)}\n\n{order(rows_of_singers)}\n{by_source(rows_of_singers)}\n")
    if ways:
        print(ripples(ways, "the means of two classes"))
        print(ripples(own_ways, "two sounds' own examples"))
    levels = absent(net, found, means, args.jobs)
    if levels:
        print(f"Asked for a class that does not play, {len(levels)} songs: the target lies {np.median(levels):.1f} dB from the mixture (median), {max(levels):.1f} dB at most")
    kept = alone(net, found, means, args.jobs)
    if kept:
        kept_sdr, kept_level = np.median(kept, axis=0)
        print(f"Asked for a class that is all there is, {len(kept)} songs: SDR {kept_sdr:.1f} dB, its level {kept_level:+.1f} dB (medians)")
    told = {
        "says_what_it_heard": loaded.heard is not None,
        "scores": rows, "piece_scores": rows_of_pieces, "patch_scores": rows_of_patches, "singing_scores": rows_of_singers, "interpolation": ways, "own_interpolation": own_ways, "absent_db": levels, "alone_db": kept,
    }
    if others is not None:
        for name in ("scores", "piece_scores", "patch_scores", "singing_scores"):
            if told[name]:
                print(beside(told[name], others.get(name, [])))
    try:
        if args.out:
            write_all({args.out: json.dumps(told, indent=1).encode()})
        print(further(net, rows, {"means": ways, "own examples": own_ways}, by_class, means | mean_of_singing, args))
    except (CorpusError, EvaluateError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

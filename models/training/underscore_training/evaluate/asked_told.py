"""What `asked` finds, in tables and sentences."""

import numpy as np

from ..corpus.stems import CLASSES, DRUM_PIECES, SINGING, UNHEARD
from ..mixtures.asked import VOICE
from . import songs
from .errors import EvaluateError
from .report import table
from .statistics import Interval, interval

IN_ORDER = (VOICE, *CLASSES, *DRUM_PIECES, SINGING)
CLEARLY_DB = 0.5
"""By which the sound's own example is to be better than another recording of its class."""
SAME_DB = 1e-3
"""By how much the same part of the same song may differ from run to run."""
QUERIES = ("mean", "GQ", "RQ", "RQ again")


def within(found: Interval, unit: str) -> str:
    """The bounds in brackets, where there are any."""
    return "" if found.low is None else f" [{found.low:{unit}}, {found.high:{unit}}]"


def scored(rows: list[dict]) -> str:
    return f"{score_table(rows)}\n\n{order(rows)}"


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
            line.append(f"{mean:.1f} ({np.mean(gains):+.1f}{within(spread, '.1f')})")
        lines.append(line)
    return table(["Class", "Clips", "Mixture", *QUERIES], lines)


def over_all(rows: list[dict]) -> str:
    """Means over the clips that were asked for by every kind of query that there is: over others two kinds could not be compared."""
    queries = [query for query in QUERIES if any(query in row for row in rows)]
    of_every = [row for row in rows if all(query in row for query in queries)]
    means = ", ".join(f"{query} {np.mean([row[query] - row['mixture'] for row in of_every]):+.2f} dB" for query in queries)
    return f"{len(of_every)} clips: {means}"


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
                told.append(f"{worse} {spread.mean:.2f}{within(spread, '.2f')} above {better}")
        return f" ({'; '.join(told)})" if told else ""

    kinds = [kind for kind in IN_ORDER if all(has(query, kind) for query in ("GQ", "mean", "RQ"))]
    gains = {kind: tuple(mean(query, kind) for query in ("GQ", "mean", "RQ")) for kind in kinds}
    out_of_order = [kind for kind, (own, middle, other) in gains.items() if not own >= middle >= other]
    too_close = [kind for kind, (own, _, other) in gains.items() if own - other < CLEARLY_DB]
    told = [
        f"{kind} {', '.join(f'{gain:.2f}' for gain in gains[kind])}{turned(kind)}" for kind in dict.fromkeys([*out_of_order, *too_close])
    ]
    return (
        f"GQ >= mean >= RQ in {len(kinds) - len(out_of_order)} of {len(kinds)} classes, GQ - RQ >= {CLEARLY_DB} dB in {len(kinds) - len(too_close)}"
        f"{'; not so (GQ, mean, RQ, dB above the mixture): ' + '; '.join(told) if told else ''}\nOver {over_all(rows)}"
    )


def fine(rows: list[dict]) -> str:
    """What has a fine label, asked for by the mean of its class and by that of its label: a table, and the difference with its interval over scores."""
    both = [row for row in rows if "fine mean" in row]
    if not both:
        return "Nothing that plays has a fine label that two scores or more of the training have: a corpus of before there were any gets them by `corpus --stems`"
    lines = []
    for kind, label in sorted({(row["class"], row["fine label"]) for row in both}, key=lambda pair: (IN_ORDER.index(pair[0]), pair[1])):
        own = [row for row in both if (row["class"], row["fine label"]) == (kind, label)]
        lines.append([label, kind, str(len(own)), *(f"{np.mean([row[query] - row['mixture'] for row in own]):+.1f}" for query in ("mean", "fine mean", "GQ"))])
    spread = interval([row["fine mean"] - row["mean"] for row in both], [row["group"] for row in both])
    means = ", ".join(f"{query} {np.mean([row[query] - row['mixture'] for row in both]):+.2f} dB" for query in ("mean", "fine mean", "GQ"))
    return (
        f"{table(['Fine label', 'Class', 'Clips', 'mean', 'fine mean', 'GQ'], lines)}\n\n"
        f"Over {len(both)} clips with a fine label: {means}; the fine mean is {spread.mean:+.2f} dB{within(spread, '+.2f')} beside the class'"
    )


def beside(rows: list[dict], others: list[dict]) -> str:
    """By how much each kind of query gains, clip by clip, against another network's rows of the same songs; and class by class."""
    of_others = {(row["song"], row["class"]): row for row in others}
    pairs = [(row, of_others[row["song"], row["class"]]) for row in rows if (row["song"], row["class"]) in of_others]
    if not pairs:
        raise EvaluateError("expected the other network's scores of some of the same songs, got none: score both on one corpus and split")
    for row, other in pairs:
        if abs(row["mixture"] - other["mixture"]) > SAME_DB:
            raise EvaluateError(
                f"{row['song']}: its {row['class']} is {row['mixture']:.2f} dB above the rest here and {other['mixture']:.2f} dB in the other network's "
                "scores: score both on one corpus"
            )
    lines = [f"Against the other network, {len(pairs)} clips of both:"]
    for query in QUERIES:
        gains = [(row["class"], row["group"], row[query] - other[query]) for row, other in pairs if query in row and query in other]
        if not gains:
            continue
        spread = interval([gain for *_, gain in gains], [group for _, group, _ in gains])
        of_kinds = {kind: np.mean([gain for of, _, gain in gains if of == kind]) for kind in IN_ORDER if any(of == kind for of, *_ in gains)}
        told = ", ".join(f"{kind} {gain:+.2f}" for kind, gain in of_kinds.items())
        lines.append(f"{query} {spread.mean:+.2f} dB{within(spread, '+.2f')} ({told})")
    return "\n".join(lines)


def by_source(rows: list[dict]) -> str:
    """The same of songs that were composed by the rule that composed most of the training's, and of songs by people."""
    told = []
    for name, is_of in (("composed by rule", True), ("by people", False)):
        own = [row for row in rows if row["group"].startswith("stems/songs/") == is_of]
        if own:
            told.append(f"Songs {name}, {len({row['group'] for row in own})} scores, {over_all(own)}")
    return "\n".join(told)


def levels(rows: list[dict]) -> str:
    """How much softer what is asked for is in what was found than in the mixture, by its energy."""
    by_query = {query: [row[f"level by {query}"] for row in rows if f"level by {query}" in row] for query in ("mean", "GQ")}
    told = ", ".join(f"{query} {np.median(values):+.1f} dB" for query, values in by_query.items() if values)
    return f"Level of what was asked for, median: {told}"


def streamed(rows: list[dict]) -> str:
    """What the stream loses to a network that knows the statistics of the whole clip from its beginning on."""
    spread = interval([row["GQ"] - row["GQ in one window"] for row in rows], [row["group"] for row in rows])
    return f"Streamed against in one window of {songs.CLIP_S:g} s, by GQ: {spread.mean:+.2f} dB{within(spread, '+.2f')}"


def absent(levels_db: list[float]) -> str:
    return (
        f"Asked for a class that does not play, {len(levels_db)} songs: the target lies {np.median(levels_db):.1f} dB from the mixture (median), "
        f"{max(levels_db):.1f} dB at most"
    )


def alone(kept: list[tuple[float, float]]) -> str:
    sdr, level = np.median(kept, axis=0)
    return f"Asked for a class that is all there is, {len(kept)} songs: SDR {sdr:.1f} dB, its level {level:+.1f} dB (medians)"


def pulls(rows: list[dict]) -> str:
    """With 95 % intervals over the pieces that were asked for."""
    pieces = [row["piece"] for row in rows]
    gains = [row["asked"] - row["other"] for row in rows]
    between, right = (interval(values, pieces) for values in (gains, [float(gain > 0) for gain in gains]))
    return (
        f"One of two of a class, {len(rows)} times, {len(set(pieces))} pieces: {np.mean([row['asked'] for row in rows]):.1f} dB of the one "
        f"asked for, {np.mean([row['other'] for row in rows]):.1f} dB of the other, {between.mean:.1f} dB{within(between, '.1f')} between "
        f"them; {right.mean:.0%}{within(right, '.0%')} the right one"
    )


def coarse(rows: list[dict]) -> str:
    of_fine, of_coarse = (np.mean([row[name] for row in rows]) for name in ("fine", "coarse"))
    return f"Means of fine classes: {of_fine:.1f} dB, of coarse ones {of_coarse:.1f} dB, {len(rows)} clips"


def unheard(rows: list[dict], what: str) -> str:
    gains = {query: [row[query] for row in rows if query in row] for query in ("GQ", "RQ")}
    told = ", ".join(
        f"{query} {np.mean(values):+.1f} dB, {np.mean([gain > 0 for gain in values]):.0%} above it" for query, values in gains.items() if values
    )
    return f"{what}, {len(rows)} clips, against the mixture: {told}"


def over_recordings(rows: list[dict], who: str) -> str:
    told = ", ".join(f"{query} {np.mean([row[query] for row in rows]):+.1f} dB" for query in ("GQ", "mean"))
    return f"{who} over recorded pieces, {len(rows)} clips, against the mixture: {told}"


def distance(rows: list[dict]) -> str:
    correlation = Interval(**rows[0])
    return f"Loss of a random query against its distance: rank correlation {correlation.mean:.2f}{within(correlation, '.2f')}"


def neighbours(shares: list[tuple[str, float]]) -> str:
    listed = ", ".join(f"{kind} {share:.0%}" for kind, share in shares)
    return f"Nearest neighbours that are of the class: {np.mean([share for _, share in shares]):.0%} ({listed})"

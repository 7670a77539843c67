"""Markdown tables out of results, and their place in a README."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from .errors import EvaluateError
from .results import Results
from .scoring import STEMS, FullBandScore, Score
from .statistics import interval, paired_p

BEGIN, END = "<!-- scores:begin -->", "<!-- scores:end -->"
ENDLESS_DB = 60.0
"""Ratios beyond count as this much: what is left then is rounding, or below hearing."""
SMALLEST_P = 0.001


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """The first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def decibels(value: float | None, decimals: int = 2) -> str:
    """`-` for what does not exist, a bound for what has no end; never a negative zero."""
    if value is None:
        return "-"
    if abs(value) >= ENDLESS_DB:
        return f"> {ENDLESS_DB:.0f}" if value > 0 else f"< -{ENDLESS_DB:.0f}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def probability(p: float | None) -> str:
    if p is None:
        return "-"
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def in_order(results: Results) -> list[str]:
    """Estimators from worst to best by the mean SDR of all mixtures and stems; the same in every table."""
    means = {
        facts.name: np.mean([row.sdr_db for row in results.scores if row.estimator == facts.name])
        for facts in results.estimators
        if any(row.estimator == facts.name for row in results.scores)
    }
    return sorted(means, key=lambda name: means[name])


def level_name(level_db: float) -> str:
    return f"{level_db:.0f} dB"


def levels(results: Results) -> list[float]:
    return sorted({row.level_db for row in results.scores}, reverse=True)


def estimator_table(results: Results) -> str:
    """What each estimator is and costs."""
    clip_s = results.configuration["clip_s"]
    by_name = {facts.name: facts for facts in results.estimators}
    rows = []
    for name in in_order(results):
        facts = by_name[name]
        rows.append([
            name, facts.kind, f"{facts.sample_rate_hz / 1000:g} kHz",
            "-" if facts.num_parameters is None else f"{facts.num_parameters:,}".replace(",", " "),
            "-" if facts.gmac_per_s is None else f"{facts.gmac_per_s:.2f}",
            "-" if facts.steps is None else f"{facts.steps:,}".replace(",", " "),
            "-" if facts.kind == "oracle" or name not in results.cpu_s else f"{results.cpu_s[name] / clip_s:.3f}",
        ])
    return table(["Estimate", "What", "Rate", "Parameters", "GMAC/s", "Steps", "CPU s per s"], rows)


def score_table(results: Results, level_db: float, stem: str) -> str:
    """Means over clips, best at the bottom."""
    rows = []
    above: list[Score] | None = None
    for name in in_order(results):
        found = [r for r in results.scores if (r.level_db, r.stem, r.estimator) == (level_db, stem, name)]
        pieces = [row.piece for row in found]
        sdr = interval([row.sdr_db for row in found], pieces)
        bounds = "" if sdr.low is None else f" [{decibels(sdr.low, 1)}, {decibels(sdr.high, 1)}]"
        p = None if above is None else paired_p([r.sdr_db for r in found], [r.sdr_db for r in above], pieces)
        means = [
            decibels(float(np.mean([getattr(row, score) for row in found])))
            for score in ("si_sdr_db", "si_sdr_improvement_db", "bss_sdr_db", "sir_db", "sar_db")
        ]
        rows.append([name, decibels(sdr.mean) + bounds, probability(p), *means])
        above = found
    return table(["Estimate", "SDR [95 %]", "p", "SI-SDR", "SI-SDRi", "BSS SDR", "SIR", "SAR"], rows)


def summary(values: list[float], worst: Callable[[list[float]], float]) -> str:
    return " / ".join(decibels(float(value), 1) for value in (np.mean(np.clip(values, -ENDLESS_DB, ENDLESS_DB)), np.median(values), worst(values)))


def leak_table(results: Results) -> str:
    """Mean, median and worst of what is kept and what leaks when a source is alone."""
    rows = []
    for name in in_order(results):
        cells = []
        for source in ("speech", "music"):
            found = [row for row in results.leaks if (row.estimator, row.source) == (name, source)]
            if found:
                cells.append(summary([row.kept_si_sdr_db for row in found], min))
                cells.append(summary([row.leak_db for row in found], max))
        if cells:
            rows.append([name, *cells])
    head = [
        "Speech alone: dialogue SI-SDR", "Speech alone: level of music",
        "Music alone: music SI-SDR", "Music alone: level of dialogue",
    ]
    return table(["Estimate", *head], rows)


def full_band_table(results: Results, level_db: float) -> str:
    """Music and dialogue SDR in the whole band and above 8 kHz, own mask against the one taken upward."""

    def mean(rows: list[FullBandScore], score: str) -> str:
        values = [getattr(row, score) for row in rows]
        return "-" if None in values else decibels(float(np.mean(values)))

    rows = []
    for name in in_order(results):
        for stem in STEMS:
            found = [r for r in results.full_band if (r.level_db, r.stem, r.estimator) == (level_db, stem, name)]
            if found:
                columns = ("own_sdr_db", "extended_sdr_db", "own_above_sdr_db", "extended_above_sdr_db")
                rows.append([name, stem, *(mean(found, column) for column in columns)])
    head = ["SDR, own", "SDR, extended", "above 8 kHz, own", "above 8 kHz, extended"]
    return table(["Estimate", "Stem", *head], rows)


def programme_table(results: Results) -> str:
    names = list(dict.fromkeys(row.estimator for row in results.programme))
    found = {(row.stem, row.estimator): row.sdr_db for row in results.programme}
    rows = [[name, *(decibels(found[stem, name]) for stem in STEMS)] for name in names]
    return table(["Estimate", "Music SDR", "Dialogue SDR"], rows)


def score_sections(results: Results) -> list[str]:
    """Everything that comes of the test clips."""
    configuration = results.configuration
    scored = {row.clip_idx for row in results.scores}
    num_pieces = len({row.piece for row in results.scores})
    num_speakers = len({row.speaker for row in results.scores})
    untold = [facts.name for facts in results.estimators if facts.kind == "trained" and not facts.says_what_it_heard]
    is_test = configuration.get("split", "test") == "test"
    unheard = ", none heard in training" if is_test else ", by which networks were chosen"
    heard = f"; what {' and '.join(untold)} heard in training is not recorded" if untold else unheard
    parts = [
        f"{len(scored)} clips of {configuration['clip_s']:g} s of the {'test' if is_test else 'validation'} split ({num_speakers} speakers, {num_pieces} "
        f"pieces{heard}), scored at {configuration['score_rate_hz'] // 1000} kHz; all in dB. SDR is the "
        f"energy of the reference over that of the difference, its 95 % interval from a bootstrap over pieces. p is that of a paired "
        f"permutation test of SDR over pieces against the row above, not corrected for the number of rows. SI-SDRi is the "
        f"gain over the mixture. BSS SDR, SIR and SAR allow a filter of {configuration['num_taps']} taps.",
        "### Estimates\n\n" + estimator_table(results),
    ]
    for level_db in levels(results):
        for stem in STEMS:
            parts.append(f"### Music at {level_name(level_db)}: {stem}\n\n" + score_table(results, level_db, stem))
    if results.leaks:
        about = f"Mean / median / worst; levels are relative to the source. Beyond {ENDLESS_DB:.0f} dB a clip counts as {ENDLESS_DB:.0f}."
        parts.append(f"### One source alone\n\n{about}\n\n{leak_table(results)}")
    num_full = len({row.clip_idx for row in results.full_band})
    if num_full:
        parts.append(
            f"### Full band\n\nScored at {configuration['clip_rate_hz'] // 1000} kHz on the {num_full} clips whose speech and "
            f"music both reach above 8 kHz. \"Own\" is the system's own output; \"extended\" its mask below 8 kHz taken "
            f"upward, as the plugin does for a model of 16 kHz."
        )
        for level_db in levels(results):
            parts.append(f"Music at {level_name(level_db)}:\n\n" + full_band_table(results, level_db))
    else:
        parts.append("### Full band\n\nNo clip whose speech and music both reach above 8 kHz: not scored.")
    return parts


def markdown(results: Results) -> str:
    """All tables that the results have rows for."""
    parts = [f"Commit `{results.commit}`, made by\n\n```sh\n{results.command}\n```"]
    if results.scores:
        parts += score_sections(results)
    if results.programme:
        parts.append("### Demo programme\n\nSDR in dB, all channels together.\n\n" + programme_table(results))
    if results.rtf is not None:
        parts.append(f"RTF on one thread: {results.rtf:.3f}")
    if results.skipped:
        reasons = "\n".join(f"- {why}" for why in results.skipped)
        parts.append(f"Clips without scores: {len(results.skipped)}\n\n{reasons}")
    if results.left_out:
        parts.append("Left out:\n\n" + "\n".join(f"- {why}" for why in results.left_out))
    return "\n\n".join(parts) + "\n"


def with_tables(path: Path, tables: str) -> str:
    """The text of a README with `tables` between its markers."""
    try:
        text = path.read_text()
    except OSError as error:
        raise EvaluateError(f"{path}: cannot be read ({error.strerror})") from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise EvaluateError(
            f"{path}: the tables go between the lines {BEGIN} and {END}, which must be there once each, in this order"
        )
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{rest.split(END)[1]}"

"""Plots out of results, as PNG and SVG. Importing this needs matplotlib, which nothing else here does."""

import io

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from .errors import EvaluateError
from .report import in_order, level_name, levels
from .results import Results
from .statistics import interval

STEM = "music"
"""The stem that is plotted: the stems' errors are the same, so their SDRs differ by the music's level only."""
INK, BLUE, ORANGE, GREY = "#222222", "#0072b2", "#d55e00", "#767676"
COLOURS = {"trained": BLUE, "baseline": ORANGE, "oracle": GREY}
"""Told apart by the colour-blind too (Okabe and Ito)."""
PLACES = [(x, y) for y in (3, -9, 15, -21, 27, -33, 39, -45) for x in (6, -6)]
"""Of a label beside its point, in typographic points, best first."""
POINT_SIZE = 5
STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK, "axes.labelcolor": INK,
    "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.grid": True, "grid.color": "#e6e6e6",
    "axes.axisbelow": True, "figure.facecolor": "white", "svg.hashsalt": "underscore", "svg.fonttype": "none",
}


def sdr_of(results: Results, level_db: float, name: str) -> tuple[list[float], list[str]]:
    """SDR and piece of each clip."""
    found = [row for row in results.scores if (row.level_db, row.stem, row.estimator) == (level_db, STEM, name)]
    return [row.sdr_db for row in found], [row.piece for row in found]


def moved_apart(labels: list[Annotation], fixed: list[Annotation]) -> None:
    """Give each label the first place beside its point at which it covers no other label and no point."""
    taken = [label.get_window_extent() for label in fixed]
    for label in labels:
        at = label.axes.transData.transform(label.xy)
        taken.append(Bbox.from_extents(*(at - POINT_SIZE), *(at + POINT_SIZE)))
    for label in labels:
        for place in PLACES:
            label.set(position=place, horizontalalignment="left" if place[0] > 0 else "right")
            box = Text.get_window_extent(label)
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def cost_axes(axes: Axes, results: Results, level_db: float) -> None:
    """One level: a point with its interval for each network, a line for everything else."""
    facts = {entry.name: entry for entry in results.estimators}
    networks = [name for name in in_order(results) if facts[name].gmac_per_s]
    lines, labels = [], []
    for name in in_order(results):
        # The mixture's SDR is its level, which the title tells; a line there would only squeeze the rest.
        if name not in networks and name != "mixture":
            mean, colour = float(np.mean(sdr_of(results, level_db, name)[0])), COLOURS[facts[name].kind]
            axes.axhline(mean, color=colour, linewidth=1, linestyle="--")
            lines.append(axes.annotate(
                name, (1, mean), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
                ha="right", fontsize=8, color=colour,
            ))
    for name in networks:
        cost, found = facts[name].gmac_per_s, interval(*sdr_of(results, level_db, name))
        if found.low is not None:
            axes.plot([cost, cost], [found.low, found.high], color=BLUE, linewidth=1.2, alpha=0.5)
        axes.plot(cost, found.mean, "o", color=BLUE, markersize=POINT_SIZE)
        labels.append(axes.annotate(
            name, (cost, found.mean), xytext=PLACES[0], textcoords="offset points", fontsize=8,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": GREY, "shrinkA": 0, "shrinkB": 2},
        ))
    costs = [facts[name].gmac_per_s for name in networks]
    axes.set_xscale("log")
    # Room at the right for the names of the lines.
    axes.set_xlim(min(costs) / 2, max(costs) * 5)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda cost, _: f"{cost:g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("GMAC per second of audio")
    axes.set_ylabel(f"{STEM} SDR, dB (mean, 95 % interval)")
    axes.set_title(f"music at {level_name(level_db)} (the mixture's own SDR)", fontsize=9, loc="left")
    axes.figure.draw_without_rendering()
    moved_apart(labels, lines)


def cost_figure(results: Results) -> Figure:
    """SDR against arithmetic."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    all_axes = figure.subplots(1, len(levels(results)), squeeze=False)[0]
    for axes, level_db in zip(all_axes, levels(results)):
        cost_axes(axes, results, level_db)
    return figure


def spread_figure(results: Results) -> Figure:
    """The SDR of every clip, a box and its points per estimator, best at the top."""
    kinds = {entry.name: entry.kind for entry in results.estimators}
    names = [name for name in in_order(results) if name != "mixture"]
    figure = Figure(figsize=(9, 1.4 + 0.42 * len(names)), layout="constrained")
    all_axes = figure.subplots(1, len(levels(results)), squeeze=False, sharey=True)[0]
    rng = np.random.default_rng(0)
    for axes, level_db in zip(all_axes, levels(results)):
        for at, name in enumerate(names):
            values, _ = sdr_of(results, level_db, name)
            colour = COLOURS[kinds[name]]
            line = {"color": colour, "linewidth": 1}
            axes.boxplot(
                values, positions=[at], orientation="horizontal", widths=0.6, showfliers=False,
                boxprops=line, whiskerprops=line, capprops=line, medianprops={"color": INK, "linewidth": 1.6},
            )
            axes.plot(values, at + rng.uniform(-0.22, 0.22, len(values)), ".", color=colour, markersize=3, alpha=0.5)
        axes.axvline(level_db, color=ORANGE, linewidth=1, linestyle="--")
        axes.annotate(
            "mixture", (level_db, 1), xycoords=("data", "axes fraction"), xytext=(2, -8), textcoords="offset points",
            fontsize=8, color=ORANGE,
        )
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"{STEM} SDR per clip, dB")
        axes.set_title(f"music at {level_name(level_db)}", fontsize=9, loc="left")
    return figure


def drawn(figure: Figure) -> dict[str, bytes]:
    """`{suffix: file}`; the same results give the same bytes."""
    files = {}
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=160, metadata=metadata)
        files[suffix] = buffer.getvalue()
    return files


def plots(results: Results) -> dict[str, bytes]:
    """File name -> file. A plot against cost needs a network among the estimators."""
    if not results.scores:
        raise EvaluateError("--figures needs scores of the test clips: give --corpus, or --from a file that has them")
    makers = {"spread": spread_figure}
    if any(entry.gmac_per_s for entry in results.estimators):
        makers["sdr_against_cost"] = cost_figure
    with matplotlib.rc_context(STYLE):
        return {
            f"{name}.{suffix}": content for name, make in makers.items() for suffix, content in drawn(make(results)).items()
        }

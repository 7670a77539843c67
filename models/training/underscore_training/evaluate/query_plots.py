"""What `asked` finds, as a picture: the space, the ways between two sounds, and what a query loses by its distance. Importing this needs
matplotlib and scikit-learn, which nothing else here does."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from .plots import BLUE, GREY, INK, ORANGE, STYLE
from .query_protocols import SEED, Sample

PERPLEXITY = 12.0
MARKERS = "osv^D<>PXph*d8"
NUM_BINS = 8
"""Of distances, each with as many queries."""


def draw(found: list[Sample], ways: dict[str, list[dict]], rows: list[dict], path: Path) -> None:
    """Test examples by t-SNE (van der Maaten and Hinton 2008) of cosine distances; energies on the way from one sound to another, `ways` by what
    is at their ends; and the SDR that random queries of `rows` lose against the own one, by their cosine distance from it."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(13.5, 4.4), layout="constrained")
        space, *energies, losses = figure.subplots(1, 2 + len(ways), width_ratios=[1.5, *[1.0] * len(ways), 1.0])
        _space(space, found)
        for axes, (ends, between) in zip(energies, ways.items()):
            _energies(axes, ends, between)
        _losses(losses, rows)
        figure.savefig(path, dpi=130)


def _space(axes: Axes, found: list[Sample]) -> None:
    points = np.stack([sample.embedding.numpy() for sample in found])
    perplexity = min(PERPLEXITY, (len(found) - 1) / 3)
    places = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=SEED).fit_transform(points)
    kinds = sorted({sample.kind for sample in found})
    colours = matplotlib.colormaps["tab20"](np.linspace(0, 1, max(len(kinds), 2)))
    for idx, kind in enumerate(kinds):
        own = np.array([sample.kind == kind for sample in found])
        axes.scatter(*places[own].T, s=14, color=colours[idx], marker=MARKERS[idx % len(MARKERS)], label=kind)
    axes.set(xticks=[], yticks=[], title="Examples by t-SNE")
    axes.grid(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _energies(axes: Axes, ends: str, ways: list[dict]) -> None:
    """Thin lines are songs, thick ones their medians."""
    if ways:
        energies = np.array([way["levels_db"] for way in ways])
        shares = np.linspace(0, 1, energies.shape[2])
        for place, (name, colour) in enumerate((("what A asks for", BLUE), ("what B does", ORANGE))):
            axes.plot(shares, energies[:, place].T, color=colour, alpha=0.25, linewidth=0.7)
            axes.plot(shares, np.median(energies[:, place], axis=0), color=colour, linewidth=2.2, label=name)
        axes.legend(loc="lower center", frameon=False)
    axes.set(title=f"On the way between {ends}", xlabel="share of B", ylabel="energy in what is found, dB of its own", ylim=(-40, 6))


def _losses(axes: Axes, rows: list[dict]) -> None:
    """Points are queries, the line joins the means of as many each."""
    pairs = [(query["cosine distance"], row["GQ"] - query["SDR"]) for row in rows for query in row.get("random", ())]
    if pairs:
        distances, lost = np.array(sorted(pairs)).T
        axes.scatter(distances, lost, s=4, color=GREY, alpha=0.4, linewidths=0)
        parts = [part for part in np.array_split(np.arange(distances.size), NUM_BINS) if part.size]
        axes.plot([distances[part].mean() for part in parts], [lost[part].mean() for part in parts], "o-", color=INK)
        axes.set_ylim(*np.quantile(lost, [0.005, 0.995]))
    axes.set(title="What a random query loses", xlabel="cosine distance from the own one", ylabel="SDR below the own one's, dB")

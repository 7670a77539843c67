"""The space of examples as a picture. Importing this needs matplotlib and scikit-learn, which nothing else here does."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from .plots import STYLE
from .query_protocols import SEED, Sample

PERPLEXITY = 12.0
MARKERS = "osv^D<>PXph*d8"


def draw_space(found: list[Sample], path: Path) -> None:
    """Test examples by t-SNE (van der Maaten and Hinton 2008) of cosine distances, coloured by class."""
    points = np.stack([sample.embedding.numpy() for sample in found])
    perplexity = min(PERPLEXITY, (len(found) - 1) / 3)
    places = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=SEED).fit_transform(points)
    kinds = sorted({sample.kind for sample in found})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.4), layout="constrained")
        axes = figure.subplots()
        colours = matplotlib.colormaps["tab20"](np.linspace(0, 1, max(len(kinds), 2)))
        for idx, kind in enumerate(kinds):
            own = np.array([sample.kind == kind for sample in found])
            axes.scatter(*places[own].T, s=14, color=colours[idx], marker=MARKERS[idx % len(MARKERS)], label=kind)
        axes.set(xticks=[], yticks=[], title="Examples by t-SNE")
        axes.grid(False)
        figure.legend(loc="outside right center", frameon=False)
        figure.savefig(path, dpi=150)

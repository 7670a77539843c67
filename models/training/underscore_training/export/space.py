"""What can be asked for without an example, and how the space that it lies in is drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..mixtures.asked import ASKED_FOR
from ..mixtures.examples import class_mean
from ..nets.asked import AskedCRN

PRESET_NAMES = {"speech": "voice"}
"""Permanent ids of presets, where they are not the class's."""
REACH = 0.95
"""Of the map's half width, where the outermost preset lies."""


@dataclass(frozen=True)
class Space:
    """Presets by id `[embedding]`; of the map, what lies in its middle `[embedding]`, and what leads right and up `[2, embedding]`."""

    presets: dict[str, Tensor]
    origin: Tensor
    axes: Tensor

    @classmethod
    def of(cls, presets: dict[str, Tensor]) -> "Space":
        """Drawn along the two directions in which the presets differ most (principal components), so that all lie within -1..1."""
        points = torch.stack(list(presets.values()))
        origin = points.mean(dim=0)
        _, _, directions = torch.linalg.svd(points - origin, full_matrices=False)
        axes = directions[:2]
        # A direction and its opposite are the same component: the first preset lies to the right and up.
        axes = axes * torch.where((points[0] - origin) @ axes.T < 0, -1.0, 1.0)[:, None]
        places = (points - origin) @ axes.T
        return cls(presets, origin, REACH * axes / places.abs().amax(dim=0)[:, None].clamp_min(1e-6))

    @classmethod
    def bare(cls, embedding_size: int) -> "Space":
        """Without presets; drawn along its first two dimensions."""
        return cls({}, torch.zeros(embedding_size), torch.eye(2, embedding_size))

    @classmethod
    def learnt(cls, net: AskedCRN, corpus: Path) -> "Space":
        """The means of the classes that a network was trained on."""
        kinds = ASKED_FOR[: net.named.out_features]
        return cls.of({PRESET_NAMES.get(kind, kind): class_mean(net, corpus, kind) for kind in kinds})

    @classmethod
    def of_metadata(cls, meta: dict[str, Any]) -> "Space":
        """As a model file has it: of one that is written anew from the same weights."""
        presets = {preset["id"]: torch.tensor(preset["embedding"]) for preset in meta["presets"]}
        return cls(presets, torch.tensor(meta["map"]["origin"]), torch.tensor(meta["map"]["axes"]))

    def preset_of(self, kind: str) -> Tensor:
        """That of a class, by its name in the corpus."""
        return self.presets[PRESET_NAMES.get(kind, kind)]

    def as_dict(self) -> dict[str, Any]:
        """As it is written into a model's metadata: `presets` and `map`."""
        presets = [{"id": name, "embedding": rounded(place)} for name, place in self.presets.items()]
        return {"presets": presets, "map": {"origin": rounded(self.origin), "axes": [rounded(axis) for axis in self.axes]}}


def rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]

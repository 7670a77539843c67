"""Model files that are none to separate with: one that is nothing but arithmetic, one that echoes what it is asked, and a module of convolutions that
is no model."""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from .export import contract
from .export.file import scripted
from .grid import HOP_S, MODEL_GRID


class MatrixProducts(nn.Module):
    """Products of large matrices, for the speed that a processor reaches at best."""

    grid = MODEL_GRID
    frames_per_call = 1
    look_ahead_frames = 0
    look_back_frames = 0

    def __init__(self) -> None:
        super().__init__()
        self.num_products: int = 4
        self.size: int = 1024

    @torch.jit.ignore
    def state_shapes(self) -> list[list[int]]:
        return [[self.size, self.size]]

    def forward(self, spectrum: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Masks of 1, and the products, bounded."""
        x = state[0] + 0.01
        for _ in range(self.num_products):
            x = torch.mm(x, x).clamp_(-0.03, 0.03)
        return torch.ones((1, spectrum.shape[0], spectrum.shape[1], spectrum.shape[2])), [x]


class Echo(nn.Module):
    """Each channel's mask is the first value that it is asked by; an example's embedding is how loud each quarter of its bins is."""

    grid = MODEL_GRID
    frames_per_call = 1
    look_ahead_frames = 0
    look_back_frames = 0
    embedding_size = 4
    query_frames = 5

    @torch.jit.ignore
    def state_shapes(self) -> list[list[int]]:
        return []

    def forward(self, spectrum: Tensor, state: list[Tensor], embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        ones = torch.ones((1, spectrum.shape[0], spectrum.shape[1], spectrum.shape[2]))
        return ones * embedding[:, :1, None].clamp(0.0, 1.0), state

    @torch.jit.export
    def encode(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        quarters = spectrum.square().sum(dim=3).sqrt().mean(dim=1)[:, :-1].reshape(1, 4, -1)
        return quarters.mean(dim=2), torch.zeros((1, 4))


class Convolutions(nn.Module):
    """Four whose weights lie features last: one that halves the bands, one that is run twice, one in two groups, and one with dilation and without
    biases that long inputs alone go through; and one whose weights lie features first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.halves = nn.Conv2d(3, 16, (1, 6), stride=(1, 2), padding=(0, 2))
        self.run_twice = nn.Conv2d(3, 3, 3, padding=1)
        self.in_groups = nn.Conv2d(16, 8, (1, 3), groups=2)
        self.of_long = nn.Conv2d(3, 5, 3, dilation=(1, 2), bias=False)
        self.features_first = nn.Conv2d(3, 8, 3)
        for layer in (self.halves, self.run_twice, self.in_groups, self.of_long):
            layer.weight.data = layer.weight.detach().contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> list[Tensor]:
        """`[batch, 3, frame, band]`, features last."""
        halved = torch.relu_(self.halves(x))
        outputs = [halved, self.run_twice(self.run_twice(x)), self.in_groups(halved), torch.relu(self.features_first(x))]
        if x.shape[2] > 4:
            outputs.append(self.of_long(x))
        return outputs


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.fixtures", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("../../tests/fixtures/models"))
    args = parser.parse_args(argv)
    products = MatrixProducts()
    gmac_per_s = products.num_products * products.size**3 / HOP_S / 1e9
    meta = contract.metadata(products, "products", "Matrix products (speed)", "1.0.0", "CC0-1.0", "none", gmac_per_s)
    script = scripted(products)
    extra = {"underscore.json": json.dumps(meta, indent=1).encode(), "test_vector.f32": contract.vector_bytes(script, meta)}
    contract.save(script, args.out / "products.pt", extra)
    echo = Echo()
    meta = contract.metadata(echo, "echo", "Echo (what it is asked)", "1.0.0", "CC0-1.0", "none")
    script = scripted(echo)
    extra = {"underscore.json": json.dumps(meta, indent=1).encode(), "test_vector.f32": contract.vector_bytes(script, meta)}
    contract.save(script, args.out / "echo.pt", extra)
    torch.jit.save(scripted(Convolutions()), str(args.out / "convolutions.pt"))
    for path in sorted(args.out.iterdir()):
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

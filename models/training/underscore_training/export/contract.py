"""The model contract, schema 2: metadata, test vector, and the file that carries both."""

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..grid import HOP_S, WINDOW_S, Grid, grid_at, stft
from ..nets.streaming.recurrent import PackLSTM
from .space import Space

SCHEMA_VERSION = 2
TOLERANCE = 1e-4
NUM_TEST_FRAMES = 12
"""Frames of the test vector that are heard in its masks; a look-ahead comes before them."""
STEMS = ("music", "dialogue")
ASKED_STEMS = ("target", "residual")
"""Of a model that is asked by example."""


class ExportError(Exception):
    """A file cannot be written, or read, or does not do what the network does."""


class Exportable(Protocol):
    """What a streaming form says of itself; with `forward(spectrum, state) -> (mask, state)` it can be exported."""

    grid: Grid
    frames_per_call: int
    look_ahead_frames: int
    look_back_frames: int
    # Channels know nothing of each other: the plugin lays streams side by side, where each of the shapes begins with the channels (-1).
    # May have `recurrent_weights` and `use_packed`, and `flatten_recurrent_weights`, beside `forward`; see `nets.streaming.recurrent`. One that
    # is asked by example has `embedding_size`, `query_frames` and `encode(spectrum) -> (mean, log_var)`, and its `forward` a third input,
    # `[channel, embedding]`.

    def state_shapes(self) -> list[list[int]]: ...


def num_test_calls(model: Exportable) -> int:
    """Three calls, or as many as it takes to hear something behind the look-ahead."""
    return max(3, -(-(model.look_ahead_frames + NUM_TEST_FRAMES) // model.frames_per_call))


def metadata(
    model: Exportable, model_id: str, name: str, version: str, licence: str, training_data: str, gmac_per_s: float = 0.0,
    space: Space | None = None,
) -> dict[str, Any]:
    """The content of `underscore.json`. `gmac_per_s`: 10^9 multiply-accumulates per second of one channel's audio; `space`: of a
    model that is asked by example."""
    stems = ASKED_STEMS if is_asked(model) else STEMS
    if is_asked(model):
        space = space or Space.bare(model.embedding_size)
        asked = {"embedding_size": model.embedding_size, "query_frames": model.query_frames, **space.as_dict()}
    else:
        asked = {"embedding_size": 0, "query_frames": 0}
    return {
        "schema_version": SCHEMA_VERSION,
        "id": model_id,
        "name": name,
        "version": version,
        "licence": licence,
        "training_data": training_data,
        "sample_rate_hz": model.grid.sample_rate_hz,
        "window_s": WINDOW_S,
        "hop_s": HOP_S,
        "synthesis_s": model.grid.synthesis_samples / model.grid.sample_rate_hz,
        "num_bins": model.grid.num_bins,
        "frames_per_call": model.frames_per_call,
        "look_ahead_frames": model.look_ahead_frames,
        "look_back_frames": model.look_back_frames,
        "state_shapes": model.state_shapes(),
        "packs_recurrent_weights": hasattr(model, "recurrent_weights"),
        "mask": {"kind": "real", "min": 0.0, "max": 1.0},
        "stems": list(stems),
        "residual": stems[1],
        "gmac_per_s": round(gmac_per_s, 3),
        **asked,
        "test_vector": {"num_calls": num_test_calls(model), "channels": 1, "tolerance": TOLERANCE},
    }


def is_asked(model: Exportable) -> bool:
    return getattr(model, "embedding_size", 0) > 0


def test_embedding(meta: dict[str, Any]) -> Tensor | None:
    """What the test vector asks for, `[1, embedding]`; nothing where the model is not asked."""
    size = meta["embedding_size"]
    return torch.sin(torch.arange(1.0, size + 1))[None] if size > 0 else None


def grid_of(meta: dict[str, Any]) -> Grid:
    """The grid that metadata declares."""
    return grid_at(meta["sample_rate_hz"], meta["synthesis_s"])


def zero_state(state_shapes: list[list[int]], num_channels: int) -> list[Tensor]:
    """The state of a reset."""
    return [torch.zeros([num_channels if size == -1 else size for size in shape]) for shape in state_shapes]


def test_spectrum(grid: Grid, num_frames: int, num_channels: int = 1, seed: int = 1) -> Tensor:
    """A buzz with a falling pitch over coloured noise: `[channel, frame, bin, 2]`."""
    generator = torch.Generator().manual_seed(seed)
    num_samples = (num_frames - 1) * grid.hop_samples + grid.window_samples
    time_s = torch.arange(num_samples, dtype=torch.float64) / grid.sample_rate_hz
    phase = 2 * torch.pi * (220 * time_s - 60 * time_s**2)
    buzz = sum(torch.sin(k * phase) / k for k in range(1, 20))
    noise = torch.randn(num_channels, num_samples, generator=generator, dtype=torch.float64)
    noise = torch.cumsum(noise, dim=1)
    noise = noise - torch.nn.functional.avg_pool1d(noise[None], 65, stride=1, padding=32)[0]
    signal = 0.1 * buzz + 0.02 * noise
    return torch.view_as_real(stft(signal, grid)).float().contiguous()


def run_calls(
    model: nn.Module, spectrum: Tensor, state: list[Tensor], frames_per_call: int, embedding: Tensor | None = None
) -> Tensor:
    """Call by call from `state`: spectrum `[channel, frame, bin, 2]` -> mask `[stem, channel, frame, bin]`."""
    return run_on(model, spectrum, state, frames_per_call, embedding)[0]


def run_on(
    model: nn.Module, spectrum: Tensor, state: list[Tensor], frames_per_call: int, embedding: Tensor | None = None
) -> tuple[Tensor, list[Tensor]]:
    """The same, and the state after it."""
    masks = []
    asked = () if embedding is None else (embedding,)
    with torch.no_grad():
        for call in spectrum.split(frames_per_call, dim=1):
            mask, state = model(call.contiguous(), state, *asked)
            masks.append(mask)
    return torch.cat(masks, dim=2), state


def little_endian(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().astype("<f4").tobytes()


def vector_bytes(model: nn.Module, meta: dict[str, Any]) -> bytes:
    """What is asked for, if anything; input `[call][channel][frame][bin][2]`; masks `[call][stem][channel][frame][bin]`."""
    embedding = test_embedding(meta)
    per_call = meta["frames_per_call"]
    spectrum = test_spectrum(grid_of(meta), meta["test_vector"]["num_calls"] * per_call)
    mask = run_calls(model, spectrum, zero_state(meta["state_shapes"], 1), per_call, embedding)
    asked = () if embedding is None else (embedding,)
    return b"".join(map(little_endian, (*asked, *spectrum.split(per_call, dim=1), *mask.split(per_call, dim=2))))


def save(script: torch.jit.ScriptModule, path: Path, extra: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.save(script, str(path), _extra_files=extra)


def load(path: Path) -> tuple[torch.jit.ScriptModule, dict[str, Any], bytes]:
    """A model file -> module, metadata, test vector; or an `ExportError`."""
    extra = {"underscore.json": "", "test_vector.f32": ""}
    try:
        script = torch.jit.load(str(path), _extra_files=extra)
        meta = json.loads(extra["underscore.json"])
    except (OSError, RuntimeError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read as a model file ({error})") from error
    vector = extra["test_vector.f32"]
    return script, meta, vector if isinstance(vector, bytes) else vector.encode("latin-1")


def packed(script: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The module as the plugin runs it on a processor: recurrent weights in oneDNN's order, where there are both."""
    if hasattr(script, "recurrent_weights") and torch.backends.mkldnn.is_available():
        script.use_packed(PackLSTM()(script.recurrent_weights()))
    return script


def check_vector(path: Path) -> float:
    """Re-run a file's own test vector; the largest difference, or an `ExportError`."""
    script, meta, vector = load(path)
    embedding = test_embedding(meta)
    values = torch.frombuffer(bytearray(vector), dtype=torch.float32)[meta["embedding_size"] :]
    num_calls, per_call, num_bins = meta["test_vector"]["num_calls"], meta["frames_per_call"], meta["num_bins"]
    num_inputs = num_calls * per_call * num_bins * 2
    spectra = values[:num_inputs].reshape(num_calls, 1, per_call, num_bins, 2)
    expected = values[num_inputs:].reshape(num_calls, 1, 1, per_call, num_bins)
    spectrum = torch.cat(list(spectra), dim=1)
    mask = run_calls(script, spectrum, zero_state(meta["state_shapes"], 1), per_call, embedding)
    worst = float((mask - torch.cat(list(expected), dim=2)).abs().max())
    if not worst <= meta["test_vector"]["tolerance"]:
        raise ExportError(f"{path}: test vector differs by {worst:.2e}, allowed {meta['test_vector']['tolerance']:.0e}")
    return worst

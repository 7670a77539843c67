"""How long a call of many streams at once takes, as the plugin runs them on a card, and a clip of 12 s in one pass.

In float32, spectra and states where the model is: what the plugin moves to a card and back comes on top, and `cargo xtask
bench --device cuda` has it in. The first call of a number of streams is told apart: a library may look for its way then.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from ..export import contract
from ..options import whole
from .errors import EvaluateError
from .report import table

NUM_STREAMS = (1, 2, 64, 128, 200, 256, 400)
NUM_CALLS = 20
CLIP_S = 12.0


def loaded(path: Path, device: str) -> tuple[torch.jit.ScriptModule, dict]:
    """The file on `device`, its recurrent weights laid as the plugin lays them there."""
    if device == "cuda" and not torch.cuda.is_available():
        raise EvaluateError("--device cuda: torch finds no CUDA card here; leave it away to time the processor")
    script, meta, _ = contract.load(path)
    if device == "cpu":
        return contract.packed(script), meta
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    script = script.to(device)
    if hasattr(script, "flatten_recurrent_weights"):
        script.flatten_recurrent_weights()
    return script, meta


@torch.no_grad()
def call_ms(script: torch.jit.ScriptModule, meta: dict, device: str, num_streams: int, num_frames: int, num_calls: int = NUM_CALLS) -> tuple[float, float]:
    """Milliseconds of the first call of `num_streams` of `num_frames` frames, and of the mean of `num_calls` after a few more."""
    spectrum = contract.test_spectrum(contract.grid_of(meta), num_frames).expand(num_streams, -1, -1, -1).contiguous().to(device)
    state = [tensor.to(device) for tensor in contract.zero_state(meta["state_shapes"], num_streams)]
    embedding = contract.test_embedding(meta)
    asked = () if embedding is None else (embedding.expand(num_streams, -1).contiguous().to(device),)
    took_ms = []
    for calls in (1, 3, num_calls):
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(calls):
            _, state = script(spectrum, state, *asked)
        if device == "cuda":
            torch.cuda.synchronize()
        took_ms.append(1e3 * (time.perf_counter() - began) / calls)
    return took_ms[0], took_ms[2]


def told(path: Path, device: str, streams: tuple[int, ...]) -> str:
    torch.set_num_threads(1)
    script, meta = loaded(path, device)
    lines = []
    for num_streams in streams:
        first, later = call_ms(script, meta, device, num_streams, meta["frames_per_call"])
        lines.append([str(num_streams), f"{first:.1f}", f"{later:.2f}"])
    num_frames = round(CLIP_S / meta["hop_s"]) // meta["frames_per_call"] * meta["frames_per_call"]
    _, pass_ms = call_ms(script, meta, device, 1, num_frames, 5)
    call_s = meta["frames_per_call"] * meta["hop_s"]
    return "\n".join([
        f"{path.name} {meta['version']} on {torch.cuda.get_device_name() if device == 'cuda' else 'a thread of the processor'}, a call is of {1e3 * call_s:.0f} ms",
        table(["Streams", "First call, ms", "Further calls, ms"], lines),
        f"{num_frames} frames of one stream in one pass: {pass_ms:.1f} ms",
    ])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.evaluate.batched", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="files that `export` wrote")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--streams", type=whole, nargs="+", default=NUM_STREAMS, help="how many at once")
    args = parser.parse_args(argv)
    try:
        for model in args.models:
            print(told(model, args.device, tuple(args.streams)))
    except (EvaluateError, contract.ExportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

"""Where the time of a call of a model file goes, by kinds of operations, beside the pass over a whole clip of the same file.

A call is short: what operations cost beyond their arithmetic (being called, memory for what they give, weights that are
fetched anew) is a good part of it. On one thread, with recurrent weights packed as the plugin does, and not those of convolutions; the profiler itself
takes its share of every operation, so that sums are larger than what `bench` measures.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ..export import contract
from .report import table

NUM_CALLS = 200
CLIP_FRAMES = 1024
INTERPRETER = "interpreter"
KINDS: dict[str, tuple[str, ...]] = {
    "recurrent layers": ("mkldnn_rnn_layer", "lstm", "gru"),
    "convolutions": ("mkldnn_convolution", "_convolution", "convolution", "conv1d", "conv2d", "thnn_conv2d", "_slow_conv2d_forward"),
    "matrix products": ("addmm", "bmm", "baddbmm", "mm", "linear", "matmul"),
    "activations and norms": (
        "native_layer_norm", "layer_norm", "native_batch_norm", "relu", "relu_", "elu", "tanh", "sigmoid", "log1p", "log", "exp", "sqrt", "rsqrt", "pow",
        "clamp", "clamp_", "clamp_min", "clamp_min_", "linalg_vector_norm", "softmax", "_softmax",
    ),
    "sums, products, means": (
        "add", "add_", "sub", "mul", "mul_", "div", "addcmul", "sum", "mean", "cumsum", "maximum", "minimum", "amax", "amin", "lerp", "square", "avg_pool1d", "avg_pool2d",
    ),
    "joining, copying, filling": ("cat", "stack", "copy_", "clone", "contiguous", "_to_copy", "to", "fill_", "zero_", "pad", "constant_pad_nd", "index"),
    "new memory": ("empty", "empty_like", "empty_strided", "resize_", "zeros", "zeros_like", "new_zeros", "new_empty"),
    INTERPRETER: ("forward",),
}
"""By operator."""
VIEWS = "views and the rest"


def kind_of(operator: str) -> str:
    name = operator.split("::")[-1]
    return next((kind for kind, names in KINDS.items() if name in names), VIEWS)


@torch.no_grad()
def profiled(script: torch.jit.ScriptModule, meta: dict, num_frames: int, num_calls: int) -> tuple[dict[str, float], dict[str, float], float]:
    """By kind, per call of `num_frames`: ms that its operations took themselves, and how many they are; and ms of all."""
    call = contract.test_spectrum(contract.grid_of(meta), num_frames)
    state = contract.zero_state(meta["state_shapes"], 1)
    embedding = contract.test_embedding(meta)
    asked = () if embedding is None else (embedding,)
    for _ in range(max(3, num_calls // 10)):
        script(call, state, *asked)
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as found:
        for _ in range(num_calls):
            script(call, state, *asked)
    ms, operations = defaultdict(float), defaultdict(float)
    for event in found.key_averages():
        ms[kind_of(event.key)] += 1e-3 * event.self_cpu_time_total / num_calls
        operations[kind_of(event.key)] += event.count / num_calls
    return ms, operations, sum(ms.values())


def told(path: Path) -> str:
    """A row per kind: share of a call, operations of a call, ms of a call and of as many frames of the pass."""
    torch.set_num_threads(1)
    script, meta, _ = contract.load(path)
    contract.packed(script)
    per_call = meta["frames_per_call"]
    of_calls, operations, whole = profiled(script, meta, per_call, NUM_CALLS)
    num_frames = CLIP_FRAMES // per_call * per_call
    of_pass, _, whole_pass = profiled(script, meta, num_frames, 4)
    scale = per_call / num_frames
    lines = [
        [kind, f"{of_calls[kind] / whole:.0%}", f"{operations[kind]:.0f}", f"{of_calls[kind]:.2f}", f"{scale * of_pass.get(kind, 0.0):.2f}"]
        for kind in sorted(of_calls, key=lambda kind: -of_calls[kind])
    ]
    lines.append(["all", "", f"{sum(operations.values()):.0f}", f"{whole:.2f}", f"{scale * whole_pass:.2f}"])
    return table(["What", "Share of a call", "Operations", f"Call of {per_call} frames, ms", f"As many frames of a pass over {num_frames}, ms"], lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.evaluate.profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a file that `export` wrote")
    args = parser.parse_args(argv)
    try:
        print(told(args.model))
    except contract.ExportError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

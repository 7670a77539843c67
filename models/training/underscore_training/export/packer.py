"""Write the file by which the plugin brings recurrent weights into oneDNN's order, or time what it saves.

See `nets.streaming.recurrent`.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from ..nets.streaming.recurrent import PackLSTM
from . import contract

NUM_CALLS = 400
"""Timed in turn, one with and one without, so that a machine that slows down does not favour either."""


@torch.no_grad()
def call_ms(model: Path) -> tuple[float, float]:
    """Median processor time of a call of one channel on one thread, with weights packed at every call and once."""
    torch.set_num_threads(1)
    scripts, times_s = [], ([], [])
    for _ in times_s:
        script, meta, _ = contract.load(model)
        scripts.append(script)
    contract.packed(scripts[1])
    call = contract.test_spectrum(contract.grid_of(meta), meta["frames_per_call"])
    state = contract.zero_state(meta["state_shapes"], 1)
    embedding = contract.test_embedding(meta)
    asked = () if embedding is None else (embedding,)
    for _ in range(NUM_CALLS):
        for script, times in zip(scripts, times_s):
            began_s = time.process_time()
            script(call, state, *asked)
            times.append(time.process_time() - began_s)
    plain, packed = (1e3 * float(np.median(times[NUM_CALLS // 10 :])) for times in times_s)
    return plain, packed


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.export.packer", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("../../plugin/torch/src/pack_lstm.pt"))
    parser.add_argument("--time", type=Path, metavar="MODEL", help="write nothing; print what a call of this file takes without and with it")
    args = parser.parse_args(argv)
    if args.time:
        try:
            plain, packed = call_ms(args.time)
        except contract.ExportError as error:
            sys.exit(f"error: {error}")
        print(f"{args.time}: {plain:.2f} ms a call, {packed:.2f} ms with packed weights, {100 * (1 - packed / plain):.0f} % less")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(PackLSTM()), str(args.out))
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()

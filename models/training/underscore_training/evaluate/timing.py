"""How long an exported file takes."""

import time
from pathlib import Path

import numpy as np
import torch

from .errors import EvaluateError

NUM_FIRST = 10
"""Calls that are not counted: the first ones compile and allocate."""


@torch.no_grad()
def real_time_factor(model: Path, num_calls: int = 100) -> float:
    """Median processor time of a call of an exported file, on one thread, over the audio it covers.

    Processor time and not the clock's: other programs on the machine must not count.
    """
    from ..export import contract

    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        script, meta, _ = contract.load(model)
    except contract.ExportError as error:
        raise EvaluateError(str(error)) from error
    script = contract.packed(script)
    per_call = meta["frames_per_call"]
    spectrum = contract.test_spectrum(contract.grid_of(meta), num_calls * per_call)
    state = contract.zero_state(meta["state_shapes"], 1)
    embedding = contract.test_embedding(meta)
    asked = () if embedding is None else (embedding,)
    times_s = []
    for call in spectrum.split(per_call, dim=1):
        call = call.contiguous()
        began_s = time.process_time()
        _, state = script(call, state, *asked)
        times_s.append(time.process_time() - began_s)
    torch.set_num_threads(num_threads)
    return float(np.median(times_s[NUM_FIRST:])) / (per_call * meta["hop_s"])

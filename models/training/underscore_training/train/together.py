"""Several processes train one network: each hears its share of every batch, and gradients are averaged.

On a processor, two processes of one thread each make more of it than one of two threads:
what lies between the large products of a step then runs in both.
"""

import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as distributed
from torch import Tensor, nn


LONGEST_WAIT = timedelta(minutes=10)
"""For a process that validates, or that has ended without a word."""


def rank() -> int:
    """0: the process that was started; it validates and saves."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def num_processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _join(meeting: str, place: int, count: int) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=place, world_size=count, timeout=LONGEST_WAIT)


def _help(meeting: str, place: int, count: int, work: Callable[..., None], arguments: tuple) -> None:
    # The process that was started is the one to be interrupted; it ends its helpers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _join(meeting, place, count)
    work(*arguments)


@contextmanager
def processes(count: int, work: Callable[..., None], *arguments: object) -> Iterator[None]:
    """This process becomes the first of `count`; the others do `work(*arguments)` and end with it."""
    if count < 2:
        yield
        return
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="underscore-train-") as folder:
        meeting = str(Path(folder, "meeting"))
        helpers = [
            context.Process(target=_help, args=(meeting, place, count, work, arguments), daemon=True)
            for place in range(1, count)
        ]
        for helper in helpers:
            helper.start()
        try:
            _join(meeting, 0, count)
            yield
        finally:
            # They may wait for a step that this process will not take part in.
            for helper in helpers:
                helper.terminate()
                helper.join()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def average(net: nn.Module, loss: Tensor) -> Tensor:
    """Gradients, statistics of normalisations and the loss become their means over all processes; returns the loss."""
    if num_processes() == 1:
        return loss
    values = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    values += [buffer for buffer in net.buffers() if buffer.is_floating_point()]
    values.append(loss.detach().clone())
    mean = torch.cat([value.flatten() for value in values])
    distributed.all_reduce(mean)
    mean /= num_processes()
    for value, part in zip(values, mean.split([value.numel() for value in values])):
        value.copy_(part.reshape(value.shape))
    return values[-1]

"""Several processes train one network: each hears its share of every batch, and gradients are averaged.

On a processor, two processes of one thread each make more of it than one of two threads:
what lies between the large products of a step then runs in both.
"""

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import torch.distributed as distributed
from torch import Tensor, nn

LONGEST_WAIT = timedelta(minutes=10)
"""For a process that validates."""


class HelperLost(Exception):
    """A process that shared the batches has ended."""


def rank() -> int:
    """0: the process that was started; it validates and saves."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def num_processes() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _join(folder: Path, place: int, count: int) -> None:
    meeting = f"file://{folder / 'meeting'}"
    distributed.init_process_group("gloo", init_method=meeting, rank=place, world_size=count, timeout=LONGEST_WAIT)


def _help(folder: Path, place: int, count: int, work: Callable[..., None], arguments: tuple) -> None:
    # The process that was started is the one to be interrupted; it ends its helpers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (folder / f"ready{place}").touch()
    _join(folder, place, count)
    work(*arguments)


def _require_alive(helpers: list[BaseProcess], cause: BaseException | None = None) -> None:
    for helper in helpers:
        if not helper.is_alive():
            raise HelperLost(
                f"a process that shared the batches has ended with status {helper.exitcode}; "
                "the run goes on from its last checkpoint with --resume"
            ) from cause


@contextmanager
def processes(count: int, work: Callable[..., None], *arguments: object) -> Iterator[None]:
    """This process becomes the first of `count`; the others do `work(*arguments)` and end with it."""
    if count < 2:
        yield
        return
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="underscore-train-") as name:
        folder = Path(name)
        helpers = [context.Process(target=_help, args=(folder, place, count, work, arguments)) for place in range(1, count)]
        try:
            for helper in helpers:
                helper.start()
            # Whoever joins waits for all; one that has died on its way would be waited for in vain.
            while len(list(folder.glob("ready*"))) < len(helpers):
                _require_alive(helpers)
                time.sleep(0.05)
            _join(folder, 0, count)
            try:
                yield
            except RuntimeError as error:
                # What an exchange says is that a connection was closed.
                for helper in helpers:
                    helper.join(timeout=1)
                _require_alive(helpers, error)
                raise
        finally:
            # They may wait for a step that this process will not take part in.
            for helper in helpers:
                if helper.is_alive():
                    helper.terminate()
                    helper.join()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def add_up(values: Tensor) -> None:
    """`values` become the sum of those of all processes."""
    if num_processes() > 1:
        distributed.all_reduce(values)


def average(net: nn.Module, loss: Tensor) -> Tensor:
    """Gradients, statistics of normalisations and the loss become their means over all processes; returns the loss."""
    if num_processes() == 1:
        return loss
    values = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    norms = (module for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    values += [value for norm in norms for value in (norm.running_mean, norm.running_var)]
    values.append(loss.detach().clone())
    mean = torch.cat([value.flatten() for value in values])
    distributed.all_reduce(mean)
    mean /= num_processes()
    for value, part in zip(values, mean.split([value.numel() for value in values])):
        value.copy_(part.reshape(value.shape))
    return values[-1]

"""The same work on many items, in processes that share what it is done with."""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from .errors import EvaluateError

T = TypeVar("T")
R = TypeVar("R")

_shared: tuple[Callable[[Any], Any], Sequence[Any]] | None = None
"""What is to be done, and on what: a process that is forked finds it here, and nothing of it is copied."""


def _at(idx: int) -> Any:
    work, items = _shared
    return work(items[idx])


def each(work: Callable[[T], R], items: Sequence[T], num_jobs: int, name: str) -> list[R]:
    """What `work` makes of each item, in their order, by `num_jobs` processes of one thread. Random numbers are to be drawn from the item."""
    global _shared
    if num_jobs == 1:
        return [work(item) for item in tqdm(items, desc=name, file=sys.stderr)]
    # A process that is forked has none of the threads that its parent had, and waits for them.
    torch.set_num_threads(1)
    _shared = (work, items)
    try:
        with ProcessPoolExecutor(num_jobs, multiprocessing.get_context("fork")) as pool:
            return list(tqdm(pool.map(_at, range(len(items))), total=len(items), desc=name, file=sys.stderr))
    except BrokenProcessPool as error:
        raise EvaluateError("a process of --jobs ended too early, for want of memory perhaps; use fewer") from error
    finally:
        _shared = None

"""Process many pictures at once: one thread per core, each with one picture."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from vqcodec.forks import most_threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    stopping: threading.Event | None = None,
) -> Iterator[tuple[Item, Future[Result]]]:
    """Call a function for each item in threads; yield each item with its finished future, in order.

    Items are taken as needed, at most one more than there are workers, so that unfetched results do not pile
    up.

    Args:
        function: called with one item. Its exceptions are kept in the future.
        items: taken one by one, in the calling thread.
        workers: number of threads. With 1, the calling thread does the work, which takes no additional
            memory.
        stopping: set when the iteration ends or is closed, before the threads are joined.
    """
    if workers == 1:
        yield from ((item, _called(function, item)) for item in items)
        return
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers, "vqcodec") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > workers:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()
            if stopping is not None:
                stopping.set()


def results_in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """Call a function of networks for each item in threads; yield the results in the order of the items.

    Args:
        function: called with one item. Its exceptions are raised here.
        items: taken as needed.
        workers: number of items at once; one per core by default. They share the cores.
    """
    cores = usable_cores()
    workers = workers or cores
    with limited_threads(max(1, cores // workers)):
        for _, future in in_parallel(function, items, workers):
            yield future.result()


# Number of threads inside a block of `limited_threads`.
_limit: int | None = None


def network_threads() -> int:
    """Return the number of threads that networks may compute with."""
    return _limit or usable_cores()


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Set the number of threads that networks compute with inside the block, in the whole process.

    Use 1 where several pictures run at once. Torch that is loaded is set too; in the child of a fork it stays at 1.
    Torch that is loaded later has to be set then.
    """
    global _limit
    torch = sys.modules.get("torch")
    before = _limit, torch and torch.get_num_threads()
    _limit = count
    if torch is not None:
        torch.set_num_threads(most_threads(count))
    try:
        yield
    finally:
        _limit, threads = before
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(most_threads(threads or usable_cores()))


def limit_torch() -> None:
    """Let torch that was just loaded keep to the limit of a block of `limited_threads`."""
    if _limit is not None:
        import torch

        torch.set_num_threads(most_threads(_limit))


def _called(function: Callable[[Item], Result], item: Item) -> Future[Result]:
    future: Future[Result] = Future()
    try:
        future.set_result(function(item))
    except Exception as error:
        future.set_exception(error)
    return future


def _finished(item: Item, future: Future[Result]) -> tuple[Item, Future[Result]]:
    future.exception()
    return item, future

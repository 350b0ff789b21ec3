"""Process many pictures at once: one thread per core, each with one picture."""

from __future__ import annotations

import os
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
    """Call a torch function for each item in threads; yield the results in the order of the items.

    Args:
        function: called with one item. Its exceptions are raised here.
        items: taken as needed.
        workers: number of items at once; one per core by default. Torch divides the cores among them.
    """
    cores = usable_cores()
    workers = workers or cores
    with torch_threads(max(1, cores // workers)):
        for _, future in in_parallel(function, items, workers):
            yield future.result()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of torch threads inside the block.

    Use 1 where several pictures run at once. Torch's setting applies to the whole process. In the child of a
    fork it stays at 1.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(most_threads(count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


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

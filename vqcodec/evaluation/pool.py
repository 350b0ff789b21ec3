"""Distribute work over single-threaded processes, which is faster than one process with many threads."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

import torch

from vqcodec.errors import VqcodecError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


class TaskError(VqcodecError):
    """A codec or a metric failed on a picture. The message says which and how."""


def in_processes(
    function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], workers: int
) -> Iterator[tuple[TaskT, ResultT]]:
    """Yield each task with its result, in the order in which they finish.

    Args:
        function: a module-level function. What it caches is kept within each process.
        tasks: picklable; `str(task)` names the task in error messages.
        workers: number of processes.

    Raises:
        TaskError: a task failed with an error from outside this package. The remaining tasks are dropped.
        vqcodec.errors.VqcodecError: a task failed with this error. The remaining tasks are dropped.
    """
    if not tasks:
        return
    with _settings_of_children():
        pool = ProcessPoolExecutor(
            min(workers, len(tasks)), multiprocessing.get_context("spawn"), initializer=_start_worker
        )
        try:
            futures = {pool.submit(function, task): task for task in tasks}
            for future in as_completed(futures):
                try:
                    result = future.result()
                except VqcodecError as error:
                    raise type(error)(f"{futures[future]}: {error}") from error
                except Exception as error:
                    text = " ".join(f"{type(error).__name__}: {error}".split())
                    raise TaskError(f"{futures[future]}: {text}") from error
                yield futures[future], result
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _settings_of_children() -> Iterator[None]:
    # All of these are read when a child starts or imports, so they must be in the environment before that.
    settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # By default glibc returns every activation map to the system and clears it again: 30 % of the time.
    settings |= {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the parent, which stops its children

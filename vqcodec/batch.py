"""Runs a command over its files: as many at once as there are cores, and one bad file does not stop the rest."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vqcodec.console import Console
from vqcodec.errors import WriteError
from vqcodec.output import exists_already
from vqcodec.parallel import in_parallel, torch_threads
from vqcodec.paths import Task

Work = Callable[[Task, Callable[[float], None]], dict[str, Any]]


class _Stopped(Exception):  # noqa: N818 - not a fault
    """The user has interrupted the batch."""


def run_batch(tasks: Sequence[Task], work: Work, threads: int, console: Console) -> None:
    """Do the work for every task and report it.

    Args:
        tasks: files to make.
        work: makes one of them and returns what there is to say about it; called from several threads.
        threads: how many to use: on so many files at once, or all on the only one.
        console: is told of every file.
    """
    stopping = threading.Event()

    def one(task: Task) -> dict[str, Any]:
        with console.working_on(task) as progress:

            def report(share: float) -> None:
                if stopping.is_set():
                    raise _Stopped
                progress(share)

            said = work(task, report)
            return said | ({"warnings": console.warnings()} if console.warnings() else {})

    workers = min(threads, max(len(tasks), 1))
    with console.listening(), torch_threads(threads // workers):
        for task, future in in_parallel(one, tasks, workers, stopping):
            error = future.exception()
            if error is None:
                console.done(task, future.result())
            else:
                console.fault(task, error)


def check_targets(
    tasks: Sequence[Task], overwrite: bool, skip_existing: bool, console: Console
) -> Iterator[Task]:
    """Leave out the tasks that need no work, and report those that would do harm."""
    sources = {_identity(task.source) for task in tasks if task.source} - {None}
    claimed: dict[Path, Task] = {}
    for task in tasks:
        if task.target is None:
            yield task
            continue
        first = claimed.setdefault(Path(os.path.realpath(task.target)), task)
        if first is not task:
            console.fault(task, WriteError(f"is already the output of {first.source_name}"))
        elif _identity(task.target) in sources:
            console.fault(task, WriteError("is one of the inputs"))
        elif skip_existing and task.target.is_file():
            console.done(task, {"skipped": True})
        elif not overwrite and task.target.is_file():
            console.fault(task, exists_already())
        else:
            yield task


def _identity(path: Path) -> tuple[int, int] | None:
    """What stays the same whatever link a file is reached by; `None` if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

"""The commands `compress` and `decompress` over many files, as many at once as there are cores.

A bad file does not stop the others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vqcodec.cli.console import Console
from vqcodec.cli.jobs import Compression, Decompression
from vqcodec.cli.output import exists_already
from vqcodec.cli.plan import Task, plan
from vqcodec.errors import ImageError, RequestError, WriteError
from vqcodec.image.find import picture_suffixes, readable_suffixes
from vqcodec.image.keep import Keep
from vqcodec.image.save import format_of
from vqcodec.runtime.threads import in_parallel, limited_threads, usable_cores

Work = Callable[[Task, Callable[[float], None]], dict[str, Any]]

SUFFIX = ".vqc"


def compress_files(
    inputs: Sequence[str],
    *,
    output: str | None,
    quality: float,
    bpp: float | None,
    size: int | None,
    keep: Keep,
    engine: str,
    max_megapixels: float,
    force: bool,
    preserve: bool,
    **batch,
) -> int:
    """Compress pictures with the options of the command `compress`; return the exit code.

    Raises:
        vqcodec.errors.VqcodecError: the options do not go together, or the model cannot be loaded.
    """
    tasks = plan(inputs, output, readable_suffixes(), SUFFIX)
    if len(tasks) == 1 and tasks[0].target:
        _check_suffix(tasks[0].target)
    work = Compression(quality, bpp, size, keep, _pixels(max_megapixels), force, preserve)
    return _run(tasks, work, engine=engine, **batch)


def decompress_files(
    inputs: Sequence[str],
    *,
    output: str | None,
    suffix: str | None,
    stages: int | None,
    region: tuple[int, int, int, int] | None,
    scale: int,
    conceal: bool,
    realism: float | None,
    reference: Path | None,
    label: bool,
    keep: Keep,
    max_megapixels: float,
    force: bool,
    preserve: bool,
    **batch,
) -> int:
    """Decompress files with the options of the command `decompress`; return the exit code.

    Raises:
        vqcodec.errors.VqcodecError: the options do not go together, or the model cannot be loaded.
    """
    new_suffix = "." + (suffix or "png").removeprefix(".")
    tasks = plan(inputs, output, {SUFFIX}, new_suffix)
    if reference is not None and len(tasks) > 1:
        raise RequestError("--reference is for one file")
    kinds = {format_of(task.target.suffix) for task in tasks if task.target and not task.fault}
    kind = format_of(new_suffix) if suffix or not kinds else kinds.pop()
    limit = _pixels(max_megapixels)
    work = Decompression(
        stages, region, scale, conceal, realism, limit, kind, force, preserve, reference, keep, label
    )
    return _run(tasks, work, engine="local", **batch)


def _check_suffix(target: Path) -> None:
    """Refuse to write a file of ours under the name of another kind of picture."""
    suffix = target.suffix.lower()
    if suffix != SUFFIX and suffix in picture_suffixes():
        raise RequestError(f"{target}: the outputs of compress are {SUFFIX} files, not {suffix} files")


def _run(
    tasks: Sequence[Task],
    work: Compression | Decompression,
    *,
    engine: str,
    model: str | None,
    device: str,
    runtime: str | None,
    threads: int | None,
    skip_existing: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> int:
    # --max-megapixels replaces Pillow's limit, and this process serves only this command.
    Image.MAX_IMAGE_PIXELS = None
    if work.preserve and any(task.source is None or task.target is None for task in tasks):
        raise RequestError("--preserve is for files, not for standard input and output")
    to_stdout = any(task.target is None for task in tasks)
    if to_stdout and as_json:
        raise RequestError("standard output cannot carry both the file and --json")
    console = Console(len(tasks), as_json=as_json, quiet=quiet, verbose=verbose, data_on_stdout=to_stdout)
    tasks = list(check_targets(tasks, work.overwrite, skip_existing, console))
    if tasks and engine == "ray" and isinstance(work, Compression):
        from vqcodec.cli.ray import run_on_ray

        run_on_ray(tasks, work, model, device, runtime, console)
    elif tasks:
        from vqcodec.codec import Codec
        from vqcodec.runtime.choice import of_many

        codec = Codec.load(model, device, runtime=runtime or of_many(len(tasks)))
        run_batch(
            tasks, lambda task, report: work.run(codec, task, report), threads or usable_cores(), console
        )
    return console.exit_code


def _pixels(megapixels: float) -> int | None:
    return int(megapixels * 1e6) or None


class _Stopped(Exception):  # noqa: N818 - not an error
    """The user has interrupted the batch."""


def run_batch(tasks: Sequence[Task], work: Work, threads: int, console: Console) -> None:
    """Process every task and report it.

    Args:
        tasks: files to make.
        work: makes one file and returns facts to report about it. Called from several threads.
        threads: number of cores to use, on as many files at once, or all on a single file.
        console: is told about every file.
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
    with console.listening(), limited_threads(threads // workers):
        for task, future in in_parallel(one, tasks, workers, stopping):
            error = future.exception()
            if error is None:
                console.done(task, future.result())
            elif task.target is None and isinstance(error, BrokenPipeError):
                raise error
            else:
                console.fault(task, error)


def check_targets(
    tasks: Sequence[Task], overwrite: bool, skip_existing: bool, console: Console
) -> Iterator[Task]:
    """Yield the tasks that need work. Skip those that are done, and report those that would do harm.

    Args:
        tasks: files to make.
        overwrite: whether existing outputs may be replaced.
        skip_existing: whether existing outputs count as done.
        console: is told about the other tasks.
    """
    sources = {_identity(task.source) for task in tasks if task.source} - {None}
    claimed: dict[Path, Task] = {}
    for task in tasks:
        if task.fault is not None:
            console.fault(task, ImageError(task.fault))
            continue
        if task.target is None:
            yield task
            continue
        first = claimed.setdefault(Path(os.path.realpath(task.target)), task)
        if first is not task:
            console.fault(task, WriteError(f"is already the output of {first.source_name}"))
        elif _identity(task.target) in sources:
            console.fault(task, WriteError("is one of the inputs"))
        elif skip_existing and os.path.isfile(task.target):
            console.done(task, {"skipped": True})
        elif not overwrite and os.path.isfile(task.target):
            console.fault(task, exists_already())
        else:
            yield task


def _identity(path: Path) -> tuple[int, int] | None:
    """Return a file's device and inode, the same for all links to it; `None` if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

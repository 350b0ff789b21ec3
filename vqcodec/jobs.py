"""The commands `compress` and `decompress`: from their options to a batch of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from vqcodec.batch import check_targets, run_batch
from vqcodec.console import Console
from vqcodec.errors import RequestError
from vqcodec.files import Compression, Decompression
from vqcodec.parallel import usable_cores
from vqcodec.paths import Task, plan
from vqcodec.writing import format_of

SUFFIX = ".vqc"


def compress_files(
    inputs: Sequence[str],
    *,
    output: str | None,
    quality: float,
    bpp: float | None,
    size: int | None,
    strip: bool,
    engine: str,
    max_megapixels: float,
    force: bool,
    **batch,
) -> int:
    """Compress pictures; options as of the command. Returns the exit code."""
    Image.init()
    readable = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    tasks = plan(inputs, output, readable - {SUFFIX}, SUFFIX)
    work = Compression(quality, bpp, size, not strip, _pixels(max_megapixels), force)
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
    max_megapixels: float,
    force: bool,
    **batch,
) -> int:
    """Decompress files; options as of the command. Returns the exit code."""
    new_suffix = "." + (suffix or "png").removeprefix(".")
    tasks = plan(inputs, output, {SUFFIX}, new_suffix)
    if reference is not None and len(tasks) > 1:
        raise RequestError("--reference is for one file")
    kinds = {format_of(task.target.suffix) for task in tasks if task.target}
    kind = format_of(new_suffix) if suffix or not kinds else kinds.pop()
    limit = _pixels(max_megapixels)
    work = Decompression(stages, region, scale, conceal, realism, limit, kind, force, reference)
    return _run(tasks, work, engine="local", **batch)


def _run(
    tasks: Sequence[Task],
    work: Compression | Decompression,
    *,
    engine: str,
    model: str | None,
    device: str,
    threads: int | None,
    skip_existing: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> int:
    # The limit that the user sets is checked instead; this process is his alone.
    Image.MAX_IMAGE_PIXELS = None
    to_stdout = any(task.target is None for task in tasks)
    if to_stdout and as_json:
        raise RequestError("standard output cannot carry both the file and --json")
    console = Console(len(tasks), as_json=as_json, quiet=quiet, verbose=verbose, data_on_stdout=to_stdout)
    tasks = list(check_targets(tasks, work.overwrite, skip_existing, console))
    if tasks and engine == "ray":
        from vqcodec.ray_engine import run_on_ray

        run_on_ray(tasks, work, model, device, console)
    elif tasks:
        from vqcodec.codec import Codec

        codec = Codec.load(model, device)
        run_batch(
            tasks, lambda task, report: work.run(codec, task, report), threads or usable_cores(), console
        )
    return console.exit_code


def _pixels(megapixels: float) -> int | None:
    return int(megapixels * 1e6) or None

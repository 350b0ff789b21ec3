"""Compress files on a Ray cluster whose machines share a file system: one row of Ray Data per file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqcodec import errors
from vqcodec.cli.console import Console, in_words
from vqcodec.cli.jobs import Compression
from vqcodec.cli.plan import Task
from vqcodec.errors import RequestError, VqcodecError
from vqcodec.runtime.threads import limited_threads


def run_on_ray(
    tasks: Sequence[Task],
    work: Compression,
    model: str | None,
    device: str,
    runtime: str | None,
    console: Console,
) -> None:
    """Compress the files of all tasks in processes of the cluster, and report on them here.

    Connects to the cluster of `RAY_ADDRESS`, or starts one on this machine. Files are written whole or not at
    all, so an interrupted run can be continued by skipping existing outputs.

    Args:
        tasks: files to make.
        work: options.
        model: released model or model file; `None` for the default.
        device: torch device of the networks.
        runtime: library that runs them, "onnx" or "torch"; by default the faster one.
        console: is told about every file.

    Raises:
        RequestError: Ray is not installed, or a task has a standard stream.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RequestError(
            f"the engine ray needs more packages: pip install 'vqcodec[ray]' ({error})"
        ) from error
    if any(task.source is None or task.target is None for task in tasks):
        raise RequestError("standard input and output do not reach other machines")
    started = not ray.is_initialized()
    if started:
        ray.init(logging_level="ERROR", log_to_driver=False)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        cores = int(ray.cluster_resources().get("CPU", 1))
        rows = [
            {"number": number, "source": str(task.source.absolute()), "target": str(task.target.absolute())}
            for number, task in enumerate(tasks)
            if task.source and task.target
        ]
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,
            # A row that is processed again, after a machine was lost, may find its own output.
            fn_constructor_args=(replace(work, overwrite=True), model, device, runtime),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(cores, len(rows))),
            num_cpus=1,
        )
        with console.listening():
            for row in results.iter_rows():
                _report(tasks[row["number"]], row["said"], console)
                console.advance(1)
    finally:
        if started:
            ray.shutdown()


class _Worker:
    """Holds a codec in one process of the cluster and compresses one file after another."""

    def __init__(self, work: Compression, model: str | None, device: str, runtime: str | None) -> None:
        from PIL import Image

        from vqcodec.codec import Codec
        from vqcodec.runtime.choice import MANY, of_many

        Image.MAX_IMAGE_PIXELS = None
        self.work = work
        self.codec = Codec.load(model, device, runtime=runtime or of_many(MANY))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        task = Task(Path(row["source"]), Path(row["target"]))
        with warnings.catch_warnings(record=True) as caught, limited_threads(1):
            warnings.simplefilter("always", UserWarning)
            try:
                said = self.work.run(self.codec, task)
            except Exception as error:
                said = {"error": in_words(error), "kind": type(error).__name__}
        if caught:
            said["warnings"] = [" ".join(str(warning.message).split()) for warning in caught]
        # As text, because all rows need the same fields.
        return {"number": row["number"], "said": json.dumps(said)}


def _report(task: Task, text: str, console: Console) -> None:
    said = json.loads(text)
    for warning in said.get("warnings", ()):
        console.complain(f"{task.source_name}: warning: {warning}")
    if "error" not in said:
        console.done(task, said)
        return
    # Compressing reads no `.vqc` files, so an error of a class that is not in `vqcodec.errors` is unexpected.
    kind = getattr(errors, said["kind"], VqcodecError)
    console.fault(task, kind(said["error"]))

"""An evaluation run: every picture through every codec at every quality, in several processes, resumable."""

import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqcodec.errors import RequestError
from vqcodec.evaluation.codecs import BenchCodec, load_codec
from vqcodec.evaluation.environment import write_environment
from vqcodec.evaluation.metrics import KID, METRICS, Reference, Scorer
from vqcodec.evaluation.metrics.kid import PatchFeatures, kernel_distance
from vqcodec.evaluation.originals import Original, read_image
from vqcodec.evaluation.pool import in_processes
from vqcodec.evaluation.results import Curve, Point, ResultsFile, Row, mean_curves, write_curve, write_means
from vqcodec.runtime.device import native_bfloat16


@dataclass(frozen=True)
class Task:
    """One file to make and measure.

    Attributes:
        original: the picture.
        codec: name for `load_codec`.
        quality: setting of the codec.
        metrics: names of the metrics.
        patches: folder for the patch features if KID is wanted, else `None`.
    """

    original: Original
    codec: str
    quality: float
    metrics: tuple[str, ...]
    patches: Path | None

    def __str__(self) -> str:
        return f"{self.codec} at quality {self.quality:g} on {self.original.name}"


def evaluate(
    originals: Sequence[Original],
    codecs: Sequence[str],
    metrics: Sequence[str],
    out: Path,
    qualities: Mapping[str, Sequence[float]] | None = None,
    workers: int = 1,
) -> list[Curve]:
    """Measure codecs on pictures and write all results to a folder.

    The folder gets `rows.csv` (one line per picture, codec and quality), `means.csv` (one line per codec and
    quality), one JSON file per codec with its mean curve in CompressAI's schema, and `run.json` with the
    machine, the versions and the command. Lines of an earlier run into the same folder are reused if picture,
    codec settings and names of the metrics are the same. They do not know the code of a metric: after a change
    of it, use another folder.

    Args:
        originals: pictures.
        codecs: names for `load_codec`.
        metrics: names from `METRICS`.
        out: folder; created if missing.
        qualities: settings by codec name, in place of a codec's own sweep.
        workers: number of processes, each with one thread.

    Returns:
        the mean curve of each codec, in the order of `codecs`.

    Raises:
        RequestError: a codec or metric does not exist, or two codecs have the same name.
        TaskError: a codec failed on a picture.
        MissingExtraError: a package that a codec or metric needs is not installed.
    """
    started = time.monotonic()
    loaded = {name: load_codec(name) for name in codecs}
    names = [codec.name for codec in loaded.values()]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"two codecs are called {name}")
    for name in qualities or {}:
        if name not in names:
            raise RequestError(f"qualities are given for {name}, which is not among {', '.join(names)}")
    # Load the metrics here only to report missing packages before the processes start.
    Scorer(metrics)
    out.mkdir(parents=True, exist_ok=True)
    patches = None
    if KID.name in metrics:
        PatchFeatures()
        patches = out / "patches"
        patches.mkdir(exist_ok=True)

    tasks = [
        Task(original, name, quality, tuple(metrics), patches)
        for original in originals
        for name, codec in loaded.items()
        for quality in (qualities or {}).get(codec.name, codec.qualities)
    ]
    file = ResultsFile(out / "rows.csv", [name for name in metrics if name != KID.name])
    done = {(row.image, row.codec, row.quality): row for row in file.rows}
    todo = []
    for task in tasks:
        key = (task.original.name, loaded[task.codec].name, task.quality)
        if not _is_done(task, loaded[task.codec], done.get(key)):
            done.pop(key, None)
            todo.append(task)
    file.start(done.values())
    with tqdm(total=len(tasks), initial=len(tasks) - len(todo), unit="file") as progress:
        for _, row in in_processes(_measure, todo, workers):
            file.append(row)
            progress.set_postfix_str(f"{row.image} {row.codec}", refresh=False)
            progress.update()

    wanted = {(task.original.name, loaded[task.codec].name, task.quality) for task in tasks}
    rows = [row for row in file.rows if (row.image, row.codec, row.quality) in wanted]
    curves = mean_curves(rows, names, [original.name for original in originals])
    if patches:
        curves = [_with_realism(curve, originals, patches) for curve in curves]
    for curve in curves:
        write_curve(curve, _curve_file(out, curve))
    write_means(curves, out / "means.csv")
    if todo:
        seconds = f"{time.monotonic() - started:.0f}, of {len(todo)} files out of {len(tasks)}"
        dtype = "bfloat16" if native_bfloat16() else "float32"
        more = {"processes": str(workers), "seconds": seconds, "ST-LPIPS trunks": dtype}
        write_environment(out / "run.json", more)
    return curves


def files_written(curves: Sequence[Curve], out: Path) -> list[Path]:
    """Return the files of a run of `evaluate`, and the folder of patch features if it has one.

    Args:
        curves: what `evaluate` returned.
        out: folder of the run.
    """
    files = [out / "rows.csv", out / "means.csv", *(_curve_file(out, curve) for curve in curves)]
    files.append(out / "run.json")
    return files + [folder for folder in [out / "patches"] if folder.exists()]


def _is_done(task: Task, codec: BenchCodec, row: Row | None) -> bool:
    """Return whether an earlier run measured the same picture with the same codec and all metrics."""
    if row is None or (row.pixels, row.settings) != (task.original.pixels, codec.settings):
        return False
    if task.patches:
        after = _patch_file(task.patches, task.original, codec.name, task.quality)
        if not (after.exists() and _patch_file(task.patches, task.original).exists()):
            return False
    side = min(row.width, row.height)
    applicable = {name for name in task.metrics if name != KID.name and METRICS[name].smallest_side <= side}
    return applicable <= row.metrics.keys()


_codec = lru_cache(load_codec)
_scorer = lru_cache(Scorer)
_patch_features = lru_cache(PatchFeatures)


@lru_cache(maxsize=1)
def _reference(original: Original, metrics: tuple[str, ...]) -> Reference:
    return _scorer(metrics).reference(read_image(original.path))


def _measure(task: Task) -> Row:
    original = task.original
    codec, reference = _codec(task.codec), _reference(original, task.metrics)
    start = time.perf_counter()
    data = codec.compress(reference.image, task.quality)
    encoded = time.perf_counter()
    decoded = codec.decompress(data)
    end = time.perf_counter()
    values = _scorer(task.metrics).score(reference, decoded)
    if task.patches:
        before = _patch_file(task.patches, original)
        if not before.exists():
            _save(before, _patch_features()(reference.image))
        after = _patch_file(task.patches, original, codec.name, task.quality)
        _save(after, _patch_features()(decoded))
    return Row(
        image=original.name,
        pixels=original.pixels,
        width=original.width,
        height=original.height,
        codec=codec.name,
        settings=codec.settings,
        quality=float(task.quality),
        size=len(data),
        encode_seconds=round(encoded - start, 4),
        decode_seconds=round(end - encoded, 4),
        metrics=values,
    )


def _save(path: Path, features: np.ndarray) -> None:
    # Write atomically: two processes may write the same file, and a run may stop at any moment.
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        np.save(file, features.astype(np.float16))
    os.replace(temporary, path)


def _patch_file(folder: Path, original: Original, codec: str | None = None, quality: float = 0) -> Path:
    suffix = "" if codec is None else f"-{_file_name(codec)}-{quality:g}"
    return folder / f"{original.pixels:08x}{suffix}.npy"


def _curve_file(out: Path, curve: Curve) -> Path:
    return out / f"{_file_name(curve.name)}.json"


def _file_name(codec: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", codec)


def _with_realism(curve: Curve, originals: Sequence[Original], patches: Path) -> Curve:
    before = [np.load(_patch_file(patches, original)) for original in originals]
    if sum(map(len, before)) < 2:
        return curve
    return replace(
        curve,
        points=tuple(_point_with_realism(curve.name, p, before, originals, patches) for p in curve.points),
    )


def _point_with_realism(
    codec: str, point: Point, before: list[np.ndarray], originals: Sequence[Original], patches: Path
) -> Point:
    after = [np.load(_patch_file(patches, original, codec, point.quality)) for original in originals]
    distance = kernel_distance(before, after)
    errors = {} if math.isnan(distance.standard_error) else {KID.name: distance.standard_error}
    return replace(point, metrics=point.metrics | {KID.name: distance.value}, errors=point.errors | errors)

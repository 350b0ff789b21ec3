"""Measurements: a CSV row per image, codec and quality, and mean curves in CompressAI's schema."""

import csv
import io
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vqcodec.errors import RequestError
from vqcodec.evaluation.metrics import METRICS

# CompressAI has used two names for each of these columns.
_SCHEMA_NAMES = {"psnr": "psnr-rgb", "ms-ssim": "ms-ssim-rgb"}
_OWN_NAMES = {"psnr-rgb": "psnr", "ms-ssim-rgb": "ms-ssim"}


@dataclass
class Row:
    """One image through one codec at one quality.

    Attributes:
        image: name of the original.
        pixels: CRC-32 of its RGB pixels, to detect a changed picture.
        width: in pixels.
        height: in pixels.
        codec: name of the codec.
        settings: versions and options of the codec.
        quality: setting of the codec.
        size: size of the whole file, in bytes.
        encode_seconds: wall-clock time, with as many codecs running at once as there were processes.
        decode_seconds: likewise.
        metrics: values by metric name. A metric that needs a larger image is absent.
    """

    image: str
    pixels: int
    width: int
    height: int
    codec: str
    settings: str
    quality: float
    size: int
    encode_seconds: float
    decode_seconds: float
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return self.size * 8 / (self.width * self.height)


_COLUMNS: tuple[str, ...] = ("image", "pixels", "width", "height", "codec", "settings", "quality")
_COLUMNS += ("size", "bpp", "encode_seconds", "decode_seconds")


class ResultsFile:
    """A CSV file of rows that grows during a run. The next run can continue it.

    Args:
        path: the file; it need not exist.
        metrics: names of the columns after the fixed ones.

    Attributes:
        path: the file.
        rows: all rows in it.

    Raises:
        RequestError: the file exists and is not a results file.
    """

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        self.path = path
        self._metrics = list(metrics)
        self.rows = read_rows(path) if path.exists() else []

    def start(self, keep: Iterable[Row]) -> None:
        """Write the file anew, atomically, with the rows to keep."""
        self.rows = list(keep)
        self._metrics = [
            name for name in METRICS if name in self._metrics or any(name in row.metrics for row in self.rows)
        ]
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*_COLUMNS, *self._metrics])
            writer.writerows(self._cells(row) for row in self.rows)
        os.replace(temporary, self.path)

    def append(self, row: Row) -> None:
        """Add a row. It is in the file when this returns."""
        self.rows.append(row)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(self._cells(row))

    def _cells(self, row: Row) -> list[str]:
        fixed = [row.image, row.pixels, row.width, row.height, row.codec, row.settings, row.quality, row.size]
        fixed += [f"{row.bpp:.6f}", row.encode_seconds, row.decode_seconds]
        # Keep all digits, so that a continued run ends with the same means as an uninterrupted one.
        return [str(cell) for cell in fixed] + [str(row.metrics.get(name, "")) for name in self._metrics]


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a results file. A last line that was cut off while being written is dropped.

    Raises:
        RequestError: the file is not a results file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise RequestError(f"{path} is not a results file: {error}") from error
    whole = text[: text.rfind("\n") + 1]
    rows = []
    for number, line in enumerate(csv.DictReader(io.StringIO(whole, newline="")), start=2):
        try:
            rows.append(_parse(line))
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError(f"{path} is not a results file: line {number}: {error!r}") from error
    return rows


def _parse(line: dict[str, str]) -> Row:
    return Row(
        image=line["image"],
        pixels=int(line["pixels"]),
        width=int(line["width"]),
        height=int(line["height"]),
        codec=line["codec"],
        settings=line["settings"],
        quality=float(line["quality"]),
        size=int(line["size"]),
        encode_seconds=float(line["encode_seconds"]),
        decode_seconds=float(line["decode_seconds"]),
        metrics={name: float(line[name]) for name in METRICS if line.get(name)},
    )


@dataclass(frozen=True)
class Point:
    """One quality of a codec, averaged over the images.

    Attributes:
        bpp: mean bits per pixel.
        quality: setting of the codec; NaN where a published curve does not give it.
        metrics: mean values by metric name.
        errors: standard errors by metric name, for metrics that have one.
        encode_seconds: mean wall-clock time per image; NaN where unknown.
        decode_seconds: likewise.
    """

    bpp: float
    quality: float
    metrics: dict[str, float]
    errors: dict[str, float] = field(default_factory=dict)
    encode_seconds: float = math.nan
    decode_seconds: float = math.nan


@dataclass(frozen=True)
class Curve:
    """The points of a codec, by increasing rate.

    Attributes:
        name: name of the codec.
        description: versions and settings, or the source of a published curve.
        points: at least one.
        published: whether other people measured it.
    """

    name: str
    description: str
    points: tuple[Point, ...]
    published: bool = False

    def values(self, metric: str) -> list[tuple[float, float]]:
        """Return (bpp, value) of the points that have a metric."""
        return [(point.bpp, point.metrics[metric]) for point in self.points if metric in point.metrics]


def mean_curves(rows: Iterable[Row], codecs: Sequence[str], images: Sequence[str]) -> list[Curve]:
    """Average rows over images. Only points that every image has are kept.

    Args:
        rows: any rows. Those of other codecs or images are ignored.
        codecs: names, in the order of the result.
        images: names of the images.
    """
    groups: dict[tuple[str, float], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.image in images:
            groups[row.codec, row.quality][row.image] = row
    curves = []
    for codec in codecs:
        points = [
            _mean_point(quality, list(group.values()))
            for (name, quality), group in groups.items()
            if name == codec and len(group) == len(images)
        ]
        if points:
            settings = next(row.settings for row in rows if row.codec == codec)
            curves.append(Curve(codec, settings, tuple(sorted(points, key=lambda point: point.bpp))))
    return curves


def _mean_point(quality: float, rows: Sequence[Row]) -> Point:
    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    # A mean over fewer images than that of the rate would not belong to it.
    metrics = [name for name in METRICS if all(name in row.metrics for row in rows)]
    return Point(
        bpp=mean([row.bpp for row in rows]),
        quality=quality,
        metrics={name: mean([row.metrics[name] for row in rows]) for name in metrics},
        encode_seconds=mean([row.encode_seconds for row in rows]),
        decode_seconds=mean([row.decode_seconds for row in rows]),
    )


def write_curve(curve: Curve, path: Path) -> None:
    """Write a curve as JSON in CompressAI's result schema, with the full names of the metrics."""
    names = [name for name in METRICS if all(name in point.metrics for point in curve.points)]
    results = {"bpp": [point.bpp for point in curve.points]}
    for name in names:
        results[_SCHEMA_NAMES.get(name, name)] = [point.metrics[name] for point in curve.points]
        if all(name in point.errors for point in curve.points):
            results[f"{name}-standard-error"] = [point.errors[name] for point in curve.points]
    for column, values in (
        ("quality", [point.quality for point in curve.points]),
        ("encoding_time", [point.encode_seconds for point in curve.points]),
        ("decoding_time", [point.decode_seconds for point in curve.points]),
    ):
        if not any(math.isnan(value) for value in values):
            results[column] = values
    labels = {_SCHEMA_NAMES.get(name, name): METRICS[name].label for name in names}
    content = {"name": curve.name, "description": curve.description, "metrics": labels, "results": results}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_means(curves: Iterable[Curve], path: Path) -> None:
    """Write all curves to a CSV file, one line per codec and quality, with the full names of the metrics."""
    curves = list(curves)
    names = [name for name in METRICS if any(curve.values(name) for curve in curves)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["codec", "quality", "bpp", *(METRICS[name].label for name in names)])
        for curve in curves:
            for point in curve.points:
                values = [f"{point.metrics[name]:.6g}" if name in point.metrics else "" for name in names]
                writer.writerow([curve.name, f"{point.quality:g}", f"{point.bpp:.6f}", *values])


def means_table(curves: Iterable[Curve]) -> str:
    """Return the measured curves as a table for a terminal, one line per codec and quality, in short."""
    curves = [curve for curve in curves if not curve.published]
    names = [name for name in METRICS if any(curve.values(name) for curve in curves)]
    lines = [["codec", "quality", "bpp", *names]]
    for curve in curves:
        for point in curve.points:
            values = [f"{point.metrics[name]:#.4g}" if name in point.metrics else "" for name in names]
            lines.append([curve.name, f"{point.quality:g}", f"{point.bpp:.4f}", *values])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    )


def read_curve(path: Path) -> Curve:
    """Read a published curve from a JSON file in CompressAI's result schema.

    Raises:
        RequestError: the file does not follow the schema, or has no points.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        results = content["results"]
        columns = {_OWN_NAMES.get(name, name): values for name, values in results.items()}
        points = []
        for index, bpp in enumerate(columns["bpp"]):
            metrics = {name: float(columns[name][index]) for name in METRICS if name in columns}
            points.append(Point(float(bpp), math.nan, metrics))
        name, description = str(content["name"]), str(content.get("description", ""))
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        AttributeError,
        KeyError,
        TypeError,
        IndexError,
    ) as error:
        raise RequestError(f"{path} is not a result file of CompressAI's schema: {error!r}") from error
    if not points:
        raise RequestError(f"{path} has no points")
    return Curve(name, description, tuple(sorted(points, key=lambda point: point.bpp)), published=True)

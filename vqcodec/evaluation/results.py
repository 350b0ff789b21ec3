"""What was measured: a CSV row per image, codec and quality, and mean curves in CompressAI's schema."""

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

# CompressAI has written the same two columns under two names each.
_SCHEMA_NAMES = {"psnr": "psnr-rgb", "ms-ssim": "ms-ssim-rgb"}
_OWN_NAMES = {"psnr-rgb": "psnr", "ms-ssim-rgb": "ms-ssim"}


@dataclass
class Row:
    """One image through one codec at one quality.

    Attributes:
        image: name of the original.
        pixels: CRC-32 of its RGB pixels, by which a changed picture is noticed.
        width: in pixels.
        height: in pixels.
        codec: name.
        settings: versions and options of the codec.
        quality: setting of the codec.
        size: the whole file, in bytes.
        encode_seconds: wall clock, with as many codecs running beside it as there were processes.
        decode_seconds: likewise.
        metrics: values by metric name; a metric that needs a larger image is absent.
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
        """Bits of the whole file per pixel."""
        return self.size * 8 / (self.width * self.height)


_COLUMNS = ("image", "pixels", "width", "height", "codec", "settings", "quality")
_COLUMNS += ("size", "bpp", "encode_seconds", "decode_seconds")


class ResultsFile:
    """A CSV file of rows that grows while a run goes on, and that the next run continues.

    Args:
        path: the file; it need not exist.
        metrics: names of the columns after the fixed ones.
    """

    def __init__(self, path: Path, metrics: Sequence[str]) -> None:
        self.path = path
        self._metrics = list(metrics)
        self.rows = read_rows(path) if path.exists() else []

    def start(self, keep: Iterable[Row]) -> None:
        """Begin to write: the rows to keep, in a file that appears whole or not at all."""
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
        """Add a row; it is in the file when this returns."""
        self.rows.append(row)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(self._cells(row))

    def _cells(self, row: Row) -> list[str]:
        fixed = [row.image, row.pixels, row.width, row.height, row.codec, row.settings, row.quality, row.size]
        fixed += [f"{row.bpp:.6f}", row.encode_seconds, row.decode_seconds]
        # All digits, so that a continued run ends with the same means as one that went through.
        return [str(cell) for cell in fixed] + [str(row.metrics.get(name, "")) for name in self._metrics]


def read_rows(path: Path) -> list[Row]:
    """Rows of a results file; a last line that was cut off while being written is left out.

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
        quality: setting of the codec; NaN where a published curve does not say.
        metrics: mean values by metric name.
        errors: standard errors by metric name, of those metrics that have one.
        encode_seconds: mean wall clock per image; NaN where unknown.
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
    """The points of a codec, by rising rate.

    Attributes:
        name: of the codec.
        description: versions and settings, or the source of a published curve.
        points: at least one.
        published: whether other people measured it.
    """

    name: str
    description: str
    points: tuple[Point, ...]
    published: bool = False

    def values(self, metric: str) -> list[tuple[float, float]]:
        """(bpp, value) of the points that have a metric."""
        return [(point.bpp, point.metrics[metric]) for point in self.points if metric in point.metrics]


def mean_curves(rows: Iterable[Row], codecs: Sequence[str], images: Sequence[str]) -> list[Curve]:
    """Curves averaged over images, with the points only that every image has.

    Args:
        rows: any rows; those of other codecs or images are left out.
        codecs: names in the order wanted.
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

    # A mean over other images than the rate's would not belong to it.
    metrics = [name for name in METRICS if all(name in row.metrics for row in rows)]
    return Point(
        bpp=mean([row.bpp for row in rows]),
        quality=quality,
        metrics={name: mean([row.metrics[name] for row in rows]) for name in metrics},
        encode_seconds=mean([row.encode_seconds for row in rows]),
        decode_seconds=mean([row.decode_seconds for row in rows]),
    )


def write_curve(curve: Curve, path: Path) -> None:
    """Write a curve as a JSON file in CompressAI's result schema, and the metrics' full names beside it."""
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
    """Write all curves to one CSV file, a line per codec and quality, with the full names of the metrics."""
    curves = list(curves)
    names = [name for name in METRICS if any(curve.values(name) for curve in curves)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["codec", "quality", "bpp", *(METRICS[name].label for name in names)])
        for curve in curves:
            for point in curve.points:
                values = [f"{point.metrics[name]:.6g}" if name in point.metrics else "" for name in names]
                writer.writerow([curve.name, f"{point.quality:g}", f"{point.bpp:.6f}", *values])


def read_curve(path: Path) -> Curve:
    """Read a published curve from a JSON file in CompressAI's result schema.

    Raises:
        RequestError: the file is not such a file.
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

"""The commands `evaluate` and `compare`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vqcodec.cli.output import replacing
from vqcodec.errors import RequestError, WriteError
from vqcodec.evaluation.codecs import CODECS
from vqcodec.evaluation.comparison import BESIDE_PICTURES, ComparisonTask, compare_all, spread
from vqcodec.evaluation.metrics import DEFAULT_METRICS, METRICS
from vqcodec.evaluation.originals import Original, find_originals, read_image
from vqcodec.evaluation.report.report import comparison_page, write_all
from vqcodec.evaluation.results import means_table, read_curve
from vqcodec.evaluation.run import evaluate, files_written
from vqcodec.runtime.threads import usable_cores


class _List(click.ParamType):
    """Comma-separated names."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(value)


class _Qualities(click.ParamType):
    """`codec=1,2,3`."""

    name = "codec=numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[float, ...]]:
        if isinstance(value, tuple):
            return value
        codec, equals, numbers = str(value).partition("=")
        try:
            if equals and numbers:
                return codec.strip(), tuple(_number(text) for text in numbers.split(","))
        except ValueError:
            pass
        self.fail(f"{value!r} is not of the form avif=10,20,30", param, ctx)


def _number(text: str) -> float:
    # Pass whole numbers to codecs as `int`, like those of their own sweep.
    value = float(text)
    return int(value) if value.is_integer() else value


_existing = click.Path(exists=True, path_type=Path)


@click.command("evaluate")
@click.argument("places", metavar="DIR...", nargs=-1, required=True, type=_existing)
@click.option(
    "--codecs",
    type=_List(),
    default="vqcodec,jpeg,webp,avif,jxl",
    show_default=True,
    help=f"The codec under test first. Known: {', '.join(CODECS)}; "
    "vqcodec@FILE for another model; module:Class for your own.",
)
@click.option(
    "--qualities",
    type=_Qualities(),
    multiple=True,
    metavar="CODEC=N,N,...",
    help="Settings of a codec in place of its own sweep; can be given for several.",
)
@click.option(
    "--metrics",
    type=_List(),
    default=",".join(DEFAULT_METRICS),
    show_default=True,
    help=f"Known: {', '.join(METRICS)}.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="results",
    show_default=True,
    help="Folder for tables, curves and plots; a run into the same folder is continued.",
)
@click.option(
    "--overlay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE.json",
    help="Published curve in CompressAI's schema to draw as well; repeatable.",
)
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="Number of pictures to show in the report, at equal steps through the list.",
)
@click.option(
    "--show",
    multiple=True,
    metavar="NAME",
    help="File name of a picture to show, in place of --pictures; repeatable.",
)
@click.option(
    "--bpp",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    default=[0.1],
    show_default=True,
    help="Rate of the pictures in the report; repeatable.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=usable_cores,
    show_default="all cores",
    help="Processes, each with one thread.",
)
def evaluate_command(
    places: Sequence[Path],
    codecs: Sequence[str],
    qualities: Sequence[tuple[str, Sequence[float]]],
    metrics: Sequence[str],
    out: Path,
    overlay: Sequence[Path],
    pictures: int,
    show: Sequence[str],
    bpp: Sequence[float],
    workers: int,
) -> None:
    """Measure codecs on the pictures in folders: rate against distortion, perceptual distance and realism.

    Every picture goes through every codec at a sweep of qualities; rate is that of the whole file. Prints the
    means, and the files written. To continue an interrupted run, repeat the same command. After a change of the
    code of a metric, use another --out.
    """
    originals = find_originals(places)
    shown = [_called(name, originals) for name in show] or spread(originals, pictures)
    published = [read_curve(path) for path in overlay]
    with _naming(out):
        try:
            curves = evaluate(originals, codecs, metrics, out, dict(qualities), workers)
            beside = tuple(name for name in BESIDE_PICTURES if name in metrics)
            tasks = [
                ComparisonTask(original.name, original.path, rate, tuple(codecs), beside)
                for original in shown
                for rate in bpp
            ]
            comparisons = compare_all(tasks, workers)
        except KeyboardInterrupt:
            click.echo(f"the same command continues from {out}", err=True)
            raise
        names = ", ".join(sorted({original.name.partition("/")[0] for original in originals})[:3])
        title = f"{names}, {len(originals)} picture{'s' if len(originals) > 1 else ''}"
        pages = write_all(curves + published, comparisons, title, out)
        click.echo(means_table(curves))
        for path in [*files_written(curves, out), *pages]:
            click.echo(path)


def _called(name: str, originals: Sequence[Original]) -> Original:
    found = [original for original in originals if f"/{original.name}".endswith(f"/{name}")]
    if len(found) != 1:
        raise RequestError(f"--show {name}: {len(found) or 'no'} pictures are called that")
    return found[0]


@contextmanager
def _naming(output: Path) -> Iterator[None]:
    """Name the output that cannot be written."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{output}: cannot be written: {error.strerror or error}") from error
    except WriteError as error:
        raise WriteError(f"{output}: {error}") from error


@click.command("compare")
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PAGE",
    help="HTML page to write; it holds everything and works offline. [PHOTO-compare.html, beside the photo]",
)
@click.option(
    "--codecs",
    type=_List(),
    default="vqcodec,avif,webp,jpeg",
    show_default=True,
    help="As for evaluate; the codec under test first.",
)
@click.option(
    "--bpp",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    default=[0.05, 0.1, 0.2],
    show_default=True,
    help="Rate of the first codec, which the others then match; repeatable.",
)
@click.option("--metrics", type=_List(), default="psnr", show_default=True, help="As for evaluate.")
def compare_command(
    photo: Path, output: Path | None, codecs: Sequence[str], bpp: Sequence[float], metrics: Sequence[str]
) -> None:
    """Compare a picture in several codecs at equal file size, in one HTML page with a slider."""
    read_image(photo)  # report a file that is not a picture before processes start
    output = output or photo.with_name(f"{photo.stem}-compare.html")
    tasks = [ComparisonTask(photo.name, photo, rate, tuple(codecs), tuple(metrics)) for rate in bpp]
    # Open the output first, so that a minute's work is not lost because it cannot be written.
    with _naming(output), replacing(output, overwrite=True) as file:
        comparisons = compare_all(tasks, usable_cores())
        page = comparison_page(f"{photo.name} at equal bytes", comparisons)
        file.write(page.encode("utf-8"))
    click.echo(output)

"""The commands `evaluate` and `compare`."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from vqcodec.evaluation.codecs import CODECS
from vqcodec.evaluation.comparison import ComparisonTask, compare_all
from vqcodec.evaluation.environment import usable_cores
from vqcodec.evaluation.metrics import DEFAULT_METRICS, METRICS
from vqcodec.evaluation.originals import Original, find_originals
from vqcodec.evaluation.plots import save_plots
from vqcodec.evaluation.report import comparison_page, report, write_bd_rates
from vqcodec.evaluation.results import Curve, read_curve
from vqcodec.evaluation.run import evaluate


class _List(click.ParamType):
    """Comma-separated names."""

    name = "names"

    def convert(self, value: object, param: object, ctx: object) -> tuple[str, ...]:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return tuple(value)


class _Qualities(click.ParamType):
    """`codec=1,2,3`."""

    name = "codec=numbers"

    def convert(self, value: object, param: object, ctx: object) -> tuple[str, tuple[float, ...]]:
        if isinstance(value, tuple):
            return value
        codec, equals, numbers = str(value).partition("=")
        try:
            if equals and numbers:
                return codec.strip(), tuple(float(number) for number in numbers.split(","))
        except ValueError:
            pass
        self.fail(f"{value!r} is not of the form avif=10,20,30", param, ctx)


# Without VGG16, which takes longer than all the rest.
_METRICS_BESIDE_PICTURES = ("psnr", "ms-ssim", "ssimulacra2", "st-lpips-alex")
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
    help="Published curve in CompressAI's schema to draw beside; repeatable.",
)
@click.option("--report", "with_report", is_flag=True, help="Write report.html with pictures too.")
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=4,
    show_default=True,
    help="Number of pictures in the report, spread over the list.",
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
    with_report: bool,
    pictures: int,
    bpp: Sequence[float],
    workers: int,
) -> None:
    """Measure codecs on the pictures in folders: rate against distortion, perceptual distance and realism.

    Every picture goes through every codec at a sweep of qualities; rate is that of the whole file. A run that
    was stopped is continued by the same command.
    """
    originals = find_originals(places)
    published = [read_curve(path) for path in overlay]
    try:
        curves = evaluate(originals, codecs, metrics, out, dict(qualities), workers)
    except KeyboardInterrupt:
        click.echo(f"the same command continues from {out}", err=True)
        raise
    _write(curves + published, originals, codecs, metrics, out, with_report, pictures, bpp, workers)


def _write(
    curves: Sequence[Curve],
    originals: Sequence[Original],
    codecs: Sequence[str],
    metrics: Sequence[str],
    out: Path,
    with_report: bool,
    pictures: int,
    rates: Sequence[float],
    workers: int,
) -> None:
    places = ", ".join(sorted({original.name.partition("/")[0] for original in originals})[:3])
    title = f"{places}, {len(originals)} picture{'s' if len(originals) > 1 else ''}"
    written = [*save_plots(curves, out, title), out / "bdrate.csv"]
    write_bd_rates(curves, out / "bdrate.csv")
    if with_report:
        beside = tuple(name for name in _METRICS_BESIDE_PICTURES if name in metrics)
        count = min(pictures, len(originals))
        chosen = [originals[index * len(originals) // count] for index in range(count)]
        tasks = [
            ComparisonTask(original.name, original.path, rate, tuple(codecs), beside)
            for original in chosen
            for rate in rates
        ]
        comparisons = compare_all(tasks, workers)
        environment = json.loads((out / "run.json").read_text(encoding="utf-8"))
        page = report(title, curves, comparisons, environment)
        (out / "report.html").write_text(page, encoding="utf-8")
        written.append(out / "report.html")
    for path in written:
        click.echo(path)


@click.command("compare")
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="HTML page to write; it holds everything and works offline.",
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
    photo: Path, output: Path, codecs: Sequence[str], bpp: Sequence[float], metrics: Sequence[str]
) -> None:
    """Lay a picture in several codecs at equal bytes over each other, in one HTML page with a slider."""
    tasks = [ComparisonTask(photo.name, photo, rate, tuple(codecs), tuple(metrics)) for rate in bpp]
    comparisons = compare_all(tasks, usable_cores())
    output.write_text(comparison_page(f"{photo.name} at equal bytes", comparisons), encoding="utf-8")
    click.echo(output)

"""Regenerate everything in `results/`: `python -m benchmarks.run KODAK`.

Rate-distortion on the 24 Kodak pictures, the checks of `publish/checks.py`, and speed. A stopped run continues. With
`--large`, a folder of photographs of some megapixels, `results/large` too; with `--photo`, a photograph of 12
megapixels or more, `results/speed`. Neural peers are measured where CompressAI is.
"""

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from benchmarks.publish.checks import LIKE_PUBLISHED, PUBLISHED, write_checks
from benchmarks.publish.pages import rewrite_pages
from benchmarks.publish.peers import AvifLikePublished
from benchmarks.speed.speed import main as speed_command
from vqcodec.evaluation.comparison import BESIDE_PICTURES, Comparison, ComparisonTask, compare_all, spread
from vqcodec.evaluation.environment import write_environment
from vqcodec.evaluation.metrics import DEFAULT_METRICS, METRICS
from vqcodec.evaluation.originals import find_originals
from vqcodec.evaluation.report.report import write_all
from vqcodec.evaluation.report.sheet import contact_sheet
from vqcodec.evaluation.results import read_curve
from vqcodec.evaluation.run import evaluate
from vqcodec.runtime.threads import usable_cores

HERE = Path(__file__).parent
RESULTS = HERE / "results"
CODECS = ("vqcodec", "vqcodec-faithful", "jpeg", "webp", "avif", "jxl")
# On large photographs, where metrics take their time: those that decide, and as many points as the table needs.
LARGE_CODECS = ("vqcodec", "avif")
LARGE_METRICS = ("psnr", "st-lpips-alex", "st-lpips-vgg")
LARGE_QUALITIES = {"vqcodec": (20, 40, 55, 70, 85), "avif": (12, 22, 34, 46, 60)}
OVERLAYS = ("av1", "vtm", "mbt2018-mean", "ms-illm")
PICTURES = 8
PICTURE_RATES = (0.05, 0.15, 0.4)
ON_SHEETS = ("vqcodec", "avif", "webp")


@click.command()
@click.argument("kodak", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", type=click.Choice(["avif", "rate", "large", "speed"]), help="Only one part.")
@click.option(
    "--large",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Measures rate-distortion on the photographs in this folder, too.",
)
@click.option(
    "--photo",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measures speed on this photograph, too.",
)
@click.pass_context
def main(
    context: click.Context, kodak: Path, only: str | None, large: Path | None, photo: Path | None
) -> None:
    """Measure on the Kodak pictures in a folder, and write `benchmarks/results` and the tables made of it."""
    if only in ("avif", None):
        codec = f"{AvifLikePublished.__module__}:{AvifLikePublished.__name__}"
        evaluate(
            find_originals([kodak]), [codec], ["psnr", "ms-ssim"], LIKE_PUBLISHED, workers=usable_cores()
        )
    if only in ("rate", None):
        measure_rates(kodak, RESULTS / "kodak")
    if large and only in ("large", None):
        pictures = find_originals([large])
        evaluate(
            pictures, LARGE_CODECS, LARGE_METRICS, RESULTS / "large", LARGE_QUALITIES, workers=usable_cores()
        )
    if only in ("speed", None):
        measure_speed(RESULTS / "speed.csv")
        if photo:
            compressai = sys.executable if find_spec("compressai") else None
            picture = find_originals([kodak])[0].path
            context.invoke(speed_command, photo=photo, kodak=picture, compressai=compressai, only=())
    if any(check.holds is False for check in write_checks()):
        click.echo("not everything holds: see results/kodak/checks.csv", err=True)
    rewrite_pages()


def measure_rates(kodak: Path, out: Path) -> None:
    """Run the bench with all codecs and metrics, and lay eight pictures beside each other."""
    originals = find_originals([kodak])
    workers = usable_cores()
    curves = evaluate(originals, CODECS, DEFAULT_METRICS, out, workers=workers)
    tasks = [
        ComparisonTask(original.name, original.path, rate, CODECS, BESIDE_PICTURES)
        for rate in PICTURE_RATES
        for original in spread(originals, PICTURES)
    ]
    comparisons = compare_all(tasks, workers)
    overlays = [read_curve(PUBLISHED / f"{name}.json") for name in OVERLAYS]
    write_all(curves + overlays, comparisons, f"Kodak, {len(originals)} pictures", out)
    for index, rate in enumerate(PICTURE_RATES):
        part = comparisons[index * len(comparisons) // len(PICTURE_RATES) :][:PICTURES]
        contact_sheet(part, ON_SHEETS).save(out / f"pictures-{rate:g}.webp", quality=80, method=6)
    write_pictures(comparisons, out / "pictures.csv")


def write_pictures(comparisons: Sequence[Comparison], path: Path) -> None:
    """Sizes and metrics of the pictures that the report and the sheets show."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        labels = [METRICS[name].label for name in BESIDE_PICTURES]
        writer.writerow(
            ["picture", "bpp_asked", "codec", "quality", "bytes", "bytes_against_vqcodec", "bpp", *labels]
        )
        for comparison in comparisons:
            pixels = comparison.original.width * comparison.original.height
            for version in comparison.versions:
                ratio = version.size / comparison.versions[0].size
                numbers = [f"{ratio:.3f}", f"{version.size * 8 / pixels:.4f}"]
                numbers += [f"{version.metrics[name]:.4g}" for name in BESIDE_PICTURES]
                quality = f"{version.quality:g}"
                writer.writerow(
                    [comparison.name, comparison.bpp, version.codec, quality, version.size, *numbers]
                )


def measure_speed(path: Path) -> None:
    """Run `speed/test_speed.py` and write its results as a table, and the machine beside it."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "speed.json")
        command = [
            sys.executable,
            "-m",
            "pytest",
            str(HERE / "speed" / "test_speed.py"),
            f"--benchmark-json={raw}",
        ]
        subprocess.run([*command, "-q"], check=True, cwd=HERE.parent)
        results = json.loads(raw.read_text(encoding="utf-8"))["benchmarks"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = [
            "codec",
            "stage",
            "milliseconds",
            "megapixels_per_second",
            "kmac_per_pixel",
            "peak_memory_mb",
        ]
        writer.writerow([*columns, "torch_threads"])
        for result in results:
            info = result["extra_info"]
            numbers = [result["stats"]["median"] * 1000, *(info[column] for column in columns[3:])]
            cells = ["" if number is None else f"{number:.4g}" for number in numbers]
            writer.writerow([info["codec"], info["stage"], *cells, info["torch_threads"]])
    write_environment(path.with_suffix(".json"))


if __name__ == "__main__":
    main()

"""Regenerate everything in `results/`: `python -m benchmarks.run KODAK`.

Rate-distortion on the 24 Kodak pictures, the checks of `claims.py`, and speed. A stopped run continues.
"""

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.claims import Check, agreement, bars
from vqcodec.evaluation.commands import evaluate_command
from vqcodec.evaluation.environment import describe_environment
from vqcodec.evaluation.results import Curve, read_curve

HERE = Path(__file__).parent
RESULTS = HERE / "results"
CODECS = ("vqcodec", "jpeg", "webp", "avif", "jxl")
OVERLAYS = ("av1", "vtm", "mbt2018-mean", "ms-illm")


@click.command()
@click.argument("kodak", type=click.Path(exists=True, file_okay=False))
@click.option("--codecs", default=",".join(CODECS), show_default=True)
@click.option("--only", type=click.Choice(["rate", "speed"]), help="Only one half.")
@click.pass_context
def main(context: click.Context, kodak: str, codecs: str, only: str | None) -> None:
    """Measure on the Kodak pictures in a folder, and write `benchmarks/results`."""
    if only != "speed":
        out = RESULTS / "kodak"
        overlays = [
            part for name in OVERLAYS for part in ("--overlay", str(HERE / "published" / f"{name}.json"))
        ]
        arguments = [kodak, "--codecs", codecs, "--out", str(out), *overlays]
        arguments += ["--report", "--pictures", "8", "--bpp", "0.05", "--bpp", "0.1"]
        context.invoke(evaluate_command, **evaluate_command.make_context("evaluate", arguments).params)
        measured = [out / f"{name}.json" for name in codecs.split(",")]
        checks = check([read_curve(path) for path in measured if path.exists()])
        if any(one.holds is False for one in checks):
            click.echo("not everything holds: see results/kodak/checks.csv", err=True)
    if only != "rate":
        measure_speed(RESULTS / "speed.csv")


def check(curves: Sequence[Curve]) -> list[Check]:
    """Write `checks.csv`, one line per claim."""
    checks = agreement(curves) + bars(curves)
    with (RESULTS / "kodak" / "checks.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["what", "measured", "reference", "holds"])
        words = {True: "yes", False: "no", None: ""}
        for one in checks:
            numbers = ["" if value is None else f"{value:.4f}" for value in (one.measured, one.reference)]
            writer.writerow([one.what, *numbers, words[one.holds]])
    return checks


def measure_speed(path: Path) -> None:
    """Run `test_speed.py` and write its results as a table, and the machine beside it."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "speed.json")
        command = [sys.executable, "-m", "pytest", str(HERE / "test_speed.py"), f"--benchmark-json={raw}"]
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
    environment = json.dumps(describe_environment(), indent=2)
    path.with_suffix(".json").write_text(environment + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

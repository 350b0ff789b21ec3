"""The report: curves, BD-rates, mean values and pictures, in one HTML file that works offline."""

import csv
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from vqcodec.evaluation.comparison import Comparison
from vqcodec.evaluation.metrics import KID, METRICS, Metric
from vqcodec.evaluation.report.bdrate import BDRate, bd_rate
from vqcodec.evaluation.report.page import document, number, slider, table
from vqcodec.evaluation.report.plots import drawn_metrics, save_plots, svg_panel
from vqcodec.evaluation.results import Curve

_NOTES = """<ul>
<li>Rate is the whole file, headers included, over the pixels of the picture. No codec is given metadata.</li>
<li>Each value is the mean over the pictures, except for KID, which is computed on all patches at once. Its
error bars are standard errors from a bootstrap over the pictures.</li>
<li>The backbone of a learned metric is named beside it. Values of one metric with different backbones
cannot be compared.</li>
<li>BD-rate: PCHIP interpolation of log rate over the metric, on the range that both curves reach. A small
share of their whole range says little.</li>
<li>Grey dashed curves were published by others and not measured here. They can be compared only if the
pictures are the same.</li>
</ul>"""


def bd_rates(curves: Sequence[Curve]) -> dict[tuple[str, str, str], BDRate]:
    """Compute the BD-rate by (metric, codec, anchor), for all ordered pairs whose qualities overlap."""
    rates = {}
    for metric in METRICS.values():
        for codec in curves:
            for anchor in curves:
                points = anchor.values(metric.name), codec.values(metric.name)
                if codec is anchor or not all(points):
                    continue
                rate = bd_rate(*points, higher_is_better=metric.higher_is_better)
                if rate is not None:
                    rates[metric.name, codec.name, anchor.name] = rate
    return rates


def write_bd_rates(curves: Sequence[Curve], path: Path) -> None:
    """Write all BD-rates to a CSV file, with the metric range that each was computed on."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["metric", "codec", "anchor", "bd_rate_percent", "metric_from", "metric_to", "overlap"]
        )
        for (metric, codec, anchor), rate in bd_rates(curves).items():
            limits = [f"{rate.low:.5g}", f"{rate.high:.5g}", f"{rate.overlap:.3f}"]
            writer.writerow([METRICS[metric].label, codec, anchor, f"{rate.percent:.2f}", *limits])


def write_all(
    curves: Sequence[Curve], comparisons: Sequence[Comparison], title: str, out: Path
) -> list[Path]:
    """Write plots, BD-rates and `report.html` beside the measurements of `evaluate`.

    Args:
        curves: measured ones, the codec under test first, and published ones.
        comparisons: pictures for the sliders.
        title: heading.
        out: folder of the run. Its `run.json` is quoted.

    Returns:
        the files written.

    Raises:
        MissingExtraError: `matplotlib` or `scipy` is not installed.
    """
    written = [*save_plots(curves, out, title), out / "bdrate.csv", out / "report.html"]
    write_bd_rates(curves, out / "bdrate.csv")
    environment = json.loads((out / "run.json").read_text(encoding="utf-8"))
    page = report(title, curves, comparisons, environment)
    (out / "report.html").write_text(page, encoding="utf-8")
    return written


def report(
    title: str, curves: Sequence[Curve], comparisons: Sequence[Comparison], environment: Mapping[str, str]
) -> str:
    """Return the report as HTML.

    Args:
        title: heading.
        curves: measured ones, the codec under test first, and published ones.
        comparisons: pictures for the sliders.
        environment: machine, versions and command by name.

    Raises:
        MissingExtraError: `matplotlib` or `scipy` is not installed.
    """
    tested = curves[0].name
    metrics = drawn_metrics(curves)
    panels = "\n".join(f'<div class="curve">{svg_panel(curves, metric)}</div>' for metric in metrics)
    facts = {**environment, **{curve.name: curve.description for curve in curves}}
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<h2>Curves</h2>\n<div class="curves">{panels}</div>',
        f"<h2>Bytes of {escape(tested)} at equal quality</h2>",
        "<p>BD-rate in per cent against each other codec: -50 means half the bytes, +100 twice. "
        "In brackets: the share of the range of both curves on which it was computed.</p>",
        _bd_table(curves, metrics),
        "<h2>Means</h2>",
        _mean_table(curves, metrics),
    ]
    if comparisons:
        parts.append("<h2>Pictures at equal bytes</h2>")
        parts.append(
            "<p>No other codec is given fewer bytes than the first. "
            "Where its smallest file is larger, that one is shown.</p>"
        )
        parts += [slider(comparison) for comparison in comparisons]
    parts += ["<h2>How it was measured</h2>", _NOTES, _facts(facts)]
    return document(title, "\n".join(parts))


def comparison_page(title: str, comparisons: Sequence[Comparison]) -> str:
    """Return an HTML page that holds only sliders."""
    body = [f"<h1>{escape(title)}</h1>", *(slider(comparison) for comparison in comparisons)]
    return document(title, "\n".join(body))


def _bd_table(curves: Sequence[Curve], metrics: Sequence[Metric]) -> str:
    rates = bd_rates(curves)
    rows = []
    for anchor in curves[1:]:
        found = [rates.get((metric.name, curves[0].name, anchor.name)) for metric in metrics]
        cells = [f"{rate.percent:+.1f} ({rate.overlap:.0%})" if rate else "" for rate in found]
        rows.append([anchor.name, *cells])
    return table(["against", *(metric.label for metric in metrics)], rows)


def _mean_table(curves: Sequence[Curve], metrics: Sequence[Metric]) -> str:
    rows: list[list[str]] = []
    emphasised: list[int] = []
    for index, curve in enumerate(curves):
        if curve.published:
            continue
        for point in curve.points:
            if index == 0:
                emphasised.append(len(rows))
            cells = [
                number(point.metrics[metric.name]) if metric.name in point.metrics else ""
                for metric in metrics
            ]
            if KID.name in point.errors:
                cells[metrics.index(KID)] += f" ± {point.errors[KID.name]:.1g}"
            rows.append([curve.name, f"{point.quality:g}", f"{point.bpp:.4f}", *cells])
    return table(["codec", "quality", "bpp", *(metric.label for metric in metrics)], rows, emphasised)


def _facts(facts: Mapping[str, str]) -> str:
    items = (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text)
    return "<dl>" + "\n".join(items) + "</dl>"

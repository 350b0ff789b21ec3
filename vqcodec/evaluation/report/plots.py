"""Rate-distortion plots: one panel per metric, measured curves in colour, published ones grey and dashed."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vqcodec.evaluation.metrics import METRICS, Metric
from vqcodec.evaluation.results import Curve
from vqcodec.extras import require

# Palette of Okabe and Ito, for colour-blind readers too. The first colour is for the codec under test.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
_MARKERS = "osD^vPX"
_DASHES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))
_PANEL_INCHES = (5.2, 3.6)


def drawn_metrics(curves: Sequence[Curve]) -> list[Metric]:
    """Return the metrics that at least one measured curve has, in the order of `METRICS`."""
    measured = [curve for curve in curves if not curve.published]
    return [metric for name, metric in METRICS.items() if any(curve.values(name) for curve in measured)]


def save_plots(curves: Sequence[Curve], folder: Path, title: str) -> list[Path]:
    """Plot all metrics to `rate-distortion.png` and `rate-distortion.svg`.

    Args:
        curves: measured and published ones.
        folder: where to write.
        title: text above the panels.

    Returns:
        the two files.

    Raises:
        MissingExtraError: `matplotlib` is not installed.
    """
    metrics = drawn_metrics(curves)
    png, svg = folder / "rate-distortion.png", folder / "rate-distortion.svg"
    with _figure(curves, metrics, title) as figure:
        figure.savefig(png, dpi=100)
        figure.savefig(svg, metadata={"Date": None})
    return [png, svg]


def svg_panel(curves: Sequence[Curve], metric: Metric) -> str:
    """Plot one metric and return it as an SVG element for a page.

    Raises:
        MissingExtraError: `matplotlib` is not installed.
    """
    file = io.StringIO()
    with _figure(curves, [metric], "") as figure:
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


@contextmanager
def _figure(curves: Sequence[Curve], metrics: Sequence[Metric], title: str) -> Iterator[Any]:
    matplotlib = require("matplotlib", "matplotlib", "the plots")
    figures = require("matplotlib.figure", "matplotlib", "the plots")
    # The salt gives equal plots equal ids, so that a figure changes only with its numbers.
    with matplotlib.rc_context({"svg.hashsalt": "vqcodec", "svg.fonttype": "none", "font.size": 9}):
        columns = min(2, len(metrics))
        rows = math.ceil(len(metrics) / columns)
        size = (_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows + (0.4 if title else 0) + 0.4)
        figure = figures.Figure(figsize=size, layout="constrained")
        if title:
            figure.suptitle(title)
        panels = figure.subplots(rows, columns, squeeze=False).flatten()
        for panel, metric in zip(panels, metrics, strict=False):
            _draw(panel, curves, metric)
        for panel in panels[len(metrics) :]:
            panel.remove()
        # One legend for all panels, outside of them: inside, it would cover curves.
        entries: dict[str, Any] = {}
        for panel in panels[: len(metrics)]:
            entries |= {
                label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
            }
        figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            # Width of a line sample, and of one letter of this size.
            ncols=max(1, int(size[0] / (0.45 + 0.055 * max(map(len, entries))))),
            frameon=False,
            fontsize=8,
        )
        yield figure


def _draw(panel: Any, curves: Sequence[Curve], metric: Metric) -> None:
    ticker = require("matplotlib.ticker", "matplotlib", "the plots")
    measured = [curve for curve in curves if not curve.published]
    rates = [point.bpp for curve in measured for point in curve.points]
    left, right = min(rates) / 1.1, 1.1 * max(rates)
    for index, curve in enumerate(measured):
        style: dict[str, Any] = {
            "color": COLOURS[index % len(COLOURS)],
            "marker": _MARKERS[index % len(_MARKERS)],
        }
        values = curve.values(metric.name)
        if not values:
            continue
        panel.plot(*zip(*values, strict=True), label=curve.name, markersize=4, **style)
        errors = [point.errors[metric.name] for point in curve.points if metric.name in point.errors]
        if errors:
            panel.errorbar(*zip(*values, strict=True), errors, linestyle="", capsize=2, color=style["color"])
    published = [curve for curve in curves if curve.published]
    for index, curve in enumerate(published):
        values = [(bpp, value) for bpp, value in curve.values(metric.name) if left <= bpp <= right]
        if values:
            style = {"color": "0.45", "linestyle": _DASHES[index % len(_DASHES)], "linewidth": 1}
            panel.plot(*zip(*values, strict=True), marker=".", label=curve.name, **style)
    # On a log scale, halving the bytes is the same step everywhere, and the lowest rates, where codecs differ
    # most, get enough room.
    panel.set_xscale("log")
    panel.set_xlim(left, right)
    panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    panel.xaxis.set_minor_locator(ticker.LogLocator(subs=(1.5, 3, 4, 7)))
    panel.xaxis.set_minor_formatter(ticker.FormatStrFormatter("%g"))
    panel.tick_params(axis="x", which="minor", labelsize=6, labelcolor="0.4")
    panel.set_xlabel("bits per pixel, whole file")
    panel.set_ylabel(f"{metric.label} {'↑' if metric.higher_is_better else '↓'}")
    if not metric.higher_is_better:
        panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)

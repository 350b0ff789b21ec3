"""Write the measured numbers into the README, the model card and the history.

    python -m benchmarks.publish.pages

Whatever stands between the markers of a page comes from `results/` and the released model file, and from nowhere else.
"""

import csv
import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np

from vqcodec.evaluation.metrics import METRICS, Metric
from vqcodec.evaluation.report.bdrate import bd_rate, value_at
from vqcodec.evaluation.results import Curve, read_curve
from vqcodec.weights import load_model

HERE = Path(__file__).parents[1]
RESULTS = HERE / "results"
KODAK = RESULTS / "kodak"
LARGE = RESULTS / "large"
SPEED = RESULTS / "speed"
MODELS = HERE.parent / "vqcodec" / "models"
RECIPE = HERE.parent / "vqcodec" / "training" / "recipes" / "photo.json"
PAGES = (HERE.parent / "README.md", MODELS / "photo.md", HERE.parent / "docs" / "history.md")

RATES = (0.05, 0.10, 0.15, 0.20, 0.30, 0.50)
LARGE_RATES = (0.10, 0.20, 0.30, 0.50)
CODECS = {
    "vqcodec": "vqcodec",
    "vqcodec-faithful": "vqcodec, realism 0",
    "avif": "AVIF",
    "jxl": "JPEG XL",
    "webp": "WebP",
    "jpeg": "JPEG",
}
COLUMNS = {"psnr": 2, "ms-ssim": 3, "ssimulacra2": 1, "st-lpips-alex": 3, "st-lpips-vgg": 3, "kid": 4}
_BLOCK = re.compile(r"<!-- results: (\S+) -->\n.*?<!-- end of results -->", re.DOTALL)


def rate_table(curves: Sequence[Curve], rates: Sequence[float] = RATES) -> str:
    """A Markdown table of all curves at the same rates; a dash where a codec does not reach a rate."""
    measured = _measured(curves)
    rows = []
    for rate in rates:
        for curve in curves:
            cells = []
            for name in measured:
                points = curve.values(name)
                value = value_at(points, rate) if len(points) > 1 else None
                cells.append("–" if value is None else f"{value:.{COLUMNS[name]}f}")
            if any(cell != "–" for cell in cells):
                rows.append([f"{rate:.2f}", CODECS[curve.name], *cells])
    return _markdown(["bpp", "codec", *(METRICS[name].label for name in measured)], rows)


def large_table(_: Sequence[Curve]) -> str:
    """The same of large photographs."""
    return rate_table(_curves(LARGE), LARGE_RATES)


def _curves(folder: Path) -> list[Curve]:
    return [read_curve(folder / f"{name}.json") for name in CODECS if (folder / f"{name}.json").exists()]


def peer_table(curves: Sequence[Curve]) -> str:
    """A Markdown table of where the first curve is better and worse than each other, with the BD-rates."""
    ours, *peers = curves
    measured = _measured(curves)
    rows = []
    for peer in peers:
        if peer.name.startswith(ours.name):
            continue
        low, high = _shared_rates(ours, peer)
        rates = f"{low:.2f} to {high:.2f}" if low < high else "none"
        cells = [_standing(ours, peer, METRICS[name]) for name in measured]
        rows.append([CODECS[peer.name], rates, *cells])
    return _markdown(["against", "at bpp", *(METRICS[name].label for name in measured)], rows)


def _measured(curves: Sequence[Curve]) -> list[str]:
    return [name for name in COLUMNS if any(curve.values(name) for curve in curves)]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _shared_rates(ours: Curve, peer: Curve) -> tuple[float, float]:
    return (
        max(ours.points[0].bpp, peer.points[0].bpp),
        min(ours.points[-1].bpp, peer.points[-1].bpp),
    )


def _standing(ours: Curve, peer: Curve, metric: Metric) -> str:
    points, peer_points = ours.values(metric.name), peer.values(metric.name)
    if min(len(points), len(peer_points)) < 2:
        return "–"
    parts = []
    low, high = _shared_rates(ours, peer)
    if low < high:
        sign = 1 if metric.higher_is_better else -1
        # Pulled in by a hair, for the ends are means of floats.
        rates = np.geomspace(low * (1 + 1e-9), high * (1 - 1e-9), 500)
        better = [sign * (value_at(points, rate) - value_at(peer_points, rate)) > 0 for rate in rates]
        parts.append(_where(rates, better))
    bytes_needed = bd_rate(peer_points, points, metric.higher_is_better)
    if bytes_needed:
        parts.append(f"{bytes_needed.percent:+.0f} % ({100 * bytes_needed.overlap:.0f} %)")
    return ", ".join(parts) or "–"


def _where(rates: Sequence[float], better: Sequence[bool]) -> str:
    """Say at which rates something is better: `worse`, `better below 0.17`, `better 0.08 to 0.12`."""
    changes = [index for index, (a, b) in enumerate(pairwise(better), start=1) if a != b]
    if not changes:
        return "better" if better[0] else "worse"
    if len(changes) == 1:
        return f"better {'below' if better[0] else 'above'} {rates[changes[0]]:.2f}"
    ends = [0, *changes, len(rates) - 1]
    ranges = [f"{rates[a]:.2f} to {rates[b]:.2f}" for a, b in pairwise(ends) if better[a]]
    return "better " + " and ".join(ranges)


def speed_table(_: Sequence[Curve]) -> str:
    """A Markdown table of how fast codecs are on one photograph."""
    rows = []
    for row in _rows(SPEED / "peers.csv"):
        cells = [row[f"{verb}, megapixels per second"] for verb in ("compress", "decompress")]
        macs = [row[f"{verb}, kMAC per pixel"] or "–" for verb in ("compress", "decompress")]
        name, comma, remark = row["codec"].partition(",")
        rows.append([CODECS.get(name, name) + comma + remark, *cells, *macs, row["peak memory in MB"]])
    verbs = "compress, MP/s", "decompress, MP/s", "compress, kMAC/pixel", "decompress, kMAC/pixel"
    return _markdown(["codec", *verbs, "memory, MB"], rows)


def context_table(_: Sequence[Curve]) -> str:
    """A Markdown table of the bits that a latent position takes, as the released model file notes them."""
    notes = load_model().notes
    tables = float(notes["bits_tables"])
    names = {
        "tables": "codeword frequencies",
        "context": "context model",
        "context_float": "the same in float",
    }
    cells = [
        [label, f"{bits:.2f}", f"{bits / tables - 1:+.2%}"]
        for name, label in names.items()
        for bits in [float(notes[f"bits_{name}"])]
    ]
    return _markdown(["coded with", "bits per latent position", "against frequencies"], cells)


def training_sentence(_: Sequence[Curve]) -> str:
    """How long the released model was trained, from its training log."""
    phases = _phases()
    total = sum(hours for _, hours in phases)
    last = sum(
        hours for _, hours in takewhile(lambda phase: phase[0].startswith("adversarial"), phases[::-1])
    )
    share = f", the last {last:.1f} of them adversarial" if last else ""
    return f"These weights saw {total:.1f} hours of training on one or two CPU cores{share}; training continues.\n"


def phases_table(_: Sequence[Curve]) -> str:
    """A Markdown table of the phases of the released model's training, from its recipe and its training log."""
    recipe = json.loads(RECIPE.read_text(encoding="utf-8"))
    steps = {phase["name"]: phase["steps"] for phase in recipe["phases"]}
    rows = [[name, str(steps[name]), f"{hours:.2f}"] for name, hours in _phases()]
    return _markdown(["phase", "steps", "hours"], rows)


def _phases() -> list[tuple[str, float]]:
    """Name and hours of every phase."""
    last = {row["phase"]: float(row["hours"]) for row in _rows(MODELS / "photo-metrics.csv")}
    before = [0.0, *last.values()]
    return [(name, end - start) for (name, end), start in zip(last.items(), before, strict=False)]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


BLOCKS: dict[str, Callable[[Sequence[Curve]], str]] = {
    "kodak": rate_table,
    "kodak-peers": peer_table,
    "large": large_table,
    "speed": speed_table,
    "context": context_table,
    "training": training_sentence,
    "phases": phases_table,
}


def rewrite_pages() -> None:
    """Rewrite the blocks of all pages."""
    for page in PAGES:
        page.write_text(rewritten(page), encoding="utf-8")


def rewritten(page: Path) -> str:
    """The text of a page with all its blocks made anew from the results."""
    curves = _curves(KODAK)
    text, count = _BLOCK.subn(lambda match: _block(match[1], curves), page.read_text(encoding="utf-8"))
    if not count:
        raise SystemExit(f"{page}: no block of results")
    return text


def _block(name: str, curves: Sequence[Curve]) -> str:
    return f"<!-- results: {name} -->\n{BLOCKS[name](curves)}<!-- end of results -->"


if __name__ == "__main__":
    rewrite_pages()

"""Write the measured numbers into the README and the model card: `python -m benchmarks.tables`.

Whatever stands between the markers of a page comes from `results/` and from nowhere else.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from vqcodec.evaluation.bdrate import value_at
from vqcodec.evaluation.metrics import METRICS
from vqcodec.evaluation.results import Curve, read_curve

HERE = Path(__file__).parent
KODAK = HERE / "results" / "kodak"
PAGES = (HERE.parent / "README.md", HERE.parent / "vqcodec" / "models" / "photo.md")

RATES = (0.07, 0.10, 0.15, 0.20)
CODECS = {"vqcodec": "vqcodec", "avif": "AVIF", "jxl": "JPEG XL", "webp": "WebP", "jpeg": "JPEG"}
COLUMNS = {"psnr": 2, "ms-ssim": 3, "st-lpips-vgg": 3, "st-lpips-alex": 3, "kid": 4}
_BLOCK = re.compile(r"(<!-- results: kodak -->\n).*?(<!-- end of results -->)", re.DOTALL)


def table(curves: Sequence[Curve], rates: Sequence[float] = RATES) -> str:
    """A Markdown table of all curves at the same rates; a dash where a codec does not reach a rate."""
    measured = [name for name in COLUMNS if any(curve.values(name) for curve in curves)]
    lines = [
        "| bpp | codec | " + " | ".join(METRICS[name].label for name in measured) + " |",
        "|---|---|" + "---|" * len(measured),
    ]
    for rate in rates:
        for curve in curves:
            cells = []
            for name in measured:
                points = curve.values(name)
                value = value_at(points, rate) if len(points) > 1 else None
                cells.append("–" if value is None else f"{value:.{COLUMNS[name]}f}")
            if any(cell != "–" for cell in cells):
                lines.append(f"| {rate:.2f} | {CODECS[curve.name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite the blocks of all pages."""
    curves = [read_curve(KODAK / f"{name}.json") for name in CODECS if (KODAK / f"{name}.json").exists()]
    text = table(curves)
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new, count = _BLOCK.subn(lambda match: match[1] + text + match[2], old)
        if count != 1:
            raise SystemExit(f"{page}: not one block of results but {count}")
        page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()

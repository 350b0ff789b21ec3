"""Parts of self-contained HTML pages: tables, and a slider that shows two versions of a picture."""

import base64
import io
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from PIL import Image

from vqcodec.evaluation.comparison import Comparison, Version
from vqcodec.evaluation.metrics import METRICS

_NEARLY_EQUAL = 0.05  # one step of the quality setting can change the size by this much
_LARGEST_SHOWN = 4_000_000  # pixels; a page with whole 50-megapixel pictures would not open


def document(title: str, body: str, style: str = "", script: str = "") -> str:
    """Return a whole HTML page with style and script inside: those common to all pages, then its own.

    Args:
        title: plain text.
        body: HTML.
        style, script: CSS and JavaScript of this page.
    """
    assets = files("vqcodec.evaluation.report")
    style = assets.joinpath("page.css").read_text(encoding="utf-8") + style
    script = assets.joinpath("page.js").read_text(encoding="utf-8") + script
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
{body}
<script>
{script}</script>
</body>
</html>
"""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], emphasised: Sequence[int] = ()) -> str:
    """Return an HTML table of text cells.

    Args:
        header: column names.
        rows: cells.
        emphasised: indices of the rows of the codec under test.
    """
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = []
    for index, row in enumerate(rows):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f'<tr class="tested">{cells}</tr>' if index in emphasised else f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>\n' + "\n".join(lines) + "</table></div>"


def number(value: float) -> str:
    """Format a measured value with four significant digits."""
    return f"{value:.4g}"


def slider(comparison: Comparison) -> str:
    """Return HTML that shows two versions of a picture under a movable edge, and a table of their sizes."""
    original = comparison.original
    box = _shown_part(original)
    pixels = original.width * original.height
    pictures = [("original", "original", original)]
    for version in comparison.versions:
        label = f"{version.codec}, {version.size} bytes, {version.size * 8 / pixels:.3f} bpp"
        pictures.append((version.codec, label, version.image))
    width, height = box[2] - box[0], box[3] - box[1]
    images = "\n".join(
        f'<img data-codec="{escape(name)}" alt="{escape(label)}" draggable="false" hidden'
        f' src="{data_uri(image.crop(box))}">'
        for name, label, image in pictures
    )
    tested, *peers = comparison.versions
    # Start with the codec under test against the peer nearest in size.
    nearest = min(peers, key=lambda peer: abs(peer.size - tested.size), default=tested)
    notes = [_size_note(comparison)]
    if (width, height) != original.size:
        notes.append(f"The middle {width}x{height} of {original.width}x{original.height} pixels.")
    note = "".join(f'<p class="faint">{escape(text)}</p>\n' for text in notes if text)
    return f"""<section class="slider">
<h3>{escape(comparison.name)} at {comparison.bpp:g} bpp</h3>
<div class="controls">
<label>left {_select("left", [(n, t) for n, t, _ in pictures], tested.codec)}</label>
<label>zoom {_select("zoom", [("fit", "fit"), ("1", "1:1"), ("2", "2:1")], "fit")}</label>
<label>right {_select("right", [(n, t) for n, t, _ in pictures], nearest.codec)}</label>
</div>
<div class="viewport"><div class="stage" data-width="{width}" data-height="{height}">
{images}
<div class="edge"></div>
</div></div>
<input type="range" min="0" max="100" step="0.1" value="50" aria-label="position of the edge">
{note}{_version_table(comparison)}
</section>"""


def _select(name: str, options: Sequence[tuple[str, str]], chosen: str) -> str:
    items = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in options
    )
    # Otherwise browsers restore an earlier choice after a reload, and the picture would not match it.
    return f'<select class="{name}" autocomplete="off">{items}</select>'


def _version_table(comparison: Comparison) -> str:
    names = [name for name in METRICS if any(name in version.metrics for version in comparison.versions)]
    pixels = comparison.original.width * comparison.original.height
    rows = [
        [version.codec, f"{version.quality:g}", str(version.size), _against_first(comparison, version)]
        + [f"{version.size * 8 / pixels:.4f}"]
        + [number(version.metrics[name]) if name in version.metrics else "" for name in names]
        for version in comparison.versions
    ]
    header = [
        "codec",
        "quality",
        "bytes",
        "against the first",
        "bpp",
        *(METRICS[name].label for name in names),
    ]
    return table(header, rows, emphasised=[0])


def _against_first(comparison: Comparison, version: Version) -> str:
    first = comparison.versions[0]
    return "" if version is first else f"{version.size / first.size - 1:+.1%}"


def _size_note(comparison: Comparison) -> str:
    """Say which codecs have no file of about the requested size."""
    first, *peers = comparison.versions
    texts = []
    if first.size * 8 > comparison.bpp * comparison.original.width * comparison.original.height:
        texts.append(f"{first.codec} has no file so small; this is its smallest.")
    other: dict[str, list[str]] = {"larger": [], "smaller": []}
    for peer in peers:
        if abs(peer.size / first.size - 1) > _NEARLY_EQUAL:
            kind = "larger" if peer.size > first.size else "smaller"
            other[kind].append(f"{peer.codec} ({_against_first(comparison, peer)})")
    texts += [f"The nearest file is {kind}: {', '.join(names)}." for kind, names in other.items() if names]
    return " ".join(texts)


def _shown_part(image: Image.Image) -> tuple[int, int, int, int]:
    """Return the whole picture, or the middle of one that is too large: left, top, right, bottom."""
    scale = min(1.0, (_LARGEST_SHOWN / (image.width * image.height)) ** 0.5)
    width, height = int(image.width * scale), int(image.height * scale)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return left, top, left + width, top + height


def data_uri(image: Image.Image, lossless: bool = True) -> str:
    """Return a picture of at most 16383 pixels per side as a data URI."""
    # WebP is shown by every browser and smaller than PNG. If lossless, `quality` is the effort.
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=lossless, quality=50 if lossless else 90, method=3)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")

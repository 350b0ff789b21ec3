"""The HTML page: a section for each stage, and one for each picture."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files

import numpy as np
from PIL import Image

from vqcodec.codec import Codec
from vqcodec.evaluation.report.page import data_uri, document, number, table
from vqcodec.tools.atlas.picture import Dissection
from vqcodec.tools.atlas.stages import Stage, usage_entropy

_COLUMNS = 32  # number of patches side by side
_LARGEST_SHOWN = 1_000_000  # largest number of pixels of a picture
_MOST_NAMED = 200  # largest number of dead codewords to list

# From few bits to many: dark to light, in about even steps of brightness, also for colour-blind readers.
_HEAT = np.array([[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]])


def codebook_page(
    codec: Codec,
    name: str,
    stages: Sequence[Stage],
    pictures: Sequence[Dissection],
    photographs: int,
    quality: float,
) -> str:
    """Return the page as HTML.

    Args:
        codec: codec of the model.
        name: name of the model.
        stages: all codebooks.
        pictures: pictures, taken apart.
        photographs: number of photographs that the codewords were counted on.
        quality: quality at which they were chosen there, 0..100.
    """
    config = codec.config
    title = f"Codebooks of {name}"
    counted = "not counted: no photographs given"
    if photographs:
        plural = "s" * (photographs > 1)
        counted = (
            f"counted on {photographs} photograph{plural} at quality {quality:g}; dead: never chosen there"
        )
    facts = {
        "model": f"{name}, id {codec.model_id.hex()}, family {codec.config.family}",
        "codebooks": f"{len(config.layers)}, {sum(layer.codebook_size for layer in config.layers)} codewords in all",
        "usage": counted,
    }
    body = [f"<h1>{escape(title)}</h1>", _facts(facts), _overview(stages)]
    body += [_picture(picture, codec) for picture in pictures]
    body.append("<h2>Codewords</h2>")
    body.append(
        "<p>Each patch is a block of one codeword, rendered over a grey base where the model has one. "
        "Select a patch to see what it costs and which codewords are nearest to it.</p>"
    )
    body += [_stage(stage, codec) for stage in stages]
    assets = files("vqcodec.tools.atlas")
    return document(
        title,
        "\n".join(body),
        assets.joinpath("page.css").read_text(encoding="utf-8"),
        assets.joinpath("page.js").read_text(encoding="utf-8"),
    )


def _overview(stages: Sequence[Stage]) -> str:
    header = [
        "layer",
        "pixels",
        "used",
        "dead",
        "entropy (bits)",
        "most used",
        "cheapest (bits)",
        "dearest (bits)",
    ]
    header += ["distance to the nearest", "contrast"]
    rows = []
    for stage in stages:
        usage = ["", "", "", ""]
        if stage.counts is not None and stage.dead is not None:
            dead = len(stage.dead)
            largest = stage.counts.max() / max(stage.counts.sum(), 1)
            usage = [str(len(stage.counts) - dead), str(dead)]
            usage += [f"{usage_entropy(stage.counts):.2f}", f"{largest:.1%}"]
        bits = [f"{stage.bits.min():.2f}", f"{stage.bits.max():.2f}"]
        rows.append(
            [
                str(stage.number),
                f"{stage.side}x{stage.side}",
                *usage,
                *bits,
                number(stage.spacing),
                f"×{stage.gain:.1f}",
            ]
        )
    note = (
        "<p>Bits are the estimates that the encoder chooses codewords by. The distance is the median over the "
        "codewords, root mean square per channel. Patches are "
        "shown with the contrast of the last column.</p>"
    )
    return table(header, rows) + note


def _stage(stage: Stage, codec: Codec) -> str:
    size = stage.patches.shape[1]
    data = {
        "size": size,
        "columns": _COLUMNS,
        "shown": stage.shown.tolist(),
        "bits": [round(float(bits), 2) for bits in stage.bits[stage.shown]],
        "neighbours": stage.neighbours.tolist(),
    }
    total = len(stage.bits)
    order = "cheapest first"
    if stage.counts is not None:
        data["counts"] = stage.counts[stage.shown].tolist()
        data["total"] = int(stage.counts.sum())
        order = "most used first, with a red frame if never chosen"
    caption = f"{len(stage.shown)} of {total} codewords, " if len(stage.shown) < total else ""
    parts = [
        f'<section class="codebook" id="stage-{stage.number}">',
        f"<h3>Layer {stage.number}</h3>",
        f'<p class="faint">{caption}{order}</p>',
        '<div class="both"><div class="atlas" tabindex="0">',
        f'<img alt="codewords of layer {stage.number}" src="{data_uri(_sheet(stage), lossless=False)}">',
        '<div class="mark"></div></div><div class="detail"></div></div>',
        _usage(stage),
        f'<script type="application/json">{json.dumps(data, separators=(",", ":"))}</script>',
        "</section>",
    ]
    return "\n".join(parts)


def _sheet(stage: Stage) -> Image.Image:
    """All patches, row by row. Those of dead codewords have a red frame."""
    patches = stage.patches.copy()
    if stage.counts is not None:
        dead = stage.counts[stage.shown] == 0
        for edge in (np.s_[dead, 0], np.s_[dead, -1], np.s_[dead, :, 0], np.s_[dead, :, -1]):
            patches[edge] = (220, 0, 0)
    rows, size = -(-len(patches) // _COLUMNS), patches.shape[1]
    sheet = np.zeros((rows * _COLUMNS, size, size, 3), np.uint8)
    sheet[: len(patches)] = patches
    sheet = sheet.reshape(rows, _COLUMNS, size, size, 3).swapaxes(1, 2)
    return Image.fromarray(sheet.reshape(rows * size, _COLUMNS * size, 3))


def _usage(stage: Stage) -> str:
    """Plot how often the codewords are used, and list the dead ones."""
    dead = stage.dead
    if stage.counts is None or dead is None:
        return ""
    counts = np.sort(stage.counts)[::-1]
    width, height = 400, 80
    top = np.log10(counts[0] + 1)
    x = np.linspace(0, width, len(counts))
    y = height - height * np.log10(counts + 1) / max(top, 1e-9)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    text = (
        f'<figure><svg class="usage" viewBox="-1 -1 {width + 2} {height + 2}" role="img" '
        f'aria-label="usage by rank"><polyline points="{line}"/></svg><figcaption>How often each codeword was '
        f"chosen, from {counts[0]} times to {counts[-1]}, on a logarithmic scale</figcaption></figure>"
    )
    if len(dead):
        more = f" and {len(dead) - _MOST_NAMED} more" if len(dead) > _MOST_NAMED else ""
        text += f'<p class="dead">Never chosen: {", ".join(map(str, dead[:_MOST_NAMED]))}{more}</p>'
    return text


def _picture(picture: Dissection, codec: Codec) -> str:
    height, width = picture.pixels.shape[:2]
    shape = (height, width)
    total = _in_grid(picture)
    bits_of_all = picture.base_bits + sum(float(bits.sum()) for bits in picture.bits)
    header = ["layer", "bits", "of all", "per index", "nothing to add"]
    rows, figures = [], []
    partial = list(picture.partial)
    if codec.config.has_base:
        rows.append(
            ["base", f"{picture.base_bits:.0f}", f"{picture.base_bits / max(bits_of_all, 1e-9):.1%}", "", ""]
        )
        figures.append(_figure(partial.pop(0), shape, "the base alone"))
    # Clip at a quantile: a few very rare indices would leave the rest of the maps dark.
    heavy = max((float(np.quantile(bits, 0.99)) for bits in picture.bits), default=0.0)
    for layer, (plane, bits) in enumerate(zip(picture.planes.layers, picture.bits, strict=True)):
        idle = _adds_nothing(codec, layer)[plane]
        share = bits.sum() / max(bits_of_all, 1e-9)
        rows.append(
            [str(layer + 1), f"{bits.sum():.0f}", f"{share:.1%}", f"{bits.mean():.2f}", f"{idle.mean():.1%}"]
        )
        figures += [
            _figure(_coloured(plane, idle), shape, f"indices of layer {layer + 1}", "map"),
            _figure(
                _heat(bits, heavy), shape, f"bits of layer {layer + 1}, 0 to {heavy:.1f} and more", "map"
            ),
            _figure(partial[layer], shape, f"after layer {layer + 1}"),
        ]
    bpp = 8 * picture.size / (width * height)
    most = float(total.max())
    whole = [
        _figure(picture.pixels, shape, "the picture"),
        _figure(picture.partial[-1], shape, "as it comes back"),
        _figure(_heat(total, most), shape, f"all bits, 0 to {most:.1f}", "map"),
    ]
    return "\n".join(
        [
            '<section class="picture">',
            f"<h2>{escape(picture.name)}</h2>",
            f"<p>{width}x{height} pixels at quality {picture.quality:g}: {picture.size} bytes, {bpp:.4f} bits per "
            "pixel. A position that is black among the indices has nothing added to it; other colours only "
            "tell indices apart. A chequered heat map is the work of a context model: every second position is coded "
            "after its four neighbours, and costs less where they tell what it is.</p>",
            _scale(),
            '<div class="maps">',
            *whole,
            "</div>",
            table(header, rows),
            '<div class="maps">',
            *figures,
            "</div></section>",
        ]
    )


def _in_grid(picture: Dissection) -> np.ndarray:
    """Bits of all layers at each position of the grid, (h, w) float32."""
    rows, columns = picture.planes.grid
    total = np.zeros((rows, columns), np.float32)
    for layer, bits in enumerate(picture.bits):
        scale = picture.planes.scale(layer)
        total += bits.reshape(rows, scale, columns, scale).sum((1, 3))
    return total


def _adds_nothing(codec: Codec, layer: int) -> np.ndarray:
    """Return which codewords (K,) are zero vectors."""
    return (codec.prior.codebooks[layer] == 0).all(1)


def _figure(pixels: np.ndarray, shape: tuple[int, int], caption: str, kind: str = "") -> str:
    """Show a picture, or a map with one pixel per position that is scaled to the size of the picture."""
    image = Image.fromarray(pixels)
    if not kind and image.width * image.height > _LARGEST_SHOWN:
        scale = (_LARGEST_SHOWN / (image.width * image.height)) ** 0.5
        image = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    source = data_uri(image, lossless=bool(kind))
    return (
        f'<figure><img class="{kind}" style="aspect-ratio: {shape[1]} / {shape[0]}" alt="{escape(caption)}" '
        f'src="{source}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _coloured(plane: np.ndarray, idle: np.ndarray) -> np.ndarray:
    """Return colours (h, w, 3) that tell indices apart; black where nothing is added."""
    largest = int(plane.max())
    # Steps of the golden ratio separate the hues of adjacent indices.
    palette = [
        colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.45 + index % 3 * 0.2, 0.95)
        for index in range(largest + 1)
    ]
    colours = (255 * np.array(palette)).astype(np.uint8)[plane]
    colours[idle] = 0
    return colours


def _heat(bits: np.ndarray, most: float) -> np.ndarray:
    """Return colours (h, w, 3) for bits from 0 to `most`."""
    place = bits / max(most, 1e-9) * (len(_HEAT) - 1)
    channels = [np.interp(place, np.arange(len(_HEAT)), _HEAT[:, channel]) for channel in range(3)]
    return np.stack(channels, -1).astype(np.uint8)


def _scale() -> str:
    colours = ", ".join(f"rgb({r} {g} {b})" for r, g, b in _HEAT)
    return f'<p class="scale">no bits <span style="background: linear-gradient(to right, {colours})"></span> most</p>'


def _facts(facts: dict[str, str]) -> str:
    items = (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    return "<dl>" + "\n".join(items) + "</dl>"

"""Pictures in several codecs side by side in one image, for places where a page with a slider cannot go."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from vqcodec.evaluation.comparison import Comparison

_GAP = 6
_CAPTION = 18


def contact_sheet(comparisons: Sequence[Comparison], codecs: Sequence[str], side: int = 224) -> Image.Image:
    """Show the middle of each picture, pixel for pixel, one row per picture: the original, then the codecs.

    Args:
        comparisons: pictures, at least one.
        codecs: names of the codecs to show. Every comparison must have all of them.
        side: side of the square cut out of the middle, in pixels.
    """
    columns = 1 + len(codecs)
    size = columns * (side + _GAP) - _GAP, len(comparisons) * (side + _CAPTION + _GAP) - _GAP
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for row, comparison in enumerate(comparisons):
        versions = {version.codec: version for version in comparison.versions}
        cells = [(comparison.name.rpartition("/")[2], comparison.original)]
        pixels = comparison.original.width * comparison.original.height
        for name in codecs:
            version = versions[name]
            cells.append((f"{name}, {version.size} B, {version.size * 8 / pixels:.3f} bpp", version.image))
        top = row * (side + _CAPTION + _GAP)
        for column, (caption, image) in enumerate(cells):
            left = column * (side + _GAP)
            draw.text((left + 1, top + 1), caption, "black", font)
            sheet.paste(_middle(image, side), (left, top + _CAPTION))
    return sheet


def _middle(image: Image.Image, side: int) -> Image.Image:
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))

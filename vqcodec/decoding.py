"""Which tiles a picture or a part of it needs, and the index planes that are there of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from bitstream import Container, Truncated
from vqcodec.coding import IndexCoder
from vqcodec.errors import TruncatedWarning
from vqcodec.windows import Box


@dataclass
class Excerpt:
    """Index planes of a rectangle of the latent grid.

    Attributes:
        box: the rectangle.
        planes: (stages, box height, box width) uint16; zero where nothing is there.
        missing: tiles of the rectangle of which a truncated file holds nothing.
    """

    box: Box
    planes: np.ndarray
    missing: list[Box]


def read_excerpt(
    container: Container, coder: IndexCoder, box: Box | None = None, stages: int | None = None
) -> Excerpt:
    """Decode the tiles that a rectangle touches, the same number of stages of all of them.

    Of a truncated file these are the stages that all tiles of the rectangle have, at least the first; tiles
    that lack even that one are named in `Excerpt.missing`. Warns with `TruncatedWarning` about what is missing.

    Args:
        container: the file.
        coder: of the model that it was made with.
        box: what to decode, in latent positions; all by default.
        stages: at most this many stages, 1 or more; all by default.

    Raises:
        bitstream.BitstreamError: the tiles are damaged, or nothing of them is there.
    """
    header = container.header
    rows, columns = header.grid
    box = box or Box(0, rows, 0, columns)
    step = 1 << header.downsample_log2
    left, top = step * box.left, step * box.top
    right, bottom = min(step * box.right, header.width), min(step * box.bottom, header.height)
    numbers = header.tiles_in(left, top, right - left, bottom - top)
    complete = container.payload.complete[numbers]
    wanted = min(stages or header.stages, header.stages)
    there = max(1, min(wanted, int(complete.min())))
    found = [number for number, count in zip(numbers, complete, strict=True) if count >= there]
    if not found:
        raise Truncated("the file ends inside its first stage", container.missing)
    if there < wanted or len(found) < len(numbers):
        message = (
            f"the file is truncated ({container.missing} bytes are missing): "
            f"{there} of {header.stages} stages shown"
        )
        if len(found) < len(numbers):
            message += f", and nothing of {len(numbers) - len(found)} of {len(numbers)} tiles"
        warnings.warn(message, TruncatedWarning, stacklevel=3)
    tiles = [header.tile(number) for number in numbers]
    # Whole tiles first, then the rectangle cut out of them.
    origin, end = tiles[0], tiles[-1]
    planes = np.zeros(
        (there, end.top + end.rows - origin.top, end.left + end.columns - origin.left), np.uint16
    )
    readers = [container.payload.tile(number, there) for number in found]
    shapes = [(header.tile(number).rows, header.tile(number).columns) for number in found]
    for number, part in zip(found, coder.decode(readers, shapes), strict=True):
        tile = header.tile(number)
        top, left = tile.top - origin.top, tile.left - origin.left
        planes[:, top : top + tile.rows, left : left + tile.columns] = part
    rows, columns = (
        slice(box.top - origin.top, box.bottom - origin.top),
        slice(box.left - origin.left, box.right - origin.left),
    )
    missing = [
        Box(tile.top, tile.top + tile.rows, tile.left, tile.left + tile.columns)
        for number, tile in zip(numbers, tiles, strict=True)
        if number not in found
    ]
    return Excerpt(box, planes[:, rows, columns], missing)

"""Which tiles a picture or a part of it needs, and the index planes that are there of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bitstream import BitstreamError, Container, Header, IndexMismatch, Truncated
from vqcodec.entropy.coders import IndexCoder
from vqcodec.errors import TruncatedWarning
from vqcodec.geometry import Box


@dataclass(frozen=True)
class DamagedTile:
    """A tile that cannot be read to the end.

    Attributes:
        number: of the tile, in raster order.
        place: its row and column in the grid of tiles.
        box: its latent positions in the picture.
        intact: how many of its stages can be read.
    """

    number: int
    place: tuple[int, int]
    box: Box
    intact: int

    def in_words(self, step: int) -> str:
        """The tile by its pixels, of which a latent position has `step` along each side, and what is made up in it."""
        box = self.box.scaled(step)
        what = f"its stages from {self.intact + 1} on" if self.intact else "all of it"
        return f"tile {self.number} ({box.width}x{box.height} pixels at {box.left},{box.top}): {what} made up"


@dataclass
class Excerpt:
    """Index planes of a rectangle of the latent grid.

    Attributes:
        box: the rectangle.
        planes: (stages, box height, box width) uint16; zero where nothing is there.
        missing: tiles of the rectangle of which a truncated file holds nothing.
        damaged: tiles whose planes are zero from some stage on, which `vqcodec.generate.conceal` can fill.
    """

    box: Box
    planes: np.ndarray
    missing: list[Box]
    damaged: list[DamagedTile] = field(default_factory=list)


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
    box, numbers = _tiles_of(header, box)
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
    readers = [container.payload.tile(number, there) for number in found]
    parts = dict(zip(found, coder.read(readers, [_shape(header, number) for number in found]), strict=True))
    planes = _assembled(header, numbers, parts, there, box)
    missing = [_box(header, number) for number in numbers if number not in parts]
    return Excerpt(box, planes, missing)


def read_damaged(
    container: Container, coder: IndexCoder, box: Box | None = None, stages: int | None = None
) -> Excerpt:
    """As `read_excerpt`, but of each tile as many stages as can be read, and as many in all as the best of them has.

    Args:
        container: what `bitstream.salvage` found in the file.
        coder, box, stages: as of `read_excerpt`.

    Raises:
        bitstream.BitstreamError: no tile can be read.
    """
    header = container.header
    box, numbers = _tiles_of(header, box)
    wanted = min(stages or header.stages, header.stages)
    parts: dict[int, np.ndarray] = {}
    faults: list[BitstreamError] = []
    for number in numbers:
        count = min(wanted, int(container.payload.complete[number]))
        if count == 0:
            faults.append(Truncated("the file ends inside its first stage", container.missing))
        while count:
            reader = container.payload.tile(number, count)
            try:
                parts[number] = coder.read([reader], [_shape(header, number)])[0]
                break
            except IndexMismatch as error:
                # The stages before the one that does not match its check are right.
                faults.append(error)
                count = error.stage
    if not parts:
        raise faults[0]
    there = max(len(part) for part in parts.values())
    damaged = []
    for number in numbers:
        intact = len(parts.get(number, ()))
        if intact < there:
            place = divmod(number, header.tile_grid[1])
            damaged.append(DamagedTile(number, place, _box(header, number), intact))
    return Excerpt(box, _assembled(header, numbers, parts, there, box), [], damaged)


def _tiles_of(header: Header, box: Box | None) -> tuple[Box, list[int]]:
    """The rectangle, by default that of the picture, and the numbers of the tiles that it touches."""
    rows, columns = header.grid
    box = box or Box(0, 0, columns, rows)
    region = box.scaled(1 << header.downsample_log2).clipped(Box(0, 0, header.width, header.height))
    return box, header.tiles_in(region.left, region.top, region.width, region.height)


def _assembled(
    header: Header, numbers: Sequence[int], parts: dict[int, np.ndarray], stages: int, box: Box
) -> np.ndarray:
    """Planes (stages, h, w) of a rectangle from those of tiles, zero where nothing is there."""
    # Whole tiles first, then the rectangle cut out of them.
    first, last = _box(header, numbers[0]), _box(header, numbers[-1])
    whole = Box(first.left, first.top, last.right, last.bottom)
    planes = np.zeros((stages, whole.height, whole.width), np.uint16)
    for number, part in parts.items():
        _box(header, number).relative_to(whole).of(planes)[: len(part)] = part
    return box.relative_to(whole).of(planes)


def _box(header: Header, number: int) -> Box:
    return Box.of_tile(header.tile(number))


def _shape(header: Header, number: int) -> tuple[int, int]:
    tile = header.tile(number)
    return tile.rows, tile.columns

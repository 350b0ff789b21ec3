"""Find the tiles that a picture or a region needs, and decode the index planes that a file holds of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from bitstream import BitstreamError, Container, Header, IndexMismatch, Truncated
from vqcodec.config import Shape
from vqcodec.entropy.coders import IndexCoder
from vqcodec.errors import TruncatedWarning
from vqcodec.geometry import Box
from vqcodec.planes import Planes


@dataclass(frozen=True)
class DamagedTile:
    """A tile that cannot be decoded to its last stage.

    Attributes:
        number: number of the tile, in raster order.
        place: its row and column in the grid of tiles.
        box: its latent positions in the picture.
        intact: number of its stages that can be decoded.
    """

    number: int
    place: tuple[int, int]
    box: Box
    intact: int

    def in_words(self, step: int) -> str:
        """Describe the tile and the damage in a few words.

        Args:
            step: pixels per latent position along each side.
        """
        box = self.box.scaled(step)
        what = f"its stages from {self.intact + 1} on" if self.intact else "all of it"
        return f"tile {self.number} ({box.width}x{box.height} pixels at {box.left},{box.top}): {what} made up"


@dataclass
class Excerpt:
    """Planes of a rectangle of the grid.

    Attributes:
        box: the rectangle.
        planes: base and index planes; where the file holds nothing, the base is grey and indices are 0.
        missing: tiles of the rectangle of which a truncated file holds nothing.
        damaged: tiles whose planes are zero from some stage on. `vqcodec.generate.conceal` can fill them.
    """

    box: Box
    planes: Planes
    missing: list[Box]
    damaged: list[DamagedTile] = field(default_factory=list)


def read_excerpt(
    container: Container,
    coder: IndexCoder,
    config: Shape,
    box: Box | None = None,
    stages: int | None = None,
) -> Excerpt:
    """Decode the tiles that a rectangle touches, with the same number of stages for all of them.

    In a truncated file, these are the stages that all tiles of the rectangle have, at least the first.
    `Excerpt.missing` names tiles that lack even that one. Warns with `TruncatedWarning` about what is
    missing.

    Args:
        container: the file.
        coder: coder of the model that the file was made with.
        config: configuration of that model.
        box: rectangle to decode, in positions of the grid; all by default.
        stages: maximum number of stages, 1 or more; all by default.

    Raises:
        bitstream.BitstreamError: the tiles are damaged, or the file holds nothing of them.
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
    grids = [_grid(header, number) for number in found]
    parts = dict(zip(found, coder.read(readers, grids, header.rate), strict=True))
    planes = _assembled(header, numbers, parts, there, box, config)
    missing = [_box(header, number) for number in numbers if number not in parts]
    return Excerpt(box, planes, missing)


def read_damaged(
    container: Container,
    coder: IndexCoder,
    config: Shape,
    box: Box | None = None,
    stages: int | None = None,
) -> Excerpt:
    """Decode as many stages as possible of each tile that a rectangle touches.

    The excerpt has as many stages as the best tile.

    Args:
        container: return value of `bitstream.salvage`.
        coder, config, box, stages: see `read_excerpt`.

    Raises:
        bitstream.BitstreamError: no tile can be decoded.
    """
    header = container.header
    box, numbers = _tiles_of(header, box)
    wanted = min(stages or header.stages, header.stages)
    parts: dict[int, Planes] = {}
    faults: list[BitstreamError] = []
    for number in numbers:
        count = min(wanted, int(container.payload.complete[number]))
        if count == 0:
            faults.append(Truncated("the file ends inside its first stage", container.missing))
        while count:
            reader = container.payload.tile(number, count)
            try:
                parts[number] = coder.read([reader], [_grid(header, number)], header.rate)[0]
                break
            except IndexMismatch as error:
                # The stages before the one that does not match its check are correct.
                faults.append(error)
                count = error.stage
    if not parts:
        raise faults[0]
    there = max(part.stages for part in parts.values())
    damaged = []
    for number in numbers:
        intact = parts[number].stages if number in parts else 0
        if intact < there:
            place = divmod(number, header.tile_grid[1])
            damaged.append(DamagedTile(number, place, _box(header, number), intact))
    return Excerpt(box, _assembled(header, numbers, parts, there, box, config), [], damaged)


def _tiles_of(header: Header, box: Box | None) -> tuple[Box, list[int]]:
    """Return the rectangle, by default the whole picture, and the numbers of the tiles that it touches."""
    rows, columns = header.grid
    box = box or Box(0, 0, columns, rows)
    region = box.scaled(1 << header.downsample_log2).clipped(Box(0, 0, header.width, header.height))
    return box, header.tiles_in(region.left, region.top, region.width, region.height)


def _assembled(
    header: Header,
    numbers: Sequence[int],
    parts: dict[int, Planes],
    stages: int,
    box: Box,
    config: Shape,
) -> Planes:
    """Assemble planes of a rectangle from those of tiles; where there are none, they are empty."""
    # Assemble whole tiles, then cut out the rectangle.
    first, last = _box(header, numbers[0]), _box(header, numbers[-1])
    whole = Box(first.left, first.top, last.right, last.bottom)
    scales = [layer.scale for layer in config.layers[: stages - config.has_base]]
    planes = Planes.empty((whole.height, whole.width), scales, config.has_base, header.rate)
    for number, part in parts.items():
        planes.put(_box(header, number).relative_to(whole), part)
    return planes.part(box.relative_to(whole))


def _box(header: Header, number: int) -> Box:
    return Box.of_tile(header.tile(number))


def _grid(header: Header, number: int) -> tuple[int, int]:
    tile = header.tile(number)
    return tile.rows, tile.columns

"""Base and index planes to the bytes of a file, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import bitstream
from bitstream import Header
from vqcodec.config import Shape
from vqcodec.entropy.base import BaseCoder, clipped
from vqcodec.entropy.coders import ContextCoder, IndexCoder, TableCoder
from vqcodec.entropy.context import ContextModel
from vqcodec.entropy.excerpt import read_excerpt
from vqcodec.errors import ModelError
from vqcodec.geometry import Box
from vqcodec.planes import Planes
from vqcodec.weights import ModelFile

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Packing:
    """Codes base and index planes with the probability model of a model file.

    Args:
        file: return value of `load_model`.

    Attributes:
        model_id: 4 bytes that identify the model in files.
        coder: codes and decodes the planes of tiles.
        context: the context model; `None` for models without one.
        base: codes the base; `None` for models without one.
    """

    def __init__(self, file: ModelFile) -> None:
        self.model_id = file.model_id
        self._config: Shape = file.config
        layers = self._config.layers
        self.base = None if file.base_tables is None else BaseCoder(file.base_tables)
        self.context = (
            None if file.context is None else ContextModel(file.context, layers, self._config.has_base)
        )
        self.coder: IndexCoder = TableCoder(file.tables, layers, self.base)
        if self.context is not None:
            self.coder = ContextCoder(self.context, self.base)

    def pack(
        self,
        planes: Planes,
        size: tuple[int, int],
        *,
        grey: bool = False,
        alpha: np.ndarray | None = None,
        metadata: bitstream.Metadata | None = None,
    ) -> bytes:
        """Write planes to a `.vqc` file.

        Args:
            planes: of the whole picture, with a grid of ceil(height/f) rows and ceil(width/f) columns; f is the
                downsampling of the model. Steps of the base are the same within each tile.
            size: width and height of the picture in pixels.
            grey: whether to decode to one channel.
            alpha: (height, width) uint8, kept losslessly.
            metadata: ICC profile, EXIF and XMP to keep.

        Raises:
            ValueError: the planes or the alpha plane do not fit `size`, or the planes are not of this model.
            bitstream.LimitExceeded: a size is beyond the limits of the format.
        """
        planes.check(self._config)
        header = self._header(planes, size, grey)
        if planes.grid != header.grid:
            raise ValueError(f"planes of {planes.grid} positions do not fit {size[0]}x{size[1]} pixels")
        tiles = [planes.part(Box.of_tile(header.tile(number))) for number in range(header.tiles)]
        if any(tile.steps is not None and (tile.steps != tile.steps[0, 0]).any() for tile in tiles):
            raise ValueError("the steps of the base differ within a tile")
        base, steps = planes.base, planes.steps
        if base is not None and steps is not None and not np.array_equal(clipped(base, steps), base):
            raise ValueError("the base has values that no picture has")
        return bitstream.write(header, self.coder.write(tiles), metadata, alpha)

    def _header(self, planes: Planes, size: tuple[int, int], grey: bool = False) -> Header:
        return Header(
            width=size[0],
            height=size[1],
            model_id=self.model_id,
            stages=planes.stages,
            rate=planes.rate,
            downsample_log2=self._config.downsampling.bit_length() - 1,
            grey=grey,
        )

    def unpack(self, data: Buffer) -> Planes:
        """Read the base and index planes of a `.vqc` file.

        Raises:
            bitstream.BitstreamError: the file is damaged.
            vqcodec.errors.ModelError: the file was made with another model.
        """
        container = bitstream.read(data)
        self.check(container.header)
        return read_excerpt(container, self.coder, self._config).planes

    def bits(self, planes: Planes) -> list[np.ndarray]:
        """Return the rate of each index of planes in bits, float32 planes like `planes.layers`."""
        out = [np.empty(plane.shape, np.float32) for plane in planes.layers]
        for tile in self._tiles(planes):
            for layer, costs in enumerate(self.coder.bits(planes.part(tile))):
                tile.scaled(planes.scale(layer)).of(out[layer])[:] = costs
        return out

    def base_bits(self, planes: Planes) -> float:
        """Return the rate of the base of planes in bits; 0 without one."""
        if self.base is None or planes.base is None or planes.steps is None:
            return 0.0
        parts = [planes.part(tile) for tile in self._tiles(planes)]
        return sum(
            float(self.base.bits(part.base, int(part.steps[0, 0])).sum())
            for part in parts
            if part.base is not None and part.steps is not None
        )

    def _tiles(self, planes: Planes) -> list[Box]:
        height, width = (self._config.downsampling * side for side in planes.grid)
        header = self._header(planes, (width, height))
        return [Box.of_tile(header.tile(number)) for number in range(header.tiles)]

    def check(self, header: Header) -> None:
        """Check that a file was made with this model.

        Raises:
            vqcodec.errors.ModelError: it was made with another model.
            bitstream.CorruptHeader: it names this model but contradicts it.
        """
        if header.model_id != self.model_id:
            raise ModelError(
                f"made with model {header.model_id.hex()}, but the model at hand is {self.model_id.hex()}"
            )
        config = self._config
        if (
            header.stages > config.stages
            or 1 << header.downsample_log2 != config.downsampling
            or (header.rate and not config.has_base)
        ):
            raise bitstream.CorruptHeader("stages, rate or grid are not those of the model that it names")

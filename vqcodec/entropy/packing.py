"""Index planes to the bytes of a file, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import bitstream
from bitstream import Header
from vqcodec.entropy.coders import ContextCoder, IndexCoder, TableCoder
from vqcodec.entropy.context import ContextModel
from vqcodec.entropy.excerpt import read_excerpt
from vqcodec.errors import ModelError
from vqcodec.geometry import Box
from vqcodec.model.config import Shape
from vqcodec.weights import ModelFile

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Packing:
    """Codes index planes with the probability model of a model file.

    Args:
        file: return value of `load_model`.

    Attributes:
        model_id: 4 bytes that identify the model in files.
        coder: codes and decodes the index planes of tiles.
        context: the context model; `None` for models without one.
    """

    def __init__(self, file: ModelFile) -> None:
        self.model_id = file.model_id
        self._config: Shape = file.model.config
        self.context = None if file.context is None else ContextModel(file.context)
        self.coder: IndexCoder = TableCoder(file.tables)
        if self.context is not None:
            self.coder = ContextCoder(self.context)

    def pack(
        self,
        planes: np.ndarray,
        size: tuple[int, int],
        *,
        grey: bool = False,
        alpha: np.ndarray | None = None,
        metadata: bitstream.Metadata | None = None,
    ) -> bytes:
        """Write index planes to a `.vqc` file.

        Args:
            planes: (stages, ceil(height/f), ceil(width/f)) integers; f is the downsampling of the model.
            size: width and height of the picture in pixels.
            grey: whether to decode to one channel.
            alpha: (height, width) uint8, kept losslessly.
            metadata: ICC profile, EXIF and XMP to keep.

        Raises:
            ValueError: the planes or the alpha plane do not fit `size`.
            bitstream.LimitExceeded: a size is beyond the limits of the format.
        """
        header = self._header(planes, size, grey)
        if planes.shape[1:] != header.grid:
            raise ValueError(f"index planes of shape {planes.shape} do not fit {size[0]}x{size[1]} pixels")
        tiles = [Box.of_tile(header.tile(number)).of(planes) for number in range(header.tiles)]
        return bitstream.write(header, self.coder.write(tiles), metadata, alpha)

    def _header(self, planes: np.ndarray, size: tuple[int, int], grey: bool = False) -> Header:
        return Header(
            width=size[0],
            height=size[1],
            model_id=self.model_id,
            stages=len(planes),
            codebook_size=self._config.codebook_size,
            downsample_log2=self._config.downsampling.bit_length() - 1,
            grey=grey,
        )

    def unpack(self, data: Buffer) -> np.ndarray:
        """Read the index planes (stages, h, w) uint16 of a `.vqc` file.

        Raises:
            bitstream.BitstreamError: the file is damaged.
            vqcodec.errors.ModelError: the file was made with another model.
        """
        container = bitstream.read(data)
        self.check(container.header)
        return read_excerpt(container, self.coder).planes

    def bits(self, planes: np.ndarray) -> np.ndarray:
        """Return the rate of each index of planes (stages, h, w), in bits: float32 of the same shape."""
        height, width = (self._config.downsampling * side for side in planes.shape[1:])
        header = self._header(planes, (width, height))
        out = np.empty(planes.shape, np.float32)
        for number in range(header.tiles):
            tile = Box.of_tile(header.tile(number))
            tile.of(out)[:] = self.coder.bits(tile.of(planes))
        return out

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
            or header.codebook_size != config.codebook_size
            or 1 << header.downsample_log2 != config.downsampling
        ):
            raise bitstream.CorruptHeader("stages, codebook or grid are not those of the model that it names")

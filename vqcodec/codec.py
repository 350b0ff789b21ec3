"""The whole path: image to latents to indices to bytes, and back."""

from __future__ import annotations

import functools
import os

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import bitstream
from bitstream import Header, TileReader, TileWriter
from vqcodec import image as images
from vqcodec.coding import TableCoder
from vqcodec.errors import ModelError
from vqcodec.rate import DEFAULT_QUALITY, rate_point
from vqcodec.weights import ModelFile, load_model
from vqcodec.windows import Box, stitch


class Codec:
    """A loaded model that turns images into bytes and back.

    Loading takes a moment, so load once and use it for many images. The networks are read-only after loading;
    a codec may be used from several threads at once.

    Args:
        file: what `load_model` returned.
        device: torch device that runs the networks. Bytes and indices do not depend on it when decoding.
    """

    def __init__(self, file: ModelFile, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.model = file.model.to(self.device).to(memory_format=torch.channels_last)
        self.model_id = file.model_id
        self.config = self.model.config
        self.coder = TableCoder(file.tables)

    @classmethod
    def load(cls, model: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> Codec:
        """Load a released model by name ("photo" by default) or a model file by path.

        Raises:
            vqcodec.errors.ModelError: it is missing or damaged.
        """
        return cls(load_model(model), device)

    # --- image <-> indices ----------------------------------------------------------------------------

    def encode(self, image: Image.Image, quality: float = DEFAULT_QUALITY) -> np.ndarray:
        """Index planes (stages, ceil(height/f), ceil(width/f)) uint16; f is `config.downsampling`.

        Args:
            image: any mode; alpha is ignored.
            quality: 0..100, higher is better and larger.
        """
        return self.quantize(self.latents(images.from_pil(image).pixels), quality)

    def decode(self, planes: np.ndarray, size: tuple[int, int] | None = None) -> Image.Image:
        """The RGB image of index planes, cut to `size` (width, height) or the full grid."""
        height, width = (self.config.downsampling * side for side in planes.shape[1:])
        if size is not None:
            if not (0 < size[0] <= width and 0 < size[1] <= height):
                raise ValueError(
                    f"{size[0]}x{size[1]} pixels do not fit {planes.shape[1]}x{planes.shape[2]} positions"
                )
            width, height = size
        return Image.fromarray(self.render(planes)[:height, :width])

    @torch.inference_mode()
    def latents(self, pixels: np.ndarray) -> Tensor:
        """Latents (h, w, D) float32 of pixels (H, W, 3) uint8; h = ceil(H/16), w = ceil(W/16)."""
        step = self.config.downsampling
        rows, columns = -(-pixels.shape[0] // step), -(-pixels.shape[1] // step)
        out = torch.empty(rows, columns, self.config.latent_dim)

        def encode(box: Box) -> Tensor:
            part = pixels[step * box.top : step * box.bottom, step * box.left : step * box.right]
            picture = torch.from_numpy(part.copy()).to(self.device).permute(2, 0, 1)[None]
            picture = picture.float() / 127.5 - 1
            below, right = -part.shape[0] % step, -part.shape[1] % step
            picture = F.pad(picture, (0, right, 0, below), mode="replicate")
            return self.model.encode(picture.contiguous(memory_format=torch.channels_last))

        for top, left, latents in stitch(encode, rows, columns, self.model, 1):
            out[top : top + latents.shape[0], left : left + latents.shape[1]] = latents
        return out

    @torch.inference_mode()
    def quantize(self, latents: Tensor, quality: float = DEFAULT_QUALITY) -> np.ndarray:
        """Index planes (stages, h, w) uint16 of latents (h, w, D)."""
        point = rate_point(quality, self.config.stages)
        rows, columns, dim = latents.shape
        out = np.empty((point.stages, rows, columns), np.uint16)
        # The costs of all codewords at all positions of a strip are held at once.
        strip = max(1, (1 << 24) // (columns * self.config.codebook_size))
        for top in range(0, rows, strip):
            part = latents[top : top + strip].to(self.device).reshape(-1, dim)
            chosen = self.model.quantizer.quantize(part, point.stages, point.lagrangian or None).indices
            out[:, top : top + strip] = chosen.T.reshape(point.stages, -1, columns).cpu().numpy()
        return out

    @torch.inference_mode()
    def render(self, planes: np.ndarray) -> np.ndarray:
        """Pixels (16h, 16w, 3) uint8 of index planes (stages, h, w)."""
        stages, rows, columns = planes.shape
        if not 1 <= stages <= self.config.stages or planes.max() >= self.config.codebook_size:
            raise ValueError("the index planes are not of this model")
        step = self.config.downsampling
        out = np.empty((step * rows, step * columns, 3), np.uint8)
        count = torch.tensor([stages], device=self.device)

        def decode(box: Box) -> Tensor:
            part = planes[:, box.top : box.bottom, box.left : box.right].astype(np.int64)
            indices = torch.from_numpy(part).to(self.device).flatten(1).T
            latents = self.model.quantizer.dequantize(indices).view(*part.shape[1:], -1)
            return self.model.decode(latents.permute(2, 0, 1)[None], count)

        for top, left, picture in stitch(decode, rows, columns, self.model, step):
            pixels = picture.add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
            out[top : top + picture.shape[0], left : left + picture.shape[1]] = pixels.cpu().numpy()
        return out

    # --- indices <-> bytes ----------------------------------------------------------------------------

    def pack(
        self,
        planes: np.ndarray,
        size: tuple[int, int],
        *,
        grey: bool = False,
        alpha: np.ndarray | None = None,
        metadata: bitstream.Metadata | None = None,
    ) -> bytes:
        """The `.vqc` file of index planes.

        Args:
            planes: (stages, ceil(height/16), ceil(width/16)) integers.
            size: width and height of the picture in pixels.
            grey: whether the picture comes back with one channel.
            alpha: (height, width) uint8, kept losslessly.
            metadata: ICC profile, EXIF and XMP to keep.
        """
        header = Header(
            width=size[0],
            height=size[1],
            model_id=self.model_id,
            stages=len(planes),
            codebook_size=self.config.codebook_size,
            downsample_log2=self.config.downsampling.bit_length() - 1,
            grey=grey,
        )
        if planes.shape[1:] != header.grid:
            raise ValueError(f"index planes of shape {planes.shape} do not fit {size[0]}x{size[1]} pixels")
        tiles = []
        for number in range(header.tiles):
            tile = header.tile(number)
            writer = TileWriter()
            part = planes[:, tile.top : tile.top + tile.rows, tile.left : tile.left + tile.columns]
            self.coder.encode(writer, part)
            tiles.append(writer.finish())
        return bitstream.write(header, tiles, metadata, alpha)

    def unpack(self, data: bytes) -> np.ndarray:
        """Index planes (stages, h, w) uint16 of a `.vqc` file.

        Raises:
            bitstream.BitstreamError: the file is damaged.
            vqcodec.errors.ModelError: it was made with another model.
        """
        return self._planes(bitstream.read(data))

    def _planes(self, container: bitstream.Container) -> np.ndarray:
        header = container.header
        if header.model_id != self.model_id:
            raise ModelError(
                f"made with model {header.model_id.hex()}, but the model at hand is {self.model_id.hex()}"
            )
        planes = np.empty((header.stages, *header.grid), np.uint16)
        for number in range(header.tiles):
            tile = header.tile(number)
            reader: TileReader = container.payload.tile(number)
            planes[:, tile.top : tile.top + tile.rows, tile.left : tile.left + tile.columns] = (
                self.coder.decode(reader, (tile.rows, tile.columns))
            )
        return planes

    # --- image <-> bytes ------------------------------------------------------------------------------

    def compress(self, image: Image.Image, quality: float = DEFAULT_QUALITY) -> bytes:
        """Compress an image of any mode and size into a `.vqc` file.

        Args:
            image: its EXIF orientation is applied; alpha is kept losslessly.
            quality: 0..100, higher is better and larger.
        """
        picture = images.from_pil(image)
        planes = self.quantize(self.latents(picture.pixels), quality)
        height, width = picture.pixels.shape[:2]
        return self.pack(
            planes, (width, height), grey=picture.grey, alpha=picture.alpha, metadata=picture.metadata
        )

    def decompress(self, data: bytes) -> Image.Image:
        """Rebuild the image of a `.vqc` file.

        Raises:
            bitstream.BitstreamError: the file is damaged.
            vqcodec.errors.ModelError: it was made with another model.
        """
        container = bitstream.read(data)
        header = container.header
        pixels = self.render(self._planes(container))[: header.height, : header.width]
        return images.to_pil(images.Picture(pixels, header.grey, container.alpha(), container.metadata))


@functools.cache
def default_codec() -> Codec:
    """The codec of the released model, loaded once."""
    return Codec.load()

"""The whole path: image to latents to indices to bytes, and back."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import bitstream
from bitstream import Header, Tile
from vqcodec import image as images
from vqcodec.coding import ContextCoder, IndexCoder, TableCoder
from vqcodec.decoding import Excerpt, read_damaged, read_excerpt
from vqcodec.errors import ConcealedWarning, ImageError, LossWarning, ModelError, RequestError, TargetError
from vqcodec.model import VQGAN
from vqcodec.model.context import ContextModel
from vqcodec.parallel import in_parallel, torch_threads, usable_cores
from vqcodec.processor import native_bfloat16
from vqcodec.rate import DEFAULT_QUALITY, HIGHEST_PRICE, TOLERANCE, lagrangian, search
from vqcodec.sampling import conceal as fill_in
from vqcodec.strips import Strips
from vqcodec.weights import ModelFile, load_model
from vqcodec.windows import Box, Windows

Result = TypeVar("Result")

# Pixels that `decompress` renders unless told otherwise: a file of 800 bytes may claim 2**32 of them.
MAX_PIXELS = 1 << 29
# What stands where a truncated file holds nothing.
MISSING = 128


class Codec:
    """A loaded model that turns images into bytes and back.

    Loading takes a moment, so load once and use it for many images. The networks are read-only after loading;
    a codec may be used from several threads at once.

    Args:
        file: what `load_model` returned.
        device: torch device that runs the networks. Bytes and indices do not depend on it when decoding.
        dtype: that the networks compute in, `torch.float32` or `torch.bfloat16`; by default bfloat16 on processors
            that have it. Decoded indices do not depend on it either, and pixels by rounding only. Imported
            models always compute in float32.

    Attributes:
        model: the network, with the first of its generators.
        model_id: 4 bytes that name it in files.
        realism: share of the second generator, 0..1, where none is asked for.
        most_realism: 1, or 0 if there is only one generator.
    """

    def __init__(
        self, file: ModelFile, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.device = _usable_device(device)
        self.model = file.model.to(self.device).to(memory_format=file.model.memory_format)
        self.networks: Strips | Windows
        if isinstance(self.model, VQGAN):
            second = file.realistic and {
                name: value.to(self.device) for name, value in file.realistic.items()
            }
            self.networks = Strips(self.model, dtype or _fastest_dtype(self.device), second)
        else:
            self.networks = Windows(self.model)
        self.model_id = file.model_id
        self.most_realism = 1.0 if file.realistic else 0.0
        self.realism = float(file.notes.get("realism", self.most_realism))
        self.config = self.model.config
        self.coder: IndexCoder
        if file.context is None:
            self.coder = TableCoder(file.tables)
        else:
            self.coder = ContextCoder(ContextModel(file.context))

    @classmethod
    def load(
        cls,
        model: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Codec:
        """Load a released model by name ("photo" by default) or a model file by path; the rest as of `Codec`.

        Raises:
            vqcodec.errors.ModelError: it is missing or damaged.
            vqcodec.errors.RequestError: torch has no such device here.
        """
        return cls(load_model(model), device, dtype)

    # --- image <-> indices ----------------------------------------------------------------------------

    def encode(self, image: Image.Image, quality: float = DEFAULT_QUALITY) -> np.ndarray:
        """Index planes (stages, ceil(height/f), ceil(width/f)) uint16; f is `config.downsampling`.

        Args:
            image: any mode; alpha is ignored.
            quality: 0..100, higher is better and larger.
        """
        return self.quantize(self.latents(images.from_pil(image).pixels), lagrangian(quality))

    def decode(
        self, planes: np.ndarray, size: tuple[int, int] | None = None, *, realism: float | None = None
    ) -> Image.Image:
        """The RGB image of index planes, cut to `size` (width, height) or the full grid; realism as in `decompress`."""
        height, width = (self.config.downsampling * side for side in planes.shape[1:])
        if size is not None:
            if not (0 < size[0] <= width and 0 < size[1] <= height):
                raise ValueError(
                    f"{size[0]}x{size[1]} pixels do not fit {planes.shape[1]}x{planes.shape[2]} positions"
                )
            width, height = size
        return Image.fromarray(self.render(planes, realism)[:height, :width])

    @torch.inference_mode()
    def latents(self, pixels: np.ndarray, progress: Callable[[float], None] | None = None) -> Tensor:
        """Latents (h, w, D) float32 of pixels (H, W, 3) uint8; h = ceil(H/f), w = ceil(W/f).

        Args:
            pixels: the picture.
            progress: called with the share that is done, 0..1, after each window.
        """
        step = self.config.downsampling
        rows, columns = -(-pixels.shape[0] // step), -(-pixels.shape[1] // step)
        out = torch.empty(rows, columns, self.config.latent_dim)
        done = 0
        for top, left, latents in self.networks.encode(pixels):
            out[top : top + latents.shape[0], left : left + latents.shape[1]] = latents
            done += latents.shape[0] * latents.shape[1]
            if progress:
                progress(done / (rows * columns))
        return out

    @torch.inference_mode()
    def quantize(self, latents: Tensor, price: float) -> np.ndarray:
        """Index planes (stages, h, w) uint16 of latents (h, w, D).

        Last stages that add nothing anywhere are left out.

        Args:
            price: of a bit in squared latent units (`vqcodec.rate.lagrangian`); 0 takes the nearest codewords.
        """
        rows, columns, dim = latents.shape
        chosen = self.model.quantizer.choose(latents.to(self.device).reshape(-1, dim), price)
        out = chosen.T.reshape(-1, rows, columns).cpu().numpy().astype(np.uint16)
        used = [stage for stage, plane in enumerate(out) if stage == 0 or plane.any()]
        return out[: used[-1] + 1]

    def render(self, planes: np.ndarray, realism: float | None = None) -> np.ndarray:
        """Pixels (f h, f w, 3) uint8 of index planes (stages, h, w); f is `config.downsampling`."""
        step = self.config.downsampling
        out = np.empty((step * planes.shape[1], step * planes.shape[2], 3), np.uint8)
        for top, left, pixels in self._rendered(planes, realism):
            out[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return out

    @torch.inference_mode()
    def _rendered(self, planes: np.ndarray, realism: float | None) -> Iterator[tuple[int, int, np.ndarray]]:
        """Top, left and pixels of parts that cover the picture of index planes once."""
        stages, rows, columns = planes.shape
        realism = self.realism if realism is None else realism
        if not 0 <= realism <= 1:
            raise ValueError(f"realism {realism} is not between 0 and 1")
        if realism > self.most_realism:
            raise ValueError("this model has one generator, and no other realism than 0")
        if not 1 <= stages <= self.config.stages or planes.max() >= self.config.codebook_size:
            raise ValueError("the index planes are not of this model")

        def latents(box: Box) -> Tensor:
            part = planes[:, box.top : box.bottom, box.left : box.right].astype(np.int64)
            indices = torch.from_numpy(part).to(self.device).flatten(1).T
            return self.model.quantizer.dequantize(indices).view(*part.shape[1:], -1)

        for top, left, picture in self.networks.decode(latents, rows, columns, stages, realism):
            yield top, left, _to_pixels(picture).cpu().numpy()

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
        header = self._header(planes, size, grey)
        if planes.shape[1:] != header.grid:
            raise ValueError(f"index planes of shape {planes.shape} do not fit {size[0]}x{size[1]} pixels")
        tiles = [_tile_of(planes, header.tile(number)) for number in range(header.tiles)]
        return bitstream.write(header, self.coder.encode(tiles), metadata, alpha)

    def _header(self, planes: np.ndarray, size: tuple[int, int], grey: bool = False) -> Header:
        return Header(
            width=size[0],
            height=size[1],
            model_id=self.model_id,
            stages=len(planes),
            codebook_size=self.config.codebook_size,
            downsample_log2=self.config.downsampling.bit_length() - 1,
            grey=grey,
        )

    def unpack(self, data: bytes) -> np.ndarray:
        """Index planes (stages, h, w) uint16 of a `.vqc` file.

        Raises:
            bitstream.BitstreamError: the file is damaged.
            vqcodec.errors.ModelError: it was made with another model.
        """
        container = bitstream.read(data)
        self._check(container.header)
        return read_excerpt(container, self.coder).planes

    def bits(self, planes: np.ndarray) -> np.ndarray:
        """What each index of the planes (stages, h, w) costs in a file, in bits: float32 of that shape."""
        height, width = (self.config.downsampling * side for side in planes.shape[1:])
        header = self._header(planes, (width, height))
        out = np.empty(planes.shape, np.float32)
        for number in range(header.tiles):
            tile = header.tile(number)
            _tile_of(out, tile)[:] = self.coder.bits(_tile_of(planes, tile))
        return out

    # --- image <-> bytes ------------------------------------------------------------------------------

    def compress(
        self,
        image: Image.Image | images.Picture,
        quality: float = DEFAULT_QUALITY,
        *,
        bpp: float | None = None,
        size: int | None = None,
        metadata: bitstream.Metadata | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> bytes:
        """Compress an image of any mode and size into a `.vqc` file.

        Args:
            image: its EXIF orientation is applied; alpha is kept losslessly. A `Picture`, such as
                `vqcodec.image.read` returns, is taken as it is.
            quality: 0..100, higher is better and larger.
            bpp: bits per pixel that the whole file must not exceed, instead of a quality.
            size: bytes that the whole file must not exceed, instead of a quality.
            metadata: to keep in place of the image's own; `Metadata()` keeps none.
            progress: called now and then with the share that is done, 0..1.

        Raises:
            vqcodec.errors.TargetError: even the smallest file is larger than `bpp` or `size` allow.

        Warns with `LossWarning` if even the largest file is more than 3 % smaller than they allow.
        """
        if bpp is not None and size is not None:
            raise ValueError("bpp and size exclude each other")
        picture = image if isinstance(image, images.Picture) else images.from_pil(image, metadata)
        height, width = picture.pixels.shape[:2]
        latents = self.latents(picture.pixels, progress)

        def encode(price: float) -> bytes:
            return self.pack(
                self.quantize(latents, price),
                (width, height),
                grey=picture.grey,
                alpha=picture.alpha,
                metadata=picture.metadata,
            )

        if bpp is not None:
            size = int(bpp * width * height / 8)
        return encode(lagrangian(quality)) if size is None else self._fit(latents, encode, size)

    def _fit(self, latents: Tensor, encode: Callable[[float], bytes], size: int) -> bytes:
        flat = latents.flatten(0, 1)
        # A sample of the positions tells about how the rate falls with the price.
        sample = flat[:: max(1, len(flat) // 256)].to(self.device)

        @torch.inference_mode()
        def estimate(price: float) -> float:
            quantizer = self.model.quantizer
            bits = quantizer.rate(quantizer.choose(sample, price, beams=1))
            return float(bits.mean()) * len(flat) / 8

        data = search(size, estimate, encode)
        if data is None:
            raise TargetError(
                f"{size} bytes cannot be reached: the smallest file takes {len(encode(HIGHEST_PRICE))}"
            )
        if len(data) < (1 - TOLERANCE) * size:
            text = f"the largest file within {size} bytes takes {len(data)}"
            warnings.warn(text, LossWarning, stacklevel=3)
        return data

    def decompress(
        self,
        data: bytes | memoryview,
        *,
        stages: int | None = None,
        region: tuple[int, int, int, int] | None = None,
        scale: int = 1,
        allow_truncated: bool = False,
        conceal: bool = False,
        realism: float | None = None,
        max_pixels: int | None = MAX_PIXELS,
        progress: Callable[[float], None] | None = None,
    ) -> Image.Image:
        """Rebuild the image of a `.vqc` file, or a part or a preview of it.

        Memory is that of the image returned and of one window of the networks.

        Args:
            data: the file, from any contiguous buffer such as a memory map.
            stages: decode only the first so many, 1 or more: coarser and a little faster.
            region: x, y, width, height in pixels; only the tiles that it depends on are read and decoded.
            scale: 1, 2, 4 or 8; a smaller preview, for less memory in about the same time.
            allow_truncated: give what there is of a truncated file, with a `LossWarning`: the stages that are
                complete everywhere, at least the first, and grey where even that is missing.
            conceal: give a picture of a damaged or truncated file too, with a `ConcealedWarning` that names the tiles
                that are not all there. What they lack is made up (`vqcodec.sampling`), the same each time. Other tiles
                have the pixels that they would have, except within `Codec.model.halo` latent positions of such a
                tile, and everywhere where the model `blends`. Damaged metadata and alpha are left out.
            realism: 0 for the generator that keeps nearest to the original, 1 for the one that was trained to look like
                a photograph and makes up more, or a blend of their weights; the model's own choice by default.
            max_pixels: render at most this many, `None` for any number.
            progress: called now and then with the share that is done, 0..1.

        Raises:
            bitstream.BitstreamError: the file is damaged, truncated or too large, or there is nothing to conceal with.
            vqcodec.errors.ModelError: it was made with another model.
            ValueError: the region is not inside the picture or does not begin at a multiple of the scale, or
                stages or scale are not as above.
        """
        if scale not in (1, 2, 4, 8) or (stages is not None and stages < 1):
            raise ValueError(f"scale {scale} is not 1, 2, 4 or 8, or stages {stages} is below 1")
        if conceal:
            container = bitstream.salvage(data)
        else:
            container = bitstream.read(data, allow_truncated=allow_truncated, verify_payload=region is None)
        header = container.header
        self._check(header)
        x, y, width, height = region or (0, 0, header.width, header.height)
        if x % scale or y % scale:
            raise ValueError(f"a region at scale 1/{scale} begins at multiples of {scale}, not at {x},{y}")
        if not (0 <= x < x + width <= header.width and 0 <= y < y + height <= header.height):
            raise ValueError(f"region {x},{y},{width},{height} is not inside {header.width}x{header.height}")
        if max_pixels is not None and width * height > max_pixels:
            raise bitstream.LimitExceeded(f"{width}x{height} pixels are more than the limit of {max_pixels}")
        step = self.config.downsampling
        rows, columns = header.grid
        # Where windows are faded into each other, a part can only be cut out of the whole.
        halo = max(rows, columns) if self.model.blends else self.model.halo
        box = Box(
            max(y // step - halo, 0),
            min(-(-(y + height) // step) + halo, rows),
            max(x // step - halo, 0),
            min(-(-(x + width) // step) + halo, columns),
        )
        if conceal:
            excerpt = read_damaged(container, self.coder, box, stages)
            fill_in(self, excerpt)
            if faults := [*container.damaged, *(tile.in_words(step) for tile in excerpt.damaged)]:
                warnings.warn("damaged: " + "; ".join(faults), ConcealedWarning, stacklevel=2)
        else:
            excerpt = read_excerpt(container, self.coder, box, stages)
        alpha = container.alpha(y, height)
        if alpha is not None:
            alpha = alpha[:, x : x + width]
        canvas = images.Canvas((width, height), header.grey, alpha, container.metadata, scale)
        self._paint(canvas, excerpt, (x, y), realism, progress)
        return canvas.image

    def compress_many(
        self,
        pictures: Iterable[Image.Image | images.Picture | str | os.PathLike],
        *,
        workers: int | None = None,
        **options: Any,
    ) -> Iterator[bytes]:
        """Compress many images, a thread for each core; gives their files in the order of the images.

        Until the iterator ends or is closed, torch uses one thread per image.

        Args:
            pictures: images, or paths of files to read; taken as they are needed.
            workers: images at once, one per core by default. Memory grows with it.
            options: as of `compress`.

        Raises:
            vqcodec.errors.ImageError: a file cannot be read; the message names it.
        """

        def one(picture: Image.Image | images.Picture | str | os.PathLike) -> bytes:
            if isinstance(picture, (str, os.PathLike)):
                try:
                    picture = images.read(picture)
                except ImageError as error:
                    raise ImageError(f"{picture}: {error}") from error
            return self.compress(picture, **options)

        return _in_parallel(one, pictures, workers)

    def decompress_many(
        self, files: Iterable[bytes], *, workers: int | None = None, **options: Any
    ) -> Iterator[Image.Image]:
        """Decompress many `.vqc` files, a thread for each core; gives their images in the same order.

        Args:
            files: their bytes, taken as they are needed.
            workers: as of `compress_many`.
            options: as of `decompress`.
        """
        return _in_parallel(lambda data: self.decompress(data, **options), files, workers)

    def _paint(
        self,
        canvas: images.Canvas,
        excerpt: Excerpt,
        origin: tuple[int, int],
        realism: float | None,
        progress: Callable[[float], None] | None,
    ) -> None:
        """Render an excerpt onto a canvas whose top left pixel is `origin` (x, y) of the picture."""
        step = self.config.downsampling
        down, over = step * excerpt.box.top - origin[1], step * excerpt.box.left - origin[0]
        done, area = 0, step * step * excerpt.planes[0].size
        for top, left, pixels in self._rendered(excerpt.planes, realism):
            canvas.put(over + left, down + top, pixels)
            done += pixels.shape[0] * pixels.shape[1]
            if progress:
                progress(done / area)
        for box in excerpt.missing:
            shape = step * (box.bottom - box.top), step * (box.right - box.left), 3
            pixels = np.broadcast_to(np.uint8(MISSING), shape)
            canvas.put(step * box.left - origin[0], step * box.top - origin[1], pixels)

    def _check(self, header: Header) -> None:
        if header.model_id != self.model_id:
            raise ModelError(
                f"made with model {header.model_id.hex()}, but the model at hand is {self.model_id.hex()}"
            )
        config = self.config
        if (
            header.stages > config.stages
            or header.codebook_size != config.codebook_size
            or 1 << header.downsample_log2 != config.downsampling
        ):
            raise bitstream.CorruptHeader("stages, codebook or grid are not those of the model that it names")


def _tile_of(planes: np.ndarray, tile: Tile) -> np.ndarray:
    return planes[:, tile.top : tile.top + tile.rows, tile.left : tile.left + tile.columns]


def _to_pixels(picture: Tensor) -> Tensor:
    """Values (h, w, 3) from -127.5 to 127.5 to uint8, a few rows at a time so that they stay in the cache."""
    out = torch.empty(picture.shape, dtype=torch.uint8, device=picture.device)
    rows = max(1, (1 << 19) // (3 * picture.shape[1]))
    for part, values in zip(out.split(rows), picture.split(rows), strict=True):
        # Cutting off what stands behind the point rounds, after half is added.
        part.copy_(values.clamp(-127.5, 127.5).float().add_(128))
    return out


def _usable_device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    # Torch without CUDA asserts that it is there.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RequestError(f"torch cannot use the device {str(name)!r} here") from error
    return device


def _fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, which takes little more than half the time of float32."""
    if device.type != "cpu":
        return torch.float32
    return torch.bfloat16 if native_bfloat16() else torch.float32


def _in_parallel(
    function: Callable[[Any], Result], items: Iterable[Any], workers: int | None
) -> Iterator[Result]:
    cores = usable_cores()
    workers = workers or cores
    with torch_threads(max(1, cores // workers)):
        for _, future in in_parallel(function, items, workers):
            yield future.result()


_shared: dict[tuple[str | os.PathLike | None, str], Codec] = {}
_loading = threading.Lock()


def default_codec(model: str | os.PathLike | None = None, device: str = "cpu") -> Codec:
    """The codec of a model, the released one by default, loaded at first use and then kept."""
    with _loading:
        if (model, device) not in _shared:
            _shared[model, device] = Codec.load(model, device)
        return _shared[model, device]

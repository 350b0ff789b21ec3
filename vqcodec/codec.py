"""The complete codec: image to latents to indices to bytes, and back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import bitstream
from vqcodec.analysis import Analysis, fitted
from vqcodec.contents import FileLike, contents
from vqcodec.entropy.excerpt import Excerpt, read_damaged, read_excerpt
from vqcodec.entropy.packing import Packing
from vqcodec.errors import ConcealedWarning
from vqcodec.forks import surviving_lock
from vqcodec.generate.conceal import conceal as fill_in
from vqcodec.generate.prior import Prior
from vqcodec.geometry import Box
from vqcodec.image.canvas import Canvas
from vqcodec.image.inputs import ImageLike, as_picture
from vqcodec.planes import Planes
from vqcodec.portable import Portable
from vqcodec.rate import (
    DEFAULT_QUALITY,
    Setting,
    most_bytes,
    place_of,
    setting_at,
)
from vqcodec.runtime.choice import networks_of
from vqcodec.runtime.threads import results_in_parallel
from vqcodec.runtime.transform import Transform
from vqcodec.weights import ModelFile, load_model

if TYPE_CHECKING:
    import torch
    from typing_extensions import Buffer

# Default limit of `decompress`, in pixels: the header of a file of 800 bytes may claim 2**32 of them.
MAX_PIXELS = 1 << 29
SCALES = (1, 2, 4, 8, 16)
# Grey level that marks tiles missing from a truncated file.
MISSING = 128

Progress = Callable[[float], None]


class Codec(Portable):
    """A loaded model that turns images into bytes and back.

    Loading takes a moment, so load once and reuse the codec for many images. The networks are read-only after
    loading, so threads, and the children of a fork, can share a codec. When pickled, it is loaded again.

    Args:
        file: return value of `load_model`.
        device: torch device that runs the networks. Decoded indices do not depend on it.
        dtype: dtype that the networks compute in, `torch.float32` or `torch.bfloat16`. The default is
            bfloat16 on CPUs that support it natively. Decoded indices do not depend on it, and pixels only by
            rounding. Imported models always compute in float32.
        runtime: library that runs the networks, "onnx" or "torch". The default is the faster one: ONNX Runtime for
            small pictures, unless torch is loaded and the CPU multiplies bfloat16. Devices and dtypes need torch.

    Attributes:
        model_id: 4 bytes that identify the model in files.
        config: configuration of the model; `config.downsampling` is called f below.
        transform: runs the networks and the quantizer.
        packing: codes index planes.
        prior: codebooks and context model, for `vqcodec.generate`.
    """

    def __init__(
        self,
        file: ModelFile,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        runtime: str | None = None,
    ) -> None:
        super().__init__(file, device, dtype, runtime)
        self.transform = Transform(file, networks_of(file, device, dtype, runtime))
        self.packing = Packing(file)
        self.model_id = file.model_id
        self.config = file.config
        self.prior = Prior.of(file.codebooks, file.config.layers, self.packing.context)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        runtime: str | None = None,
    ) -> Codec:
        """Load a released model by name ("photo" by default), or a model file by path.

        Raises:
            vqcodec.errors.ModelError: the model is missing or damaged.
            vqcodec.errors.RequestError: the runtime is not there, or cannot use this device here.
        """
        return cls(load_model(model), device, dtype, runtime)

    def encode(self, image: ImageLike, quality: float = DEFAULT_QUALITY) -> Planes:
        """Encode an image to its base and index planes.

        Args:
            image: see `compress`; alpha is ignored.
            quality: 0..100; higher is better and larger.

        Raises:
            ValueError: quality is outside 0..100.
            vqcodec.errors.ImageError: the image cannot be read, or is of a kind that cannot be taken.
        """
        setting = setting_at(self.config, place_of(quality))
        return Analysis(self.transform, self.packing, as_picture(image).pixels).planes(setting)

    def decode(
        self, planes: Planes, size: tuple[int, int] | None = None, *, realism: float | None = None
    ) -> Image.Image:
        """Decode planes to an RGB image.

        Args:
            planes: base and index planes.
            size: width and height to crop to, in pixels; by default the full grid.
            realism: see `decompress`.

        Raises:
            ValueError: `size` does not fit the planes, or `planes` or `realism` is out of range.
        """
        rows, columns = planes.grid
        height, width = (self.config.downsampling * side for side in (rows, columns))
        if size is not None:
            if not (0 < size[0] <= width and 0 < size[1] <= height):
                raise ValueError(f"{size[0]}x{size[1]} pixels do not fit {rows}x{columns} positions")
            width, height = size
        return Image.fromarray(self.transform.render(planes, realism)[:height, :width])

    def pack(self, planes: Planes, size: tuple[int, int], **options: Any) -> bytes:
        """Write planes to a `.vqc` file. See `Packing.pack` for options and errors."""
        return self.packing.pack(planes, size, **options)

    def unpack(self, data: Buffer) -> Planes:
        """Read the base and index planes of a `.vqc` file. See `Packing.unpack` for errors."""
        return self.packing.unpack(data)

    def compress(
        self,
        image: ImageLike,
        quality: float = DEFAULT_QUALITY,
        *,
        bpp: float | None = None,
        size: int | None = None,
        metadata: bitstream.Metadata | None = None,
        progress: Progress | None = None,
    ) -> bytes:
        """Compress an image of any kind and size into a `.vqc` file.

        Warns with `LossWarning` if even the largest file is more than 3 % below `bpp` or `size`.

        Args:
            image: path, open file, bytes of a picture file, PIL image, `Picture`, array or tensor; see
                `vqcodec.image.inputs.as_picture`, and `vqcodec.image.picture.from_pil` for what becomes of
                orientation, colours and alpha. A `Picture` is taken as it is.
            quality: 0..100; higher is better and larger.
            bpp: maximum bits per pixel of the whole file, in place of a quality.
            size: maximum number of bytes of the whole file, in place of a quality.
            metadata: replaces that of the image. Without a profile in it, colours are converted to sRGB.
            progress: called repeatedly with the fraction done, 0..1; with `bpp` or `size`, several times.

        Raises:
            ValueError: quality is outside 0..100, `bpp` or `size` is not above 0, or both are given.
            vqcodec.errors.ImageError: the image cannot be read, or is of a kind that cannot be taken.
            vqcodec.errors.TargetError: even the smallest file is larger than `bpp` or `size` allows.
        """
        picture = as_picture(image, metadata)
        height, width = picture.pixels.shape[:2]
        place, most = place_of(quality), most_bytes(bpp, size, width * height)
        analysis = Analysis(self.transform, self.packing, picture.pixels, progress)

        def encode(setting: Setting) -> bytes:
            return self.pack(
                analysis.planes(setting),
                (width, height),
                grey=picture.grey,
                alpha=picture.alpha,
                metadata=picture.metadata,
            )

        if most is None:
            return encode(setting_at(self.config, place))
        return fitted(self.transform, self.packing, picture.pixels, encode, most)

    def decompress(
        self,
        data: FileLike,
        *,
        stages: int | None = None,
        region: tuple[int, int, int, int] | None = None,
        scale: int = 1,
        allow_truncated: bool = False,
        conceal: bool = False,
        realism: float | None = None,
        max_pixels: int | None = MAX_PIXELS,
        progress: Progress | None = None,
    ) -> Image.Image:
        """Decode the image of a `.vqc` file, or a region or preview of it.

        Memory holds the returned image and one window of the networks.

        Args:
            data: the file: its path, open in binary mode, or in any buffer such as bytes or a memory map.
            stages: decode only this many stages, 1 or more: coarser and a little faster. The first is the base.
            region: x, y, width, height in pixels. Only the tiles that it depends on are read and decoded.
            scale: 1, 2, 4, 8 or 16; the preview is smaller by this factor. It takes less memory, but no less time,
                except at 16: that is the base, and needs no network.
            allow_truncated: decode what a truncated file holds, with a `LossWarning`: the stages that are
                complete in every tile, at least the first. Tiles that lack even that one are grey.
            conceal: decode a damaged or truncated file too, with a `ConcealedWarning` that names the
                incomplete tiles. `vqcodec.generate` fills in their missing indices, the same way each time.
                Other tiles keep their pixels, except within `Codec.config.halo` latent positions of an
                incomplete tile, and except everywhere if the model `blends`. Damaged metadata and alpha are
                left out.
            realism: 0 selects the generator that stays closest to the original, 1 the one that was trained to
                look like a photograph and invents more detail. Values in between blend their weights. The
                model sets the default.
            max_pixels: limit on the number of rendered pixels; `None` for no limit.
            progress: called repeatedly with the fraction done, 0..1.

        Raises:
            bitstream.BitstreamError: the file is damaged, truncated or too large, or too little is left to
                conceal.
            vqcodec.errors.ModelError: the file was made with another model.
            ValueError: the region does not lie inside the picture or does not start at a multiple of `scale`,
                or `stages`, `scale` or `realism` is out of range.
            vqcodec.errors.ImageError: the file cannot be opened or read.
        """
        if scale not in SCALES or (stages is not None and stages < 1):
            raise ValueError(f"scale {scale} is not 1, 2, 4, 8 or 16, or stages {stages} is below 1")
        only_base = scale == self.config.downsampling == SCALES[-1]
        if only_base and not self.config.has_base:
            raise ValueError("files of this model have no base, which a scale of 16 shows")
        data = contents(data)
        if conceal:
            container = bitstream.salvage(data)
        else:
            container = bitstream.read(data, allow_truncated=allow_truncated, verify_payload=region is None)
        header = container.header
        self.packing.check(header)
        whole = Box(0, 0, header.width, header.height)
        part = Box.at(*region) if region else whole
        if part.left % scale or part.top % scale:
            raise ValueError(
                f"a region at scale 1/{scale} begins at multiples of {scale}, not at {part.left},{part.top}"
            )
        if not part.is_inside(whole):
            name = f"{part.left},{part.top},{part.width},{part.height}"
            raise ValueError(f"region {name} is not inside {header.width}x{header.height}")
        if max_pixels is not None and part.width * part.height > max_pixels:
            raise bitstream.LimitExceeded(
                f"{part.width}x{part.height} pixels are more than the limit of {max_pixels}"
            )
        step = self.config.downsampling
        rows, columns = header.grid
        # If windows are blended, a region can only be cropped from the whole picture.
        halo = max(rows, columns) if self.config.blends else self.config.halo
        if only_base:
            halo, stages = 0, 1
        box = part.covering(step).grown(halo).clipped(Box(0, 0, columns, rows))
        if conceal:
            excerpt = read_damaged(container, self.packing.coder, self.config, box, stages)
            fill_in(self.prior, excerpt)
            if faults := [*container.damaged, *(tile.in_words(step) for tile in excerpt.damaged)]:
                warnings.warn("damaged: " + "; ".join(faults), ConcealedWarning, stacklevel=2)
        else:
            excerpt = read_excerpt(container, self.packing.coder, self.config, box, stages)
        if (alpha := container.alpha(part.top, part.height)) is not None:
            alpha = alpha[:, part.left : part.right]
        canvas = Canvas((part.width, part.height), header.grey, alpha, container.metadata, scale)
        planes = excerpt.planes
        parts = self.transform.flat(planes) if only_base else self.transform.rendered(planes, realism)
        self._paint(canvas, excerpt, part, parts, progress)
        return canvas.image

    def compress_many(
        self,
        pictures: Iterable[ImageLike],
        *,
        workers: int | None = None,
        **options: Any,
    ) -> Iterator[bytes]:
        """Compress many images, one thread per core; yield their files in the order of the images.

        Until the iterator ends or is closed, torch uses one thread per image.

        Args:
            pictures: images of any kind that `compress` takes; taken as needed.
            workers: number of images at once; one per core by default. Memory grows with it.
            options: see `compress`.

        Raises:
            vqcodec.errors.ImageError: a file cannot be read; the message names it.
        """

        return results_in_parallel(lambda image: self.compress(image, **options), pictures, workers)

    def decompress_many(
        self, files: Iterable[FileLike], *, workers: int | None = None, **options: Any
    ) -> Iterator[Image.Image]:
        """Decode many `.vqc` files, one thread per core; yield their images in the same order.

        Args:
            files: paths, open files or contents; taken as needed.
            workers: see `compress_many`.
            options: see `decompress`.
        """
        return results_in_parallel(lambda data: self.decompress(data, **options), files, workers)

    def _paint(
        self,
        canvas: Canvas,
        excerpt: Excerpt,
        part: Box,
        parts: Iterable[tuple[int, int, np.ndarray]],
        progress: Progress | None,
    ) -> None:
        """Put rendered parts of an excerpt onto a canvas that shows `part` of the picture, a box in pixels."""
        step = self.config.downsampling
        corner = excerpt.box.scaled(step).relative_to(part)
        done, area = 0, step * step * excerpt.box.width * excerpt.box.height
        for top, left, pixels in parts:
            canvas.put(corner.left + left, corner.top + top, pixels)
            done += pixels.shape[0] * pixels.shape[1]
            if progress:
                progress(done / area)
        for box in excerpt.missing:
            place = box.scaled(step).relative_to(part)
            grey = np.broadcast_to(np.uint8(MISSING), (place.height, place.width, 3))
            canvas.put(place.left, place.top, grey)


_shared: dict[tuple[str | os.PathLike | None, str], Codec] = {}
_loading = surviving_lock()


def default_codec(model: str | os.PathLike | None = None, device: str = "cpu") -> Codec:
    """Return the codec of a model, by default the released one. It is loaded on first use and kept."""
    with _loading:
        if (model, device) not in _shared:
            _shared[model, device] = Codec.load(model, device)
        return _shared[model, device]

"""What `compress` and `decompress` do with each of their inputs: make one file from another."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from bitstream import BitstreamError
from vqcodec.cli.output import replacing
from vqcodec.cli.plan import Task
from vqcodec.cli.streams import read_standard_input, write_standard_output
from vqcodec.errors import ImageError, RequestError
from vqcodec.image.keep import ALL, Keep

if TYPE_CHECKING:
    from PIL import Image

    from vqcodec.codec import Codec

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Compression:
    """Options for compressing files.

    Attributes:
        quality, bpp, size: see `Codec.compress`.
        keep: which metadata to keep.
        max_pixels: refuse larger pictures; `None` for no limit.
        overwrite: whether to replace existing outputs.
        preserve: whether outputs take the times and permissions of their inputs.
    """

    quality: float
    bpp: float | None = None
    size: int | None = None
    keep: Keep = ALL
    max_pixels: int | None = None
    overwrite: bool = False
    preserve: bool = False

    def run(self, codec: Codec, task: Task, progress: Progress | None = None) -> dict[str, Any]:
        """Compress one file; return facts to report about it.

        Args:
            codec: the codec.
            task: the file.
            progress: called repeatedly with the fraction done, 0..1.

        Returns:
            `width`, `height`, `bytes` and `bpp`.

        Raises:
            ImageError, TargetError, WriteError
        """
        from vqcodec.image.picture import read

        like = _status(task.source) if self.preserve else None
        source = io.BytesIO(read_standard_input()) if task.source is None else task.source
        picture = read(source, self.max_pixels, self.keep)
        data = codec.compress(picture, self.quality, bpp=self.bpp, size=self.size, progress=progress)
        with _output(task.target, self.overwrite, like) as file:
            file.write(data)
        height, width = picture.pixels.shape[:2]
        return {"width": width, "height": height, "bytes": len(data), "bpp": 8 * len(data) / (width * height)}


@dataclass(frozen=True)
class Decompression:
    """Options for decompressing files.

    Attributes:
        stages, region, scale, conceal, realism, max_pixels: see `Codec.decompress`.
        kind: Pillow's name of the output format; `None` chooses it by the suffix of the output.
        overwrite: whether to replace existing outputs.
        preserve: whether outputs take the times and permissions of their inputs.
        reference: picture to compare the result with, or `None`.
        keep: which metadata to write.
        label: whether the output says of itself that a generative codec made it.
    """

    stages: int | None = None
    region: tuple[int, int, int, int] | None = None
    scale: int = 1
    conceal: bool = False
    realism: float | None = None
    max_pixels: int | None = None
    kind: str | None = None
    overwrite: bool = False
    preserve: bool = False
    reference: Path | None = None
    keep: Keep = ALL
    label: bool = True

    def run(self, codec: Codec, task: Task, progress: Progress | None = None) -> dict[str, Any]:
        """Decompress one file; return facts to report about it.

        Args:
            codec: the codec.
            task: the file.
            progress: called repeatedly with the fraction done, 0..1.

        Returns:
            `width`, `height`, `mode` and `bytes`, and with a reference `psnr` in dB.

        Raises:
            ImageError, ModelError, RequestError, WriteError, bitstream.BitstreamError
        """
        from vqcodec.image.label import Label
        from vqcodec.image.save import format_of, write_image

        kind = self.kind or ("PNG" if task.target is None else format_of(task.target.suffix))
        like = _status(task.source) if self.preserve else None
        with _contents(task.source, mapped=self.region is not None) as data:
            try:
                image = codec.decompress(
                    data,
                    stages=self.stages,
                    region=self.region,
                    scale=self.scale,
                    allow_truncated=True,
                    conceal=self.conceal,
                    realism=self.realism,
                    max_pixels=self.max_pixels,
                    progress=progress,
                )
            except BitstreamError:
                raise
            except ValueError as error:
                raise RequestError(str(error)) from error
            size = len(data)
            realism = codec.transform.realism if self.realism is None else self.realism
            label = Label.of(data, realism) if self.label else None
        with _output(task.target, self.overwrite, like) as file:
            write_image(image, file, kind, self.keep, label=label)
        said = {"width": image.width, "height": image.height, "mode": image.mode, "bytes": size}
        return said if self.reference is None else said | {"psnr": _psnr(image, self.reference)}


def _status(source: Path | None) -> os.stat_result | None:
    """Return the status of a file before it is read, because reading changes it."""
    with contextlib.suppress(OSError):
        return source.stat() if source else None
    return None  # reading will say why


@contextlib.contextmanager
def _contents(source: Path | None, mapped: bool) -> Iterator[bytes | mmap.mmap]:
    """Give the contents of a file. With `mapped`, map it into memory, because only parts are needed."""
    if source is None:
        yield read_standard_input()
        return
    try:
        with source.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if mapped else file.read()
    except (OSError, ValueError) as error:
        # ValueError: an empty file cannot be mapped.
        raise ImageError(getattr(error, "strerror", None) or str(error)) from error
    yield data


@contextlib.contextmanager
def _output(target: Path | None, overwrite: bool, like: os.stat_result | None) -> Iterator[BinaryIO]:
    if target is not None:
        with replacing(target, overwrite, like) as file:
            yield file
        return
    # Pillow seeks when it writes some formats, which a pipe cannot do.
    buffer = io.BytesIO()
    yield buffer
    write_standard_output(buffer.getbuffer())


def _psnr(image: Image.Image, reference: Path) -> float:
    """Return the peak signal-to-noise ratio of the RGB values in dB; infinite for equal pictures."""
    from vqcodec.image.picture import read
    from vqcodec.image.srgb import converted

    picture, icc = read(reference), image.info.get("icc_profile")
    if picture.metadata.icc != icc:
        # The profile was dropped on the way, so the numbers can be compared in sRGB only.
        picture = read(reference, keep_metadata=False)
        image = converted(image, icc) if icc else image
    expected = picture.pixels
    if expected.shape[:2] != (image.height, image.width):
        raise RequestError(f"the reference has {expected.shape[1]}x{expected.shape[0]} pixels")
    total = 0.0
    for top in range(0, image.height, 256):
        strip = image.crop((0, top, image.width, min(top + 256, image.height))).convert("RGB")
        difference = np.asarray(strip, np.float64) - expected[top : top + 256]
        total += float((difference**2).sum())
    return float("inf") if total == 0 else 10 * float(np.log10(255**2 * expected.size / total))

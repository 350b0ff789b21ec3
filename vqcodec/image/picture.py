"""Pillow images to arrays: modes, orientation, alpha, metadata."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms

from bitstream import Metadata
from vqcodec.errors import ImageError, LossWarning
from vqcodec.image import metadata as meta

# Pixels converted at a time, so that a large picture is never in memory twice.
STRIP = 1 << 22


@dataclass
class Picture:
    """A picture in the form that the codec takes.

    Attributes:
        pixels: (height, width, 3) uint8, upright. A grey picture has three equal channels.
        grey: whether to decode to one channel.
        alpha: (height, width) uint8, or `None`.
        metadata: ICC profile, EXIF, XMP.
    """

    pixels: np.ndarray
    grey: bool = False
    alpha: np.ndarray | None = None
    metadata: Metadata = field(default_factory=Metadata)


def from_pil(image: Image.Image, metadata: Metadata | None = None) -> Picture:
    """Convert a Pillow image of any mode: rotate it upright, split off alpha, convert the rest to 8-bit RGB.

    Warns with `LossWarning` about anything that is not kept.

    Args:
        image: any mode. If it has several frames, the current one is taken.
        metadata: replaces the metadata of the image. If it has EXIF, its orientation is used, not that of the
            image.
    """
    if getattr(image, "is_animated", False):
        which = "first" if image.tell() == 0 else "current"
        warnings.warn(f"only the {which} of several frames is kept", LossWarning, stacklevel=3)
    if image.mode[0] not in "IF" and any(";16" in str(tile) for tile in getattr(image, "tile", ())):
        warnings.warn("16 bits per channel are reduced to 8", LossWarning, stacklevel=3)
    image.load()
    own = meta.of_image(image)
    found = own if metadata is None else metadata
    turn = meta.orientation(found if found.exif else own)
    if image.mode[0] in "IF":
        warnings.warn(f"mode {image.mode} is reduced to 8 bits", LossWarning, stacklevel=3)
        image = _to_eight_bits(image)
    grey = image.mode in ("1", "L", "LA", "La") or _has_grey_palette(image)
    to_srgb = None
    if image.mode == "CMYK":
        warnings.warn("CMYK is converted to sRGB", LossWarning, stacklevel=3)
        to_srgb = _cmyk_to_srgb(own.icc)
    if found.icc and found.icc[16:20] != (b"GRAY" if grey else b"RGB "):
        # For CMYK and LAB the profile has been applied and is no longer needed.
        if image.mode not in ("CMYK", "LAB"):
            warnings.warn(
                "the ICC profile is not of the picture's kind and not kept", LossWarning, stacklevel=3
            )
        found = replace(found, icc=None)
    transparent = image.has_transparency_data
    shape = image.size if turn >= 5 else image.size[::-1]
    pixels = np.empty((*shape, 3), np.uint8)
    alpha = np.empty(shape, np.uint8) if transparent else None
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        if to_srgb is not None:
            strip = to_srgb.apply(strip)
        values = np.asarray(strip.convert("RGBA" if transparent else "RGB"))
        _as_stored(pixels, turn)[top : top + rows] = values[:, :, :3]
        if alpha is not None:
            _as_stored(alpha, turn)[top : top + rows] = values[:, :, 3]
    return Picture(pixels, grey, alpha, meta.upright(found))


def read(
    source: str | os.PathLike | BinaryIO, max_pixels: int | None = None, keep_metadata: bool = True
) -> Picture:
    """Read a picture from a file in any format that Pillow reads.

    Args:
        source: path or open file.
        max_pixels: limit on the number of pixels. Pillow's own limit, `Image.MAX_IMAGE_PIXELS`, applies too.
        keep_metadata: whether to keep ICC profile, EXIF and XMP.

    Raises:
        vqcodec.errors.ImageError: the file is missing, damaged, too large or not a picture.
    """
    try:
        with Image.open(source) as image:
            if max_pixels is not None and image.width * image.height > max_pixels:
                raise ImageError(
                    f"{image.width}x{image.height} pixels are more than the limit of {max_pixels}"
                )
            picture = from_pil(image)
    except (ImageError, Warning, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise ImageError("not a picture in a format that Pillow reads") from None
    except OSError as error:
        raise ImageError(f"{error.strerror or error}") from error
    except Exception as error:
        # Pillow's readers raise all kinds of errors on a damaged file.
        raise ImageError(f"cannot be read: {error or type(error).__name__}") from error
    return picture if keep_metadata else replace(picture, metadata=Metadata())


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of an upright picture with its pixels in the order in which the source stored them."""
    if orientation >= 5:
        upright = upright.swapaxes(0, 1)
    return upright[:: -1 if orientation in (3, 4, 6, 7) else 1, :: -1 if orientation in (2, 3, 7, 8) else 1]


def _has_grey_palette(image: Image.Image) -> bool:
    if image.mode not in ("P", "PA") or image.info.get("icc_profile"):
        return False
    colours = np.array(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _cmyk_to_srgb(profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    """Return the transform of an ICC profile, or `None` if Pillow's plain conversion must do."""
    if profile is None:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Convert 16-bit and 32-bit integers and floats to 8-bit grey.

    The scale is the full range if that is known, else the range of the values.
    """
    values = np.asarray(image, np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(values.max())
    if image.mode.startswith("I;16") or (image.mode == "I" and 255 < largest <= 65535):
        full = 65535.0
    elif image.mode == "F" and largest <= 1:
        full = 1.0
    else:
        full = max(255.0, largest)
    grey = Image.fromarray(np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8))
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    transparency = image.info.get("transparency")
    if isinstance(transparency, int):
        grey.putalpha(Image.fromarray(np.where(np.asarray(image) == transparency, 0, 255).astype(np.uint8)))
    return grey

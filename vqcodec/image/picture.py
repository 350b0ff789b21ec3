"""Pillow images to arrays: modes, orientation, alpha, metadata."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from bitstream import Metadata
from vqcodec.errors import ImageError, LossWarning, VqcodecError, caller
from vqcodec.image import colour, signals, tiff
from vqcodec.image import metadata as meta
from vqcodec.image.grey import settle
from vqcodec.image.keep import ALL, NONE, Keep
from vqcodec.image.srgb import STRIP, ProfileError, ToSrgb, kind_of
from vqcodec.image.transparent import fill, is_opaque

_GREY = ("1", "L", "LA", "La")
# These always become sRGB.
_CONVERTED = ("CMYK", "LAB")


@dataclass
class Picture:
    """A picture in the form that the codec takes.

    Attributes:
        pixels: (height, width, 3) uint8, upright, in the colours of the profile, or else in sRGB. A grey
            picture has three equal channels.
        grey: whether to decode to one channel.
        alpha: (height, width) uint8, or `None`.
        metadata: ICC profile, EXIF, XMP.
    """

    pixels: np.ndarray
    grey: bool = False
    alpha: np.ndarray | None = None
    metadata: Metadata = field(default_factory=Metadata)


def from_pil(image: Image.Image, metadata: Metadata | None = None, keep: Keep = ALL) -> Picture:
    """Convert a Pillow image of any mode to upright 8-bit RGB, alpha and metadata.

    Colours keep their meaning. What the file says of them outside a profile becomes a profile, or is applied.
    Without a profile, the pixels are sRGB. Alpha that is 255 everywhere is dropped, and invisible pixels get
    the colours of visible ones near them. If all channels are nearly equal, the picture is grey.

    Warns with `LossWarning` about anything that is not kept.

    Args:
        image: any mode. If it has several frames, the current one is taken.
        metadata: replaces the metadata of the image. If it has EXIF, its orientation is used, not that of the
            image. If it has a profile, this is taken for that of the pixels.
        keep: which metadata to keep. Without the profile, colours are converted to sRGB.
    """
    if getattr(image, "is_animated", False):
        which = "first" if image.tell() == 0 else "current"
        warnings.warn(f"only the {which} of several frames is kept", LossWarning, stacklevel=caller())
    if image.mode[0] not in "IF" and any(";16" in str(tile) for tile in getattr(image, "tile", ())):
        warnings.warn("16 bits per channel are reduced to 8", LossWarning, stacklevel=caller())
    signal = signals.read(image)
    image.load()
    own, curve = _described(image, signal, warn=True)
    found = own if metadata is None else metadata
    turn = meta.orientation(found if found.exif else own)
    icc = found.icc or own.icc
    if icc != own.icc:
        curve = None
    to_srgb = None
    if image.mode == "CMYK":
        warnings.warn("CMYK is converted to sRGB", LossWarning, stacklevel=caller())
        to_srgb = _cmyk_to_srgb(own.icc)
    changed = image.mode in _CONVERTED or curve is not None
    if image.mode in _CONVERTED and icc and kind_of(icc) != b"RGB ":
        # It has been applied and is no longer needed.
        icc = None
    if image.mode[0] in "IF":
        warnings.warn(f"mode {image.mode} is reduced to 8 bits", LossWarning, stacklevel=caller())
        image, curve = _to_eight_bits(image, curve), None
    pixels, alpha = _upright(image, turn, curve, to_srgb)
    visible = True
    if alpha is not None:
        visible = bool(alpha.any())
        fill(pixels, alpha)
        alpha = None if is_opaque(alpha) else alpha
    keeps_icc = found.icc is not None and keep.icc
    grey, icc_now = settle(pixels, image.mode in _GREY, visible, icc, keeps_icc)
    kept = keep.of(meta.upright(replace(found, icc=icc_now)))
    if kept.exif and icc_now is None and (icc or changed):
        kept = replace(kept, exif=tiff.as_srgb(kept.exif))
    return Picture(pixels, grey, alpha, kept)


def metadata_of(image: Image.Image) -> Metadata:
    """Return the metadata of a Pillow image, with a profile for what its file says of colours otherwise."""
    return _described(image, signals.read(image), warn=False)[0]


def read(
    source: str | os.PathLike | BinaryIO, max_pixels: int | None = None, keep_metadata: bool | Keep = True
) -> Picture:
    """Read a picture from a file in any format that Pillow reads.

    Args:
        source: path or open file.
        max_pixels: limit on the number of pixels. Pillow's own limit, `Image.MAX_IMAGE_PIXELS`, applies too.
        keep_metadata: whether to keep ICC profile, EXIF and XMP, or which of them. Without the profile, colours
            are converted to sRGB.

    Raises:
        vqcodec.errors.ImageError: the file is missing, damaged, too large or not a picture.
    """
    keep = keep_metadata if isinstance(keep_metadata, Keep) else ALL if keep_metadata else NONE
    with reader_faults(), Image.open(source) as image:
        if max_pixels is not None and image.width * image.height > max_pixels:
            raise ImageError(f"{image.width}x{image.height} pixels are more than the limit of {max_pixels}")
        return from_pil(image, keep=keep)


@contextmanager
def reader_faults() -> Iterator[None]:
    """Turn the errors of Pillow's readers into `ImageError`. On a damaged file, they raise all kinds."""
    try:
        yield
    except (VqcodecError, Warning, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise ImageError("not a picture in a format that Pillow reads") from None
    except OSError as error:
        raise ImageError(f"{error.strerror or error}") from error
    except Exception as error:
        raise ImageError(f"cannot be read: {error or type(error).__name__}") from error


def _as_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of an upright picture with its pixels in the order in which the source stored them."""
    if orientation >= 5:
        upright = upright.swapaxes(0, 1)
    return upright[:: -1 if orientation in (3, 4, 6, 7) else 1, :: -1 if orientation in (2, 3, 7, 8) else 1]


def _described(image: Image.Image, signal: signals.Signal, warn: bool) -> tuple[Metadata, np.ndarray | None]:
    """Return metadata with the profile of the colours, and the curve to apply before it."""
    own = meta.of_image(image)
    icc = own.icc or signal.icc
    if icc and not signal.first:
        return replace(own, icc=icc), None
    if image.mode in _CONVERTED:
        return own, None
    colours = signal.colours or signals.of_exif(own.exif, warn)
    if colours is None:
        return own, None
    if colours.unsupported and warn:
        text = f"colours in {colours.unsupported} cannot be converted and will look wrong"
        warnings.warn(text, LossWarning, stacklevel=caller())
    try:
        meaning = colour.meaning_of(colours, image.mode in _GREY or image.mode[0] in "IF")
    except ValueError as error:
        if warn:
            text = f"the colours are described wrongly ({error}) and taken for sRGB"
            warnings.warn(text, LossWarning, stacklevel=caller())
        return own, None
    return replace(own, icc=meaning.icc), meaning.curve


def _upright(
    image: Image.Image, turn: int, curve: np.ndarray | None, to_srgb: ToSrgb | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels (height, width, 3) and alpha (height, width) or `None`, turned upright, strip by strip.

    Args:
        image: any mode with 8 bits.
        turn: orientation, 1 to 8.
        curve: of `colour.Meaning`, applied to the RGB values, or `None`.
        to_srgb: conversion from the mode of the image, or `None` for Pillow's.
    """
    transparent = image.has_transparency_data
    shape = image.size if turn >= 5 else image.size[::-1]
    pixels = np.empty((*shape, 3), np.uint8)
    alpha = np.empty(shape, np.uint8) if transparent else None
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        if to_srgb is not None:
            strip = to_srgb.image(strip)
        values = np.asarray(strip.convert("RGBA" if transparent else "RGB"))
        colours = values[:, :, :3] if curve is None else colour.applied(curve, values[:, :, :3])
        _as_stored(pixels, turn)[top : top + rows] = colours
        if alpha is not None:
            _as_stored(alpha, turn)[top : top + rows] = values[:, :, 3]
    return pixels, alpha


def _cmyk_to_srgb(profile: bytes | None) -> ToSrgb | None:
    """Return the conversion of a profile, or `None` if Pillow's plain conversion must do."""
    if profile is None or kind_of(profile) != b"CMYK":
        return None
    try:
        return ToSrgb(profile)
    except ProfileError:
        return None


def _to_eight_bits(image: Image.Image, curve: np.ndarray | None) -> Image.Image:
    """Convert 16-bit and 32-bit integers and floats to 8-bit grey, through a curve of `colour.Meaning`.

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
    levels = values * (255 / full)
    if curve is not None:
        levels = 255 * curve[1][np.clip(np.rint(levels * 257), 0, 65535).astype(np.uint16)]
    grey = Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    grey.info = {key: value for key, value in image.info.items() if key != "transparency"}
    transparency = image.info.get("transparency")
    if isinstance(transparency, int):
        grey.putalpha(Image.fromarray(np.where(np.asarray(image) == transparency, 0, 255).astype(np.uint8)))
    return grey

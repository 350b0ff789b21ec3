"""Recognise pictures in black and white, and settle what their profile means."""

from __future__ import annotations

import warnings

import numpy as np

from vqcodec.errors import LossWarning
from vqcodec.image.srgb import ProfileError, ToSrgb, kind_of, usable

# Difference between the channels of a pixel up to which it is grey.
TOLERANCE = 2

_STRIP = 1 << 18


def is_grey(pixels: np.ndarray) -> bool:
    """Return whether the channels of each pixel (height, width, 3) uint8 differ by `TOLERANCE` at most."""
    rows = max(1, _STRIP // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        red, green, blue = (pixels[top : top + rows, :, channel] for channel in range(3))
        span = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        if span.max() > TOLERANCE:
            return False
    return True


def make_grey(pixels: np.ndarray, table: np.ndarray | None = None) -> None:
    """Set the channels of pixels (height, width, 3) uint8 to their luma, in place.

    Args:
        pixels: RGB values.
        table: (256,) uint8; maps the luma, or `None`.
    """
    rows = max(1, _STRIP // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        strip = pixels[top : top + rows]
        luma = np.rint(strip @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
        strip[:] = (luma if table is None else table[luma])[..., None]


def settle(
    pixels: np.ndarray, grey: bool, visible: bool, icc: bytes | None, keep: bool
) -> tuple[bool, bytes | None]:
    """Find out whether a picture is grey, and apply its profile, in place, where it cannot stay.

    Warns with `LossWarning` about a profile that means nothing for this picture.

    Args:
        pixels: (height, width, 3) uint8, with equal channels if grey.
        grey: whether the source has one channel.
        visible: whether any pixel can be seen. If not, a source with colours keeps its channels.
        icc: profile of the pixels, or `None` for sRGB.
        keep: whether to keep the profile.

    Returns:
        whether the picture is grey, and its profile from now on.
    """
    kind = kind_of(icc) if icc else b""
    if not grey and visible and is_grey(pixels):
        greys = _greys(icc) if icc and kind == b"RGB " else None
        if greys is not None:
            # Greys are inside the gamut of sRGB, so nothing is clipped.
            make_grey(pixels, greys)
            return True, None
        if kind != b"RGB ":
            make_grey(pixels)
            grey = True
    if icc is None:
        return grey, None
    if kind == (b"GRAY" if grey else b"RGB "):
        if keep:
            return grey, icc
        to_srgb = usable(icc, grey)
        if to_srgb is not None:
            to_srgb.pixels(pixels)
        return grey, None
    if grey and kind == b"RGB ":
        greys = _greys(icc)
        if greys is not None:
            make_grey(pixels, greys)
    warnings.warn("the ICC profile is not of the picture's kind and not kept", LossWarning, stacklevel=4)
    return grey, None


def _greys(icc: bytes) -> np.ndarray | None:
    """Return the values in sRGB of the greys of an RGB profile, or `None` if they are coloured or unknown."""
    try:
        return ToSrgb(icc).greys
    except ProfileError:
        return None

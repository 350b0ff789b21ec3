"""Pictures of Pillow to arrays and back: modes, orientation, alpha, metadata."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps

from bitstream import Metadata
from vqcodec.errors import LossWarning


@dataclass
class Picture:
    """A picture as the codec sees it.

    Attributes:
        pixels: (height, width, 3) uint8; a grey picture has three equal channels.
        grey: whether it is to come back with one channel.
        alpha: (height, width) uint8, or `None`.
        metadata: ICC profile, EXIF, XMP.
    """

    pixels: np.ndarray
    grey: bool = False
    alpha: np.ndarray | None = None
    metadata: Metadata = field(default_factory=Metadata)


def from_pil(image: Image.Image) -> Picture:
    """Take a picture of any mode: orientation applied, alpha split off, everything else to 8-bit RGB.

    Warns with `LossWarning` about what is not kept.
    """
    if getattr(image, "n_frames", 1) > 1:
        warnings.warn("only the first frame is kept", LossWarning, stacklevel=3)
        image.seek(0)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        warnings.warn(f"mode {image.mode} is reduced to 8 bits per channel", LossWarning, stacklevel=3)
        image = _to_eight_bits(image)
    grey = image.mode in ("1", "L", "LA", "La")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    rgb = image.convert("RGB")
    return Picture(np.asarray(rgb), grey, alpha)


def to_pil(picture: Picture) -> Image.Image:
    """The picture as Pillow image of mode L, LA, RGB or RGBA."""
    image = Image.fromarray(picture.pixels)
    if picture.grey:
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def _to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, np.float64)
    if image.mode.startswith("I;16") or (image.mode == "I" and values.max() > 255):
        values = values / 257
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))

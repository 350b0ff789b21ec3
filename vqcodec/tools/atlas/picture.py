"""How a picture uses the codebooks: its indices, and where its bits go."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vqcodec.codec import Codec
from vqcodec.image.picture import Picture
from vqcodec.planes import Planes


@dataclass
class Dissection:
    """A picture, taken apart.

    Attributes:
        name: name of the picture.
        quality: quality that it was compressed at, 0..100.
        size: size of the file, in bytes.
        pixels: (H, W, 3) uint8.
        planes: base and indices in the file.
        bits: of each layer in the file, rate of each index, float32.
        base_bits: rate of the base.
        partial: pictures (H, W, 3) uint8, one with the base alone if there is one, then one after each layer.
    """

    name: str
    quality: float
    size: int
    pixels: np.ndarray
    planes: Planes
    bits: list[np.ndarray]
    base_bits: float
    partial: list[np.ndarray]


def dissect(codec: Codec, name: str, picture: Picture, quality: float) -> Dissection:
    """Compress a picture and take the result apart.

    Args:
        codec: the codec.
        name: name of the picture.
        picture: the picture.
        quality: 0..100.

    Raises:
        ValueError: quality is outside 0..100.
    """
    height, width = picture.pixels.shape[:2]
    planes = codec.encode(picture, quality)
    size = len(codec.pack(planes, (width, height), grey=picture.grey))
    first = 0 if codec.config.has_base else 1
    partial = [
        codec.transform.render(replace(planes, layers=planes.layers[:count]))[:height, :width]
        for count in range(first, len(planes.layers) + 1)
    ]
    bits, base_bits = codec.packing.bits(planes), codec.packing.base_bits(planes)
    return Dissection(name, quality, size, picture.pixels, planes, bits, base_bits, partial)

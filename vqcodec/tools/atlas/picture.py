"""How a picture uses the codebooks: its indices, and where its bits go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vqcodec.codec import Codec
from vqcodec.image.picture import Picture
from vqcodec.rate import lmbda_of


@dataclass
class Dissection:
    """A picture, taken apart.

    Attributes:
        name: name of the picture.
        quality: quality that it was compressed at, 0..100.
        size: size of the file, in bytes.
        pixels: (H, W, 3) uint8.
        planes: (s, h, w) indices of the stages in the file.
        bits: (s, h, w) float32, rate of each index.
        partial: s pictures (H, W, 3) uint8, one after each stage.
    """

    name: str
    quality: float
    size: int
    pixels: np.ndarray
    planes: np.ndarray
    bits: np.ndarray
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
    planes = codec.transform.quantize(codec.transform.latents(picture.pixels), lmbda_of(quality))
    size = len(codec.pack(planes, (width, height), grey=picture.grey))
    partial = [codec.transform.render(planes[: count + 1])[:height, :width] for count in range(len(planes))]
    return Dissection(name, quality, size, picture.pixels, planes, codec.packing.bits(planes), partial)

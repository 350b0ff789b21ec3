"""A Pillow image that decoded parts are pasted into."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bitstream import Metadata
from vqcodec.image import metadata as meta


class Canvas:
    """A Pillow image, filled part by part.

    Args:
        size: width and height in pixels.
        grey: whether the image has one channel.
        alpha: (height, width) uint8, or `None`.
        metadata: stored in `Image.info`, where Pillow's writers look for it.
        scale: 1, 2, 4 or 8; each square of scale x scale pixels is averaged to one.
    """

    def __init__(
        self,
        size: tuple[int, int],
        grey: bool = False,
        alpha: np.ndarray | None = None,
        metadata: Metadata | None = None,
        scale: int = 1,
    ) -> None:
        self._size = size
        self._grey = grey
        self._alpha = alpha
        self._scale = scale
        mode = ("L" if grey else "RGB") + ("" if alpha is None else "A")
        self.image = Image.new(mode, (-(-size[0] // scale), -(-size[1] // scale)))
        self.image.info.update(meta.to_info(metadata or Metadata()))

    def put(self, left: int, top: int, pixels: np.ndarray) -> None:
        """Paste pixels (height, width, 3) uint8. Pixels outside the canvas are cropped.

        Args:
            left, top: position in pixels; may be negative. Positions inside the canvas are multiples of the
                scale.
            pixels: RGB values.
        """
        right, bottom = (
            min(end, side)
            for end, side in zip((left + pixels.shape[1], top + pixels.shape[0]), self._size, strict=True)
        )
        x, y = max(left, 0), max(top, 0)
        if x >= right or y >= bottom:
            return
        part = Image.fromarray(np.ascontiguousarray(pixels[y - top : bottom - top, x - left : right - left]))
        if self._grey:
            part = part.convert("L")
        if self._alpha is not None:
            part.putalpha(Image.fromarray(np.ascontiguousarray(self._alpha[y:bottom, x:right])))
        if self._scale > 1:
            part = part.reduce(self._scale)
        self.image.paste(part, (x // self._scale, y // self._scale))

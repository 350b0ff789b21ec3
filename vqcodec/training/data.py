"""Random crops from folders of photographs, held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vqcodec.errors import ImageError


def load_rgb(path: Path, max_side: int | None = None) -> Image.Image:
    """Read a photograph as RGB, reduced so that its longer side is at most `max_side` pixels.

    Raises:
        ImageError: the file cannot be read, or is not a picture; the message names it.
    """
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except Image.UnidentifiedImageError:
        raise ImageError(f"{path}: not a picture in a format that Pillow reads") from None
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    if max_side and max(image.size) > max_side:
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return image


class CropSampler:
    """Draws batches of random crops.

    JPEG sources are reduced by a random factor between 1 and `max_reduction` while cropping, so that
    the model does not learn JPEG artefacts. Crops are drawn without worker processes: beside two
    compute threads a data thread costs more than the 9 ms per batch that it saves.

    Args:
        paths: image files. Those with a side shorter than 96 pixels are left out.
        max_side: longer sides are reduced to this on loading, to bound memory.
    """

    def __init__(self, paths: Sequence[Path], max_side: int = 2560, max_reduction: float = 2.0) -> None:
        self.images: list[Image.Image] = []
        for path in tqdm(paths, desc="loading photographs", unit="image", disable=None):
            image = load_rgb(path, max_side)
            if min(image.size) >= 96:
                self.images.append(image)
        if not self.images:
            raise ValueError(
                "no usable photographs: all sides are shorter than 96 pixels or no files were found"
            )
        # Large photographs hold more distinct crops, but must not drown the many small ones.
        weights = np.array([(image.width * image.height) ** 0.5 for image in self.images])
        self.weights = weights / weights.sum()
        self.max_reduction = max_reduction

    def batch(self, rng: np.random.Generator, count: int, size: int) -> Tensor:
        """Draw (count, 3, size, size) float32 crops in [-1, 1]."""
        out = np.empty((count, size, size, 3), np.uint8)
        for slot, which in enumerate(rng.choice(len(self.images), count, p=self.weights)):
            image = self.images[which]
            largest = min(image.width, image.height) / size
            reduction = min(1 + (self.max_reduction - 1) * rng.random(), largest)
            side = size * reduction
            left = rng.random() * (image.width - side)
            top = rng.random() * (image.height - side)
            if reduction <= 1.0:
                left, top = int(left), int(top)
            crop = image.resize(
                (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
            )
            pixels = np.asarray(crop)
            out[slot] = pixels[:, ::-1] if rng.random() < 0.5 else pixels
        return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 127.5 - 1

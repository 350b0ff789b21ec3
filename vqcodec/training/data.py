"""Random crops from photographs, held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vqcodec.errors import ImageError
from vqcodec.training.plain import on_flat_ground, plain_crop


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


# Photographs with a shorter side are left out.
SMALLEST_SIDE = 96


def reductions(width: int, height: int) -> list[float]:
    """Factors by which a photograph is reduced before crops are cut out of it.

    Large photographs are reduced several times, down to a third of a megapixel: the same scene as cameras of fewer
    pixels see it. All but the smallest are reduced at least a little, since most sources are JPEG files, whose
    artefacts a model should not learn.

    Args:
        width, height: of the photograph, in pixels.
    """
    megapixels = width * height / 1e6
    if megapixels < 0.3:
        return [1.0, 1.3, 1.8]
    if megapixels < 1.5:
        return [1.2, 1.6, 2.2]
    factor = 1.3 if megapixels < 6 else 1.6
    found = []
    while megapixels / factor**2 > 0.3 and factor < 8:
        found.append(factor)
        factor *= 1.45
    return found


class CropSampler:
    """Draws batches of random crops from photographs, each held at several scales in the memory of a device.

    Crops are slices, so that drawing them takes no time to speak of, on a GPU either.

    Args:
        paths: image files.
        max_side: longer sides are reduced to this on loading, to bound memory. A photograph takes 3 to 4 bytes per
            pixel.
        device: where the photographs are held and the crops come from.
        plain: share of crops that are flat colours and ramps (see `vqcodec.training.plain`).
        grey: share of the others that lose their colours. In these, a tint is seen that photographs hide.
        ground: share of the others of which a part stands on a flat colour.

    Raises:
        ImageError: a file cannot be read; the message names it.
        ValueError: no photograph is large enough.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        max_side: int = 4096,
        device: torch.device | str = "cpu",
        plain: float = 0.04,
        grey: float = 0.04,
        ground: float = 0.04,
    ) -> None:
        self._plain = plain
        self._grey = grey
        self._ground = ground
        self._device = device
        # By photograph, each at its scales, largest first: (h, w, 3) uint8.
        self._scales: list[list[Tensor]] = []
        weights = []
        with ThreadPoolExecutor() as threads:
            loaded = threads.map(partial(_load_scales, max_side=max_side), paths)
            try:
                for scales, pixels in tqdm(
                    loaded, desc="loading photographs", total=len(paths), unit="image", disable=None
                ):
                    if not scales:
                        continue
                    self._scales.append([scale.to(device) for scale in scales])
                    # Large photographs hold more distinct crops, but must not drown the many small ones.
                    weights.append(pixels**0.75)
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
        if not self._scales:
            raise ValueError(
                f"no usable photographs: all sides are shorter than {SMALLEST_SIDE} pixels or no files were found"
            )
        self._weights = np.array(weights)
        self._chances: dict[int, np.ndarray] = {}

    @property
    def largest_crop(self) -> int:
        """Edge in pixels of the largest crop that there is."""
        return max(min(scales[0].shape[:2]) for scales in self._scales)

    def batch(self, rng: np.random.Generator, count: int, size: int) -> Tensor:
        """Draw (count, 3, size, size) float32 crops in [-1, 1], half of them mirrored.

        Raises:
            ValueError: no photograph is that large.
        """
        if size not in self._chances:
            fits = np.array([min(scales[0].shape[:2]) >= size for scales in self._scales])
            if not fits.any():
                raise ValueError(f"no photograph has sides of {size} pixels or more once it is reduced")
            self._chances[size] = fits * self._weights / (fits * self._weights).sum()
        crops = []
        for which in rng.choice(len(self._scales), count, p=self._chances[size]):
            if rng.random() < self._plain:
                crops.append(plain_crop(rng, size).to(self._device))
                continue
            scales = [scale for scale in self._scales[which] if min(scale.shape[:2]) >= size]
            image = scales[rng.integers(len(scales))]
            top, left = (int(rng.integers(side - size + 1)) for side in image.shape[:2])
            crop = image[top : top + size, left : left + size]
            crop = crop.flip(1) if rng.random() < 0.5 else crop
            crop = without_colour(crop) if rng.random() < self._grey else crop
            crops.append(on_flat_ground(rng, crop) if rng.random() < self._ground else crop)
        return torch.stack(crops).permute(0, 3, 1, 2).float() / 127.5 - 1


def without_colour(crop: Tensor) -> Tensor:
    """A crop (h, w, 3) uint8 in shades of grey."""
    luma = (crop * crop.new_tensor([0.299, 0.587, 0.114], dtype=torch.float32)).sum(2, keepdim=True)
    return luma.round().to(torch.uint8).expand_as(crop)


def _load_scales(path: Path, max_side: int) -> tuple[list[Tensor], int]:
    """A photograph at all its scales, largest first, none if it is too small, and its pixels."""
    image = load_rgb(path, max_side)
    if min(image.size) < SMALLEST_SIDE:
        return [], 0
    factors = [factor for factor in reductions(*image.size) if min(image.size) / factor >= SMALLEST_SIDE]
    return [_reduced(image, factor) for factor in factors or [1.0]], image.width * image.height


def _reduced(image: Image.Image, factor: float) -> Tensor:
    if factor > 1:
        size = round(image.width / factor), round(image.height / factor)
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return torch.from_numpy(np.array(image))

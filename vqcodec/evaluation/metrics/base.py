"""Interface of a metric: its column in the tables, and the code that computes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """One column of each table.

    Attributes:
        name: column name and command line name.
        label: text in tables and on axes, with the backbone.
        higher_is_better: direction.
        smallest_side: images with a shorter side, in pixels, have no value.
        load: returns the `Measure` that computes it; `None` for a property of a set of images.
    """

    name: str
    label: str
    higher_is_better: bool
    smallest_side: int = 1
    load: Callable[[], Measure] | None = None


@dataclass(frozen=True)
class Shown:
    """An image in the two forms that metrics take.

    Attributes:
        image: RGB.
        tensor: (1, 3, H, W) float32 in -1..1.
    """

    image: Image.Image
    tensor: Tensor

    @classmethod
    def of(cls, image: Image.Image) -> Shown:
        """Return both forms of an image of any mode."""
        image = image.convert("RGB")
        return cls(image, to_tensor(image))


class Measure(ABC):
    """A metric with its networks loaded."""

    def prepare(self, original: Shown) -> Any:
        """Compute what all comparisons with an original share.

        The default returns the original itself.
        """
        return original

    @abstractmethod
    def compare(self, prepared: Any, decoded: Shown) -> float:
        """Compare a decoded image with what `prepare` returned; return the value of the metric."""


class TensorMeasure(Measure):
    """A metric that is a function of two tensors (1, 3, H, W) in -1..1 and gives one value."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._function = function

    def compare(self, prepared: Shown, decoded: Shown) -> float:
        return float(self._function(prepared.tensor, decoded.tensor))


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an image of any mode to RGB (1, 3, H, W) float32 in -1..1."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1

"""What a metric is: a column of every table, and something that computes it."""

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
    """One column of every table.

    Attributes:
        name: column name and command line name.
        label: what tables and axes show, with the backbone.
        higher_is_better: direction.
        smallest_side: images with a shorter side have no value.
        load: makes what computes it; `None` for a property of a set of images.
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
        """Both forms of an image of any mode."""
        image = image.convert("RGB")
        return cls(image, to_tensor(image))


class Measure(ABC):
    """A metric with its networks loaded."""

    def prepare(self, original: Shown) -> Any:
        """What all comparisons with an original share; the original itself unless there is more to it."""
        return original

    @abstractmethod
    def compare(self, prepared: Any, decoded: Shown) -> float:
        """The value of a decoded image against what `prepare` returned."""


class TensorMeasure(Measure):
    """A metric that is a function of two tensors (1, 3, H, W) in -1..1."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._function = function

    def compare(self, prepared: Shown, decoded: Shown) -> float:
        return float(self._function(prepared.tensor, decoded.tensor))


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image as (1, 3, H, W) float32 in -1..1."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1

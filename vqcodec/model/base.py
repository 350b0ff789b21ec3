"""The base of a picture: its colours at 1/16 of the resolution, quantized and coded exactly.

Encoder and generator only see what the base leaves over. So flat and smooth areas are right by construction, and a
decoder can show the picture small without running any network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.config import BLOCK, CHROMA


@dataclass
class Base:
    """Quantized block means in YCoCg.

    Attributes:
        planes: (N, 3, h, w) float32, whole numbers: Y, Co and Cg in steps.
        steps: (N,) or (N, h, w) float32, step of Y in levels; Co and Cg have `CHROMA` times that.
    """

    planes: Tensor
    steps: Tensor

    @property
    def levels(self) -> Tensor:
        """What the planes stand for in YCoCg: (N, 3, h, w), in levels."""
        steps = self.steps if self.steps.ndim == 3 else self.steps[:, None, None]
        factors = self.planes.new_tensor([1.0, CHROMA, CHROMA])[:, None, None]
        return self.planes * factors * steps[:, None]

    @property
    def picture(self) -> Tensor:
        """The colours that the planes stand for: (N, 3, h, w) RGB, about [-1, 1]."""
        return to_rgb(self.levels) / 127.5 - 1

    @property
    def features(self) -> Tensor:
        """What the networks are told of the base: (N, 4, h, w), YCoCg of about unit scale, and the step."""
        levels = self.levels / 127.5
        steps = (
            self.steps if self.steps.ndim == 3 else self.steps[:, None, None].expand(-1, *levels.shape[2:])
        )
        return torch.cat([levels, steps[:, None].log2() / 4], 1)


def quantized(pictures: Tensor, steps: Tensor) -> Base:
    """The base of pictures (N, 3, 16h, 16w) RGB in [-1, 1], with steps (N,) or (N, h, w) in levels."""
    means = to_ycc(F.avg_pool2d((pictures + 1) * 127.5, BLOCK))
    unit = Base(torch.ones_like(means), steps).levels
    return Base((means / unit).round(), steps)


def enlarged(picture: Tensor, factor: int) -> Tensor:
    """A base picture (N, C, h, w) enlarged bilinearly, (N, C, factor h, factor w).

    Slopes go on beyond the outer means to the edge of the picture, so that ramps are straight everywhere.
    """
    for axis in (2, 3):
        picture = _continued(picture, axis)
    return F.interpolate(picture, scale_factor=factor, mode="bilinear")[:, :, factor:-factor, factor:-factor]


def _continued(picture: Tensor, axis: int) -> Tensor:
    """A picture with one more value at either end of an axis, on the line through the two next to it."""
    first, last = picture.narrow(axis, 0, 1), picture.narrow(axis, -1, 1)
    if picture.shape[axis] == 1:
        return torch.cat([first, picture, last], axis)
    second, before = picture.narrow(axis, 1, 1), picture.narrow(axis, -2, 1)
    return torch.cat([2 * first - second, picture, 2 * last - before], axis)


def to_ycc(picture: Tensor) -> Tensor:
    """RGB (N, 3, h, w) to YCoCg: luma in 0..1 times the range, chroma differences in -1..1 times the range."""
    red, green, blue = picture.unbind(1)
    return torch.stack([(red + 2 * green + blue) / 4, red - blue, green - (red + blue) / 2], 1)


def to_rgb(planes: Tensor) -> Tensor:
    """The inverse of `to_ycc`."""
    luma, orange, green = planes.unbind(1)
    rest = luma - green / 2
    return torch.stack([rest + orange / 2, luma + green / 2, rest - orange / 2], 1)

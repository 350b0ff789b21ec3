"""The losses of a decoded picture, each a function with a name that recipes give a weight.

Each returns one value per crop. To add one, write a function of a `Rendering` and put it into `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.training.compiled import compilable
from vqcodec.training.perceptual import distance, texture_distance

# Edges in pixels of the cells of `lattice_error`, which are the steps of the generator, and how many cells a window has
# along each edge.
LATTICES = {4: 16, 8: 8, 16: 8}
# Weights of the scales of `structure`, those of MS-SSIM for its second to fourth scale. The last stands for the fifth,
# too, which crops are too small for.
SCALES = 0.2856, 0.3001, 0.2363 + 0.1333
# Constants of SSIM for pictures in -1..1, and its window: Gaussian, 11 pixels wide.
LUMINANCE, CONTRAST = 4 * 0.01**2, 4 * 0.03**2
WINDOW, DEVIATION = 11, 1.5


@dataclass
class Rendering:
    """What a step decoded, beside what it was to decode.

    Attributes:
        decoded: (N, 3, H, W), about [-1, 1], with a gradient.
        pictures: the originals, of the same shape.
        rate: (N,), points of the rate dial, 0..1.
        weights: (N,), of the crops in the errors of pixels; `None` for 1.
        features: of the perceptual network on the first n of `decoded`; empty if no loss of the phase looks at them.
        wanted: the same of `pictures`.
        seen_weights: (n,), of these crops in the errors of features; `None` for 1.
        distances: ST-LPIPS on VGG16 of the first of these crops; `None` if no loss of the phase takes it.
    """

    decoded: Tensor
    pictures: Tensor
    rate: Tensor
    weights: Tensor | None = None
    features: Sequence[Tensor] = ()
    wanted: Sequence[Tensor] = ()
    seen_weights: Tensor | None = None
    distances: Tensor | None = None

    @cached_property
    def error(self) -> Tensor:
        """Decoded minus original, (N, 3, H, W)."""
        return self.decoded - self.pictures

    def of_crops(self, errors: Tensor) -> Tensor:
        """Means (N,) of errors (N, ...), crops weighted."""
        means = errors.reshape(len(errors), -1).mean(1)
        return means if self.weights is None else means * self.weights

    def of_seen(self, distances: Tensor) -> Tensor:
        """Distances of features (n,), crops weighted."""
        return distances if self.seen_weights is None else distances * self.seen_weights[: len(distances)]


def l1(rendering: Rendering) -> Tensor:
    """Mean absolute error."""
    return rendering.of_crops(rendering.error.abs())


def mse(rendering: Rendering) -> Tensor:
    """Mean squared error."""
    return rendering.of_crops(rendering.error.square())


def coarse(rendering: Rendering) -> Tensor:
    """Mean absolute errors of the picture reduced 4 and 16 times, summed.

    They keep the colours of plain areas, which the perceptual distance hardly sees.
    """
    quarter = F.avg_pool2d(rendering.error, 4)
    return rendering.of_crops(quarter.abs()) + rendering.of_crops(F.avg_pool2d(quarter, 4).abs())


def lattice(rendering: Rendering) -> Tensor:
    """`lattice_error`: texture that repeats from cell to cell, which no other loss minds much."""
    return lattice_error(rendering.error)


def msssim(rendering: Rendering) -> Tensor:
    """1 minus `structure`: strokes and contrasts, in faint texture as much as in strong one."""
    return rendering.of_crops(1 - structure(rendering.decoded, rendering.pictures))


def perceptual(rendering: Rendering) -> Tensor:
    """Squared distance of normalised features."""
    return rendering.of_seen(distance(rendering.features, rendering.wanted))


def texture(rendering: Rendering) -> Tensor:
    """Distance between local statistics of the same features."""
    return rendering.of_seen(texture_distance(rendering.features, rendering.wanted))


def stlpips(rendering: Rendering) -> Tensor:
    """ST-LPIPS on VGG16 (ECCV 2022), whose features are others than those of `perceptual`."""
    assert rendering.distances is not None
    return rendering.of_seen(rendering.distances)


LOSSES: dict[str, Callable[[Rendering], Tensor]] = {
    function.__name__: function
    for function in (l1, mse, coarse, lattice, msssim, perceptual, texture, stlpips)
}
"""Every loss by the name that recipes use."""

LOOK_AT_FEATURES = frozenset({"perceptual", "texture", "stlpips"})
"""Names of those that need the perceptual network."""


Weight = float | Sequence[float]
"""A number, or two: at the lowest and at the highest rate, interpolated along the dial."""


def picture_losses(rendering: Rendering, weights: Mapping[str, Weight]) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of losses, and each of them without its weight, as means over crops.

    Args:
        rendering: of the step.
        weights: by name.
    """
    total, parts = rendering.error.new_zeros(()), {}
    for name, weight in weights.items():
        values = LOSSES[name](rendering)
        parts[name] = values.mean()
        if isinstance(weight, Sequence):
            low, high = weight
            total = total + ((low + (high - low) * rendering.rate[: len(values)]) * values).mean()
        else:
            total = total + weight * parts[name]
    return total, parts


@compilable
def structure(decoded: Tensor, pictures: Tensor) -> Tensor:
    """MS-SSIM (N,) (Wang et al. 2003) without its finest scale, which has the least weight and takes the most time.

    `pytorch_msssim` refuses pictures as small as training crops are at half their size.

    Args:
        decoded, pictures: (N, 3, h, w) in [-1, 1], sides of at least 88.
    """
    places = torch.arange(WINDOW, device=decoded.device) - WINDOW // 2
    weights = torch.exp(-0.5 * (places / DEVIATION).square())
    kernel = (weights / weights.sum()).expand(15, 1, WINDOW)
    pair = torch.cat([decoded, pictures], 1).float().contiguous()
    total = pair.new_zeros(())
    for number, share in enumerate(SCALES, start=1):
        pair = F.avg_pool2d(pair, 2)
        one, other = pair.chunk(2, 1)
        maps = torch.cat([one, other, one.square(), other.square(), one * other], 1)
        maps = F.conv2d(F.conv2d(maps, kernel[:, :, :, None], groups=15), kernel[:, :, None], groups=15)
        mean, other_mean, square, other_square, product = maps.chunk(5, 1)
        squares, both = mean.square() + other_mean.square(), mean * other_mean
        found = (2 * (product - both) + CONTRAST) / (square + other_square - squares + CONTRAST)
        if number == len(SCALES):
            light = 2 * (mean + other_mean + 1) + LUMINANCE
            found = found * (2 * both + light) / (squares + light)
        total = total + share * found.mean((2, 3)).clamp_min(1e-3).log()
    return (total / sum(SCALES)).exp().mean(1)


@compilable
def lattice_error(error: Tensor) -> Tensor:
    """Mean absolute error (N,) of what repeats every 4 pixels, of what repeats every 8, and every 16, summed.

    Errors are averaged over pixels of the same place in neighbouring cells, and what all pixels of a cell have in
    common is left out. Texture whose strokes lie elsewhere than they should averages out. A grid does not, which a
    generator without noise likes to draw for texture.

    Args:
        error: (N, C, h, w), h and w multiples of 16; what is left beyond whole windows of cells does not count.
    """
    total = error.new_zeros(len(error))
    for cell, most in LATTICES.items():
        rows, columns = (max(1, side // (cell * most)) for side in error.shape[2:])
        down, over = (min(most, side // cell) for side in error.shape[2:])
        part = error[..., : rows * down * cell, : columns * over * cell]
        cells = part.reshape(*error.shape[:2], rows, down, cell, columns, over, cell).mean((3, 6))
        total = total + (cells - cells.mean((3, 5), keepdim=True)).abs().flatten(1).mean(1)
    return total

"""The losses of a decoded picture, each a function with a name that recipes give a weight.

Each returns one value per crop. To add one, write a function of a `Rendering` and put it into `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor

from vqcodec.training.perceptual import distance, texture_distance

# Edges in pixels of the cells of `lattice_error`, which are the steps of the generator, and how many cells a window has
# along each edge.
LATTICES = {4: 16, 8: 8, 16: 8}


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
    function.__name__: function for function in (l1, mse, coarse, lattice, perceptual, texture, stlpips)
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

"""Comparing planes position by position."""

import numpy as np

from vqcodec.config import Band, ModelConfig
from vqcodec.planes import Planes

TOY = ModelConfig(
    bands=(Band(16, 8, 2, 16), Band(8, 4, 2, 16)),
    encoder_widths=(8, 8, 16),
    encoder_blocks=(1, 1, 1),
    generator_widths=(16, 8, 8),
    generator_blocks=(1, 1, 1),
    lmbdas=(2.0, 0.05),
    base_steps=(12.0, 3.0),
)
"""A small model with a grid at 1/16 and one at 1/8."""


def differs(one: Planes, other: Planes) -> np.ndarray:
    """Where planes differ: (stages, h, w) bool, by stage and position of the grid."""
    rows, columns = one.grid
    found = []
    if one.base is not None and other.base is not None:
        found.append((one.base != other.base).any(0) | (one.steps != other.steps))
    for number, (a, b) in enumerate(zip(one.layers, other.layers, strict=False)):
        scale = one.scale(number)
        found.append((a != b).reshape(rows, scale, columns, scale).any((1, 3)))
    return np.stack(found)

"""Count how often a model uses its codewords on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqcodec.codec import Codec
from vqcodec.config import Layer
from vqcodec.entropy.coders import going_on
from vqcodec.errors import ImageError
from vqcodec.image.picture import read
from vqcodec.planes import Planes


def count_usage(codec: Codec, photographs: Sequence[Path], quality: float) -> list[np.ndarray]:
    """Count how often each codeword is chosen on photographs.

    Args:
        codec: codec of the model.
        photographs: paths of picture files.
        quality: 0..100.

    Returns:
        of each layer, (K,) int64.

    Raises:
        ImageError: a file cannot be read; the message names it.
    """
    layers = codec.config.layers
    counts = [np.zeros(layer.codebook_size, np.int64) for layer in layers]
    for path in tqdm(photographs, desc="counting indices", unit="picture", disable=None):
        try:
            picture = read(path)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
        for total, found in zip(counts, count_planes(codec.encode(picture, quality), layers), strict=False):
            total += found
    return counts


def count_planes(planes: Planes, layers: Sequence[Layer]) -> list[np.ndarray]:
    """Count each codeword at coded positions: of each layer of planes, (K,) int64."""
    return [
        np.bincount(
            plane[going_on(layers, planes.layers[:number], plane.shape)], minlength=layer.codebook_size
        )
        for number, (plane, layer) in enumerate(zip(planes.layers, layers, strict=False))
    ]

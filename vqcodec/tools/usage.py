"""Count how often a model uses its codewords on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vqcodec.codec import Codec
from vqcodec.errors import ImageError
from vqcodec.image.picture import read
from vqcodec.model.quantizer import rate_context


def count_usage(codec: Codec, photographs: Sequence[Path], lmbda: float = 0.0) -> np.ndarray:
    """Count how often each codeword is chosen on photographs, per stage and rate context.

    Args:
        codec: codec of the model.
        photographs: paths of picture files.
        lmbda: squared latent units per bit; 0 chooses the nearest codewords.

    Returns:
        (S, 2, K) int64.

    Raises:
        ImageError: a file cannot be read; the message names it.
    """
    config = codec.config
    counts = np.zeros((config.stages, 2, config.codebook_size), np.int64)
    for path in tqdm(photographs, desc="counting indices", unit="picture", disable=None):
        try:
            pixels = read(path).pixels
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error
        planes = codec.transform.quantize(codec.transform.latents(pixels), lmbda)
        counts[: len(planes)] += count_planes(planes, config.codebook_size)
    return counts


def count_planes(planes: np.ndarray, codebook_size: int) -> np.ndarray:
    """Count each codeword in index planes (s, h, w), per stage and rate context: (s, 2, K) int64."""
    columns = list(torch.from_numpy(planes.astype(np.int64)).flatten(1))
    counts = np.empty((len(columns), 2, codebook_size), np.int64)
    for stage, column in enumerate(columns):
        flat = rate_context(columns[:stage], len(column)) * codebook_size + column
        counts[stage] = np.bincount(flat.numpy(), minlength=2 * codebook_size).reshape(2, -1)
    return counts

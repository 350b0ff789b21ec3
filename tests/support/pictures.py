"""Pictures made on the spot: smooth, textured and noisy parts, so that codecs have something to lose."""

import numpy as np
from PIL import Image


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB picture that is the same for the same arguments."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 40.0
    layers = [np.sin(x * (seed + 1)) * np.cos(y), np.sin(x * y), np.cos(3 * x + y)]
    pixels = 128 + 60 * np.stack(layers, axis=2) + random.normal(0, 6, (height, width, 3))
    pixels[height // 2 :, : width // 3] = 200
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))

"""Kernel inception distance: how alike two sets of pictures look, patch by patch, regardless of exact pixels.

Binkowski et al., "Demystifying MMD GANs", ICLR 2018, with two differences. First, the features of a patch are
the last activations of the ST-LPIPS AlexNet, a network that no codec here is trained with. They are
normalised to unit vectors and averaged over the patch, so faint texture counts like strong texture. Second,
the sets are paired, original and decoded, so the estimator skips the pair of each patch and its own copy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from vqcodec.evaluation.metrics.base import to_tensor
from vqcodec.evaluation.metrics.stlpips import STLPIPS
from vqcodec.runtime.device import channels_last, native_bfloat16

PATCH = 64
_BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True)
class KernelDistance:
    """An estimate of the distance between originals and decoded images.

    Attributes:
        value: squared maximum mean discrepancy. It is unbiased, so it can fall slightly below 0.
        standard_error: from a bootstrap over the images, because the patches of one image are alike; NaN for
            a single image.
        patches: number of patches on each side.
    """

    value: float
    standard_error: float
    patches: int


class PatchFeatures:
    """Turns an image into one feature vector per 64x64 patch.

    Raises:
        MissingExtraError: `stlpips-pytorch`, which holds the weights, is not installed.
    """

    def __init__(self) -> None:
        # Torch's annotations of `Module.to` lack this form.
        self._network = channels_last(STLPIPS("alex"))
        self._bfloat16 = native_bfloat16()

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return the features (P, 256) float32, 0..1, of the P whole patches of an image, row by row.

        The patches lie edge to edge. An image with a side below 64 has none.
        """
        if min(image.size) < PATCH:
            return np.zeros((0, 256), np.float32)
        patches = to_tensor(image)[0].unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH)
        patches = patches.permute(1, 2, 0, 3, 4).reshape(-1, 3, PATCH, PATCH)
        vectors = []
        for batch in patches.split(32):
            with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
                last = self._network.features(batch.contiguous(memory_format=torch.channels_last))[-1]
            vectors.append(F.normalize(last.float(), dim=1).mean(dim=(2, 3)))
        return torch.cat(vectors).numpy()


def kernel_distance(originals: Sequence[np.ndarray], decoded: Sequence[np.ndarray]) -> KernelDistance:
    """Compute the kernel inception distance between originals and decoded images, with the cubic kernel.

    Args:
        originals: one (P_i, D) array of patch features per image.
        decoded: the same for the decoded images, in the same order.

    Raises:
        ValueError: the lists do not match, or there are fewer than two patches.
    """
    counts = np.array([len(features) for features in originals])
    if [len(features) for features in decoded] != counts.tolist():
        raise ValueError("originals and decoded images differ in number of images or patches")
    if counts.sum() < 2:
        raise ValueError(f"the kernel distance needs two patches of {PATCH}x{PATCH} or more")
    x, y = np.concatenate(originals).astype(np.float64), np.concatenate(decoded).astype(np.float64)
    sums = _paired_sums(x, y, counts)
    pairs = np.outer(counts, counts) - np.diag(counts)
    value = sums.sum() / pairs.sum()

    if len(counts) == 1:
        return KernelDistance(float(value), math.nan, int(counts.sum()))
    # An image drawn twice counts as two images. Only a patch and its own copy are never a pair.
    draws = np.random.default_rng(0).multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), _BOOTSTRAP_DRAWS
    )
    weighted_sums = np.einsum("ba,ac,bc->b", draws, sums, draws)
    weighted_pairs = np.einsum("ba,ac,bc->b", draws, pairs, draws)
    return KernelDistance(float(value), float(np.std(weighted_sums / weighted_pairs)), int(counts.sum()))


def _paired_sums(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(y_i, x_j) over patches i != j: (images, images).

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, equation 4.
    """
    ends = np.cumsum(counts)
    starts = ends - counts
    sums = np.empty((len(counts), len(counts)))
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        # Take one image against all at a time, so memory grows with the number of patches, not with its
        # square.
        xi, yi = x[start:end], y[start:end]
        terms = _kernel(xi, x) + _kernel(yi, y) - _kernel(xi, y) - _kernel(yi, x)
        terms[np.arange(end - start), np.arange(start, end)] = 0
        columns = np.concatenate([[0.0], np.cumsum(terms.sum(axis=0))])
        sums[row] = columns[ends] - columns[starts]
    return sums


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Not divided by the dimension, because the vectors have unit length rather than unit variance.
    base = a @ b.T + 1
    return base * base * base

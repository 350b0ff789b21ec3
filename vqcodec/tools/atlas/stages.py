"""What the codewords of a model look like, how often they are used, and which are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqcodec.codec import Codec
from vqcodec.edit import render_latents

# A codebook may have 65536 codewords; showing more than this many does not help.
MOST_SHOWN = 1024
NEIGHBOURS = 6

# A codeword is rendered as a block of positions, with average latents between blocks.
_BLOCK = 3
_PITCH = _BLOCK + 2


@dataclass
class Stage:
    """One codebook.

    Attributes:
        number: 1 for the first stage.
        counts: (K,) how often each codeword was chosen on photographs, or `None`.
        bits: (K,) rate of each codeword, as the encoder estimates it.
        shown: (n,) the codewords shown, most used first (or cheapest first, without counts).
        patches: (n, 2f, 2f, 3) uint8, what they look like where the earlier stages are average; f is the
            downsampling.
        gain: factor by which the differences of the patches from the average are enlarged.
        neighbours: (n, m) the nearest codewords of each.
        spacing: root mean square distance per channel to the nearest neighbour, median over `shown`.
    """

    number: int
    counts: np.ndarray | None
    bits: np.ndarray
    shown: np.ndarray
    patches: np.ndarray
    gain: float
    neighbours: np.ndarray
    spacing: float

    @property
    def dead(self) -> np.ndarray | None:
        """The codewords that were never chosen, or `None` without counts."""
        return None if self.counts is None else np.flatnonzero(self.counts == 0)


@torch.inference_mode()
def examine(codec: Codec, counts: np.ndarray | None = None) -> list[Stage]:
    """Examine all codebooks of a model.

    Args:
        codec: codec of the model.
        counts: (S, 2, K) from `vqcodec.tools.usage.count_usage`, or `None`.
    """
    quantizer = codec.model.quantizer
    ground = torch.zeros(codec.config.latent_dim, device=codec.transform.device)
    stages = []
    for number, codebook in enumerate(quantizer.codebooks):
        bits = quantizer.bits[number, 0].cpu().numpy()
        chosen = None if counts is None else counts[number].sum(0)
        order = np.lexsort((bits,) if chosen is None else (bits, -chosen))
        shown = order[:MOST_SHOWN]
        own = torch.from_numpy(shown.copy()).to(codec.transform.device)
        neighbours, distances = _nearest(own, codebook)
        spacing = float((distances.median() / codebook.shape[1]).sqrt())
        patches, gain = _stretched(_render(codec, codebook[own], ground, number + 1), number > 0)
        stages.append(Stage(number + 1, chosen, bits, shown, patches, gain, neighbours, spacing))
        share = np.exp2(-bits) if chosen is None or not chosen.any() else chosen
        weights = torch.from_numpy((share / share.sum()).astype(np.float32)).to(codec.transform.device)
        ground = ground + weights @ codebook
    return stages


def usage_entropy(counts: np.ndarray) -> float:
    """Return the entropy of counts (K,) in bits; 0 if all counts are 0."""
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(share * np.log2(share)).sum())


def _nearest(own: Tensor, codebook: Tensor) -> tuple[np.ndarray, Tensor]:
    """For codewords `own` (n,), return the nearest others (n, m) and the least squared distances (n,)."""
    indices, distances = [], []
    for part in own.split(256):
        squared = torch.cdist(codebook[part], codebook).square()
        squared.scatter_(1, part[:, None], torch.inf)
        found = squared.topk(min(NEIGHBOURS, len(codebook) - 1), largest=False)
        indices.append(found.indices)
        distances.append(found.values[:, 0])
    return torch.cat(indices).cpu().numpy(), torch.cat(distances)


def _render(codec: Codec, words: Tensor, ground: Tensor, stages: int) -> Tensor:
    """Render a block of each codeword on the ground and return its middle: (n, 2f, 2f, 3), about [-1, 1]."""
    step = codec.config.downsampling
    columns = int(len(words) ** 0.5)
    rows = -(-len(words) // columns)
    cells = words.new_zeros(rows * columns, words.shape[1])
    cells[: len(words)] = words
    latents = words.new_zeros(rows, _PITCH, columns, _PITCH, words.shape[1])
    latents[:, 1 : 1 + _BLOCK, :, 1 : 1 + _BLOCK] = cells.view(rows, 1, columns, 1, -1)
    latents = (latents + ground).flatten(2, 3).flatten(0, 1)
    picture = render_latents(codec, latents, stages)
    patches = picture.view(rows, _PITCH * step, columns, _PITCH * step, 3).transpose(1, 2).flatten(0, 1)
    start = (_PITCH - 2) * step // 2
    return patches[: len(words), start : start + 2 * step, start : start + 2 * step]


def _stretched(patches: Tensor, stretch: bool) -> tuple[np.ndarray, float]:
    """Convert patches to uint8; return them and the gain.

    With `stretch`, differences from the average colour are enlarged to fill the range.
    """
    average = patches.mean((0, 1, 2))
    difference = (patches - average).abs().flatten()
    strong = difference.kthvalue(max(1, int(0.99 * len(difference)))).values
    gain = max(1.0, float(0.8 / strong)) if stretch and strong > 0 else 1.0
    pixels = average + gain * (patches - average)
    return pixels.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy(), gain

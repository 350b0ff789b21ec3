"""What the codewords of a model look like, how often they are used, and which are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqcodec.codec import Codec
from vqcodec.config import Layer
from vqcodec.planes import RATES, Planes

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
        number: of the layer, 1 for the first.
        side: pixels along each side of the square that one position covers.
        counts: (K,) how often each codeword was chosen on photographs, or `None`.
        bits: (K,) rate of each codeword, as the encoder estimates it.
        shown: (n,) the codewords shown, most used first (or cheapest first, without counts).
        patches: (n, 2f, 2f, 3) uint8, what they look like over a grey base, or, without a base, on the average of
            what the earlier stages hold; f is the side.
        gain: factor by which the differences of the patches from the average are enlarged.
        neighbours: (n, m) the nearest codewords of each.
        spacing: root mean square distance per channel to the nearest neighbour, median over `shown`.
    """

    number: int
    side: int
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
def examine(codec: Codec, counts: Sequence[np.ndarray] | None = None) -> list[Stage]:
    """Examine all codebooks of a model.

    Args:
        codec: codec of the model.
        counts: what `vqcodec.tools.usage.count_usage` returned, or `None`.
    """
    stages = []
    for number, layer in enumerate(codec.config.layers):
        band = codec.transform.codebooks[layer.band]
        codebook, bits = torch.from_numpy(band.codebooks[layer.stage]), band.codeword_bits[layer.stage]
        side, _ = codec.config.place(layer.band)
        chosen = None if counts is None else counts[number]
        order = np.lexsort((bits,) if chosen is None else (bits, -chosen))
        shown = order[:MOST_SHOWN]
        own = torch.from_numpy(shown.copy())
        neighbours, distances = _nearest(own, codebook)
        spacing = float((distances.median() / codebook.shape[1]).sqrt())
        patches, gain = _stretched(_render(codec, layer, codebook, own, side), codec.config.has_base)
        stages.append(Stage(number + 1, side, chosen, bits, shown, patches, gain, neighbours, spacing))
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


def _render(codec: Codec, layer: Layer, codebook: Tensor, own: Tensor, side: int) -> Tensor:
    """Render a block of each codeword `own` (n,) and return its middle: (n, 2f, 2f, 3), about [-1, 1]."""
    columns = int(len(own) ** 0.5)
    rows = -(-len(own) // columns)
    # Blocks begin at positions of the grid.
    pitch = _PITCH + _PITCH % layer.scale
    cells = codebook.new_zeros(rows * columns, codebook.shape[1])
    cells[: len(own)] = codebook[own]
    block = codebook.new_zeros(rows, pitch, columns, pitch, codebook.shape[1])
    block[:, 1 : 1 + _BLOCK, :, 1 : 1 + _BLOCK] = cells.view(rows, 1, columns, 1, -1)
    latents = block.flatten(2, 3).flatten(0, 1)
    grid = latents.shape[0] // layer.scale, latents.shape[1] // layer.scale
    planes = Planes.empty(grid, [] if codec.config.has_base else [1], codec.config.has_base, RATES // 2)
    maps = codec.transform.dequantize(planes)
    maps[side][..., codec.config.place(layer.band)[1]] = latents.numpy()
    picture = torch.from_numpy(codec.transform.render_latents(maps, planes))
    patches = picture.view(rows, pitch * side, columns, pitch * side, 3).transpose(1, 2).flatten(0, 1)
    first = side + _BLOCK * side // 2 - side
    return patches[: len(own), first : first + 2 * side, first : first + 2 * side]


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

"""Residual vector quantizer of a band: stages of codewords, ended at each position by the zero codeword."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqcodec.config import RATE_BINS


@dataclass
class Quantized:
    """What the quantizer made of n latent vectors.

    Attributes:
        indices: (n, S) int64, the codeword of every stage; 0 from where a position has ended.
        residuals: (S, n, D), what each stage was given to quantize.
        partial: (S, n, D), sum of the codewords up to and including each stage.
        bits: (n,), estimated rate.
    """

    indices: Tensor
    residuals: Tensor
    partial: Tensor
    bits: Tensor


class BandQuantizer(nn.Module):
    """S codebooks of K codewords (SoundStream, 2021; RQ-VAE, CVPR 2022), entropy-constrained.

    Codeword 0 of every stage is the zero vector and ends the position: its later stages have index 0 as well, and cost
    nothing. So plain areas take one symbol, and the number of stages follows the content.

    Buffers:
        codebooks: (S, K, D).
        codeword_bits: (S, K), estimated rate of each codeword, given that the position goes on; 0 for codeword 0.
        end_bits: (S, RATE_BINS, 2), estimated rates of ending and of going on, in the middle of each part
            of the rate dial.
    """

    codebooks: Tensor
    codeword_bits: Tensor
    end_bits: Tensor

    def __init__(self, stages: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        codebooks = torch.randn(stages, codebook_size, dim) / dim**0.5
        codebooks[:, 0] = 0
        bits = torch.full((stages, codebook_size), math.log2(codebook_size - 1))
        bits[:, 0] = 0
        self.register_buffer("codebooks", codebooks)
        self.register_buffer("codeword_bits", bits)
        self.register_buffer("end_bits", torch.ones(stages, RATE_BINS, 2))

    @property
    def stages(self) -> int:
        """Number of stages S."""
        return self.codebooks.shape[0]

    def ends_at(self, rate: Tensor) -> Tensor:
        """Estimated rates (S, n, 2) of ending and of going on at points (n,) of the dial."""
        place = (rate * RATE_BINS - 0.5).clamp(0, RATE_BINS - 1)
        below = place.long().clamp_max(RATE_BINS - 2)
        return torch.lerp(self.end_bits[:, below], self.end_bits[:, below + 1], (place - below)[:, None])

    @torch.no_grad()
    def quantize(self, latents: Tensor, lmbda: Tensor, rate: Tensor) -> Quantized:
        """Choose codewords greedily, stage by stage: least |residual - codeword|^2 + lmbda * bits.

        Args:
            latents: (n, D) float32.
            lmbda: (n,), squared latent units per bit.
            rate: (n,), points of the dial, 0..1.
        """
        residual, total = latents, torch.zeros_like(latents)
        alive = torch.ones(len(latents), dtype=torch.int64, device=latents.device)
        ends_of_stages = self.ends_at(rate)
        bits = latents.new_zeros(len(latents))
        indices, residuals, partial = [], [], []
        for stage, codebook in enumerate(self.codebooks):
            residuals.append(residual)
            ends = ends_of_stages[stage]
            cost = torch.addmm(codebook.square().sum(1), residual, codebook.T, alpha=-2)
            cost += lmbda[:, None] * (self.codeword_bits[stage] + ends[:, 1:])
            cost[:, 0] = lmbda * ends[:, 0]
            index = least(cost) * alive
            going = (index != 0).long()
            bits += alive * ends.gather(1, going[:, None])[:, 0] + self.codeword_bits[stage][index]
            residual = residual - codebook[index]
            total = total + codebook[index]
            alive = going
            indices.append(index)
            partial.append(total)
        return Quantized(torch.stack(indices, 1), torch.stack(residuals), torch.stack(partial), bits)

    @torch.no_grad()
    def reorder(self, stage: int, order: Tensor) -> None:
        """Renumber the codewords of a stage: codeword `order[i]` becomes codeword i; `order[0]` is 0."""
        self.codebooks[stage] = self.codebooks[stage][order]
        self.codeword_bits[stage] = self.codeword_bits[stage][order]


class Quantizers(nn.ModuleList):
    """The quantizers of all bands."""

    def __iter__(self) -> Iterator[BandQuantizer]:
        return super().__iter__()  # type: ignore[return-value]

    def __getitem__(self, number: int) -> BandQuantizer:  # type: ignore[override]
        return super().__getitem__(number)  # type: ignore[return-value]


def rate_bin(rate: Tensor) -> Tensor:
    """The part of the dial, 0 to RATE_BINS - 1, that points 0..1 fall in."""
    return (rate * RATE_BINS).long().clamp_max(RATE_BINS - 1)


def least(cost: Tensor) -> Tensor:
    """Column of the least value of each row."""
    if cost.device.type == "cpu":
        # numpy's search is vectorised; torch's takes ten times as long.
        return torch.from_numpy(cost.numpy().argmin(1))
    return cost.argmin(1)

"""Plain vector quantizer of imported models: one codebook, the codeword that lies nearest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqcodec.model.quantizer import least

# Latents that `choose` compares with all codewords at a time: the costs stay in the cache.
_BLOCK = 1024


class PlainQuantizer(nn.Module):
    """One codebook of K codewords (VQ-VAE, NeurIPS 2017).

    Buffers:
        codebooks: (1, K, D).
        bits: (1, K), estimated rate of each codeword in bits.
    """

    codebooks: Tensor
    bits: Tensor

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("codebooks", torch.randn(1, codebook_size, dim) / dim**0.5)
        self.register_buffer("bits", torch.full((1, codebook_size), codebook_size).log2())

    @property
    def stages(self) -> int:
        """Number of quantizer stages, 1."""
        return 1

    @torch.no_grad()
    def choose(self, latents: Tensor, lmbda: float = 0.0) -> Tensor:
        """Indices (n, 1) int64 of the least distance + lmbda * bits.

        Args:
            latents: (n, D) float32.
            lmbda: squared latent units per bit; 0 takes the nearest codewords.
        """
        factor, offset = self.linear()
        offset = offset + lmbda * self.bits[0]
        parts = [least(torch.addmm(offset, part, factor.T)) for part in latents.split(_BLOCK)]
        return torch.cat(parts)[:, None]

    def linear(self) -> tuple[Tensor, Tensor]:
        """What latents are multiplied with, (K, D), and what is added, (K,), for the distance up to a constant."""
        codebook = self.codebooks[0]
        return -2 * codebook, codebook.square().sum(1)

    def rate(self, indices: Tensor) -> Tensor:
        """Estimated rate of indices (n, 1) int64 in bits, (n,)."""
        return self.bits[0][indices[:, 0]]

    def dequantize(self, indices: Tensor) -> Tensor:
        """The codewords (n, D) of indices (n, 1) int64."""
        return self.codebooks[0][indices[:, 0]]

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Renumber the codewords: codeword `order[i]` becomes codeword i."""
        self.codebooks[0] = self.codebooks[0][order]
        self.bits[0] = self.bits[0][order]

"""Plain vector quantizer of imported models: one codebook, the codeword that lies nearest."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
    def reorder(self, order: Tensor) -> None:
        """Renumber the codewords: codeword `order[i]` becomes codeword i."""
        self.codebooks[0] = self.codebooks[0][order]
        self.bits[0] = self.bits[0][order]

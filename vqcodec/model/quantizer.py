"""Residual vector quantizer: each stage quantizes what the stages before it left over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Quantized:
    """What the quantizer made of N latent vectors.

    Attributes:
        indices: (N, S) int64, the chosen codeword of every stage.
        residuals: (S, N, D), what each stage was given to quantize.
        partial: (S, N, D), sum of the codewords up to and including each stage.
    """

    indices: Tensor
    residuals: Tensor
    partial: Tensor


class ResidualVectorQuantizer(nn.Module):
    """S codebooks of K codewords (SoundStream, 2021; RQ-VAE, CVPR 2022).

    Codeword 0 of every stage after the first is the zero vector: "nothing to add here".
    """

    def __init__(self, stages: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        codebooks = torch.randn(stages, codebook_size, dim) / dim**0.5
        codebooks[1:, 0] = 0
        self.register_buffer("codebooks", codebooks)

    @property
    def stages(self) -> int:
        return self.codebooks.shape[0]

    @torch.no_grad()
    def quantize(self, latents: Tensor, stages: int | None = None) -> Quantized:
        """Choose the nearest codeword, stage by stage.

        Args:
            latents: (N, D) float32.
            stages: how many stages to run, all by default.
        """
        residual = latents
        total = torch.zeros_like(latents)
        indices, residuals, partial = [], [], []
        for codebook in self.codebooks[:stages]:
            residuals.append(residual)
            distance = torch.addmm(codebook.square().sum(1), residual, codebook.T, alpha=-2)
            index = distance.argmin(1)
            codeword = codebook[index]
            residual = residual - codeword
            total = total + codeword
            indices.append(index)
            partial.append(total)
        return Quantized(torch.stack(indices, 1), torch.stack(residuals), torch.stack(partial))

    def dequantize(self, indices: Tensor) -> Tensor:
        """Sum the codewords of `indices` (N, s) int64, s <= S, to (N, D)."""
        return sum(self.codebooks[stage][index] for stage, index in enumerate(indices.unbind(1)))

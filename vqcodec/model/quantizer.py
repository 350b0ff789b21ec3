"""Residual vector quantizer: each stage quantizes the residual of the stages before it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Number of codeword sequences that `choose` extends at a time. Their costs, 1024 each, stay in the cache.
_BLOCK = 1024


@dataclass
class Quantized:
    """Result of quantizing N latent vectors.

    Attributes:
        indices: (N, S) int64, the chosen codeword of each stage.
        residuals: (S, N, D), the input of each stage.
        partial: (S, N, D), the sum of the codewords up to and including each stage.
    """

    indices: Tensor
    residuals: Tensor
    partial: Tensor


class ResidualVectorQuantizer(nn.Module):
    """S codebooks of K codewords (SoundStream, 2021; RQ-VAE, CVPR 2022), entropy-constrained.

    In every stage after the first, codeword 0 is the zero vector: "nothing to add here". Each stage has two
    rate tables: one for positions where the stage before chose codeword 0, and one for all others (see
    `rate_context`).

    Buffers:
        codebooks: (S, K, D).
        bits: (S, 2, K), estimated rate of each codeword in bits.
    """

    codebooks: Tensor
    bits: Tensor

    def __init__(self, stages: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        codebooks = torch.randn(stages, codebook_size, dim) / dim**0.5
        codebooks[1:, 0] = 0
        self.register_buffer("codebooks", codebooks)
        self.register_buffer("bits", torch.full((stages, 2, codebook_size), codebook_size).log2())

    @property
    def stages(self) -> int:
        """Number of stages S."""
        return self.codebooks.shape[0]

    @torch.no_grad()
    def quantize(
        self, latents: Tensor, stages: int | None = None, lmbda: Tensor | float | None = None
    ) -> Quantized:
        """Choose codewords greedily, stage by stage, minimising |residual - codeword|^2 + lmbda * bits.

        Args:
            latents: (N, D) float32.
            stages: number of stages to run; all by default.
            lmbda: squared latent units per bit, a number or (N,); `None` takes the nearest codewords.
        """
        residual = latents
        total = torch.zeros_like(latents)
        indices: list[Tensor] = []
        residuals, partial = [], []
        for stage, codebook in enumerate(self.codebooks[:stages]):
            residuals.append(residual)
            cost = self.distances(stage, residual)
            if lmbda is not None:
                context = rate_context(indices, len(latents))
                weight = torch.as_tensor(lmbda, dtype=cost.dtype).expand(len(latents))
                cost += weight[:, None] * self.bits[stage][context]
            index = cost.argmin(1)
            codeword = codebook[index]
            residual = residual - codeword
            total = total + codeword
            indices.append(index)
            partial.append(total)
        return Quantized(torch.stack(indices, 1), torch.stack(residuals), torch.stack(partial))

    @torch.no_grad()
    def choose(
        self, latents: Tensor, lmbda: float = 0.0, beams: int = 2, stages: int | None = None
    ) -> Tensor:
        """Choose codewords by beam search, minimising |latent - sum of codewords|^2 + lmbda * bits.

        After each stage, the search keeps the `beams` best sequences.

        Args:
            latents: (N, D) float32.
            lmbda: squared latent units per bit.
            beams: number of sequences to keep; 1 gives the result of `quantize`.
            stages: number of stages to run; all by default.

        Returns:
            indices (N, S) int64.
        """
        # The norm of a codeword plus lmbda times its rate makes two more columns of the codebook, one per
        # rate context. They multiply a one-hot rate context, so the costs of a stage are one matrix product.
        tables = []
        for stage, bits in enumerate(self.bits[:stages]):
            factor, offset = self.linear(stage)
            tables.append(torch.cat([factor, (offset + lmbda * bits).T], 1).T.contiguous())
        parts = [self._search(part, tables, beams) for part in latents.split(_BLOCK // beams)]
        return torch.cat(parts) if parts else latents.new_empty(0, len(tables), dtype=torch.int64)

    def _search(self, latents: Tensor, tables: list[Tensor], beams: int) -> Tensor:
        """Return the indices (n, S) that `choose` finds for latents (n, D).

        Args:
            latents: (n, D).
            tables: matrix (D + 2, K) of each stage that gives the costs of its codewords.
            beams: number of sequences to keep.
        """
        count, dim = latents.shape
        # The residual of each sequence, and its one-hot rate context.
        extended = latents.new_zeros(count, 1, dim + 2)
        extended[:, 0, :dim] = latents
        extended[:, :, dim] = 1
        total = latents.new_zeros(count, 1)
        chosen = torch.empty(count, 1, 0, dtype=torch.int64, device=latents.device)
        for stage, (table, codebook) in enumerate(zip(tables, self.codebooks[: len(tables)], strict=True)):
            cost = extended.flatten(0, 1) @ table
            ways = 1 if stage == len(tables) - 1 else beams
            picks, costs = [], []
            for way in range(ways):
                least = _least(cost)[:, None]
                picks.append(least)
                costs.append(cost.gather(1, least))
                if way < ways - 1:
                    cost.scatter_(1, least, torch.inf)
            pick = torch.cat(picks, 1).view(count, -1)
            total = (total.flatten()[:, None] + torch.cat(costs, 1)).view(count, -1)
            total, best = total.topk(ways, 1, largest=False)
            pick, parent = pick.gather(1, best), best // ways
            chosen = chosen.gather(1, parent[..., None].expand(-1, -1, stage))
            chosen = torch.cat([chosen, pick[..., None]], 2)
            extended = extended.gather(1, parent[..., None].expand(-1, -1, dim + 2))
            extended[..., :dim] -= codebook[pick]
            if stage:
                empty = pick == 0
                extended[..., dim], extended[..., dim + 1] = ~empty, empty
        return chosen[:, 0]

    def distances(self, stage: int, residual: Tensor) -> Tensor:
        """Squared distances (N, K) of residuals (N, D) to a stage's codewords, up to a constant per row."""
        factor, offset = self.linear(stage)
        return torch.addmm(offset, residual, factor.T)

    def linear(self, stage: int) -> tuple[Tensor, Tensor]:
        """Return what `distances` multiplies residuals with, (K, D), and what it adds, (K,)."""
        codebook = self.codebooks[stage]
        return -2 * codebook, codebook.square().sum(1)

    @torch.no_grad()
    def reorder(self, stage: int, order: Tensor) -> None:
        """Reorder the codewords of a stage in place: codeword `order[i]` gets index i."""
        self.codebooks[stage] = self.codebooks[stage][order]
        self.bits[stage] = self.bits[stage][:, order]

    def rate(self, indices: Tensor) -> Tensor:
        """Estimate the rate of indices (N, s) int64, in bits: (N,)."""
        columns = list(indices.unbind(1))
        rates = (
            self.bits[stage][rate_context(columns[:stage], len(column)), column]
            for stage, column in enumerate(columns)
        )
        return sum(rates, self.bits.new_zeros(()))

    def dequantize(self, indices: Tensor) -> Tensor:
        """Sum the codewords of indices (N, s) int64, s <= S, to latents (N, D)."""
        starts = torch.arange(indices.shape[1], device=indices.device) * self.codebooks.shape[1]
        return F.embedding_bag(indices + starts, self.codebooks.flatten(0, 1), mode="sum")


def rate_context(indices: list[Tensor], count: int) -> Tensor:
    """Return the rate context of the next stage: 1 where the stage before chose codeword 0, else 0.

    In the first stage, codeword 0 is a codeword like any other, so the second stage always has context 0.

    Args:
        indices: (N,) int64 for each earlier stage.
        count: N.

    Returns:
        (N,) int64.
    """
    if len(indices) < 2:
        return torch.zeros(count, dtype=torch.int64)
    return (indices[-1] == 0).long()


def _least(cost: Tensor) -> Tensor:
    """Return the column of the smallest value of each row."""
    if cost.device.type == "cpu":
        # numpy's argmin is vectorised; torch's takes ten times as long.
        return torch.from_numpy(cost.numpy().argmin(1))
    return cost.argmin(1)

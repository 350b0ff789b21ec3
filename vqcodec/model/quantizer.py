"""Residual vector quantizer: each stage quantizes what the stages before it left over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Sequences of codewords that `choose` follows at a time: their costs, 1024 each, stay in the cache.
_BLOCK = 1024


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
    """S codebooks of K codewords (SoundStream, 2021; RQ-VAE, CVPR 2022), entropy-constrained.

    Codeword 0 of every stage after the first is the zero vector: "nothing to add here". The rate of a
    codeword is looked up in two tables per stage, one for positions where the stage before chose
    codeword 0 and one for all others (`rate_context`).

    Buffers:
        codebooks: (S, K, D).
        bits: (S, 2, K), estimated rate of every codeword in bits.
    """

    def __init__(self, stages: int, codebook_size: int, dim: int) -> None:
        super().__init__()
        codebooks = torch.randn(stages, codebook_size, dim) / dim**0.5
        codebooks[1:, 0] = 0
        self.register_buffer("codebooks", codebooks)
        self.register_buffer("bits", torch.full((stages, 2, codebook_size), codebook_size).log2())

    @property
    def stages(self) -> int:
        return self.codebooks.shape[0]

    @torch.no_grad()
    def quantize(
        self, latents: Tensor, stages: int | None = None, lagrangian: Tensor | float | None = None
    ) -> Quantized:
        """Choose codewords greedily, stage by stage: least |residual - codeword|^2 + lagrangian * bits.

        Args:
            latents: (N, D) float32.
            stages: how many stages to run, all by default.
            lagrangian: price of a bit in squared latent units, a number or (N,); none means nearest codeword.
        """
        residual = latents
        total = torch.zeros_like(latents)
        indices: list[Tensor] = []
        residuals, partial = [], []
        for stage, codebook in enumerate(self.codebooks[:stages]):
            residuals.append(residual)
            cost = self.distances(stage, residual)
            if lagrangian is not None:
                context = rate_context(indices, len(latents))
                price = torch.as_tensor(lagrangian, dtype=cost.dtype).expand(len(latents))
                cost += price[:, None] * self.bits[stage][context]
            index = cost.argmin(1)
            codeword = codebook[index]
            residual = residual - codeword
            total = total + codeword
            indices.append(index)
            partial.append(total)
        return Quantized(torch.stack(indices, 1), torch.stack(residuals), torch.stack(partial))

    @torch.no_grad()
    def choose(
        self, latents: Tensor, lagrangian: float = 0.0, beams: int = 2, stages: int | None = None
    ) -> Tensor:
        """Indices (N, S) int64 of the least |latent - sum of codewords|^2 + lagrangian * bits that a search finds.

        After every stage, the best sequences so far are followed (beam search).

        Args:
            latents: (N, D) float32.
            lagrangian: price of a bit in squared latent units.
            beams: sequences to follow; one is what `quantize` does.
            stages: how many stages to run, all by default.
        """
        # Norms and prices are two more columns of the codebook, multiplied with the two rate contexts, so that the
        # costs of a stage are one matrix product.
        tables = []
        for stage, bits in enumerate(self.bits[:stages]):
            factor, offset = self.linear(stage)
            tables.append(torch.cat([factor, (offset + lagrangian * bits).T], 1).T.contiguous())
        parts = [self._search(part, tables, beams) for part in latents.split(_BLOCK // beams)]
        return torch.cat(parts) if parts else latents.new_empty(0, len(tables), dtype=torch.int64)

    def _search(self, latents: Tensor, tables: list[Tensor], beams: int) -> Tensor:
        """The indices (n, S) that `choose` finds for some latents, given each stage's costs (D + 2, K)."""
        count, dim = latents.shape
        # The residuals of every sequence, and 1 in the column of the context.
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
        """What `distances` multiplies residuals with, (K, D), and what it adds, (K,)."""
        codebook = self.codebooks[stage]
        return -2 * codebook, codebook.square().sum(1)

    @torch.no_grad()
    def reorder(self, stage: int, order: Tensor) -> None:
        """Give the codewords of a stage new indices: codeword `order[i]` becomes codeword i."""
        self.codebooks[stage] = self.codebooks[stage][order]
        self.bits[stage] = self.bits[stage][:, order]

    def rate(self, indices: Tensor) -> Tensor:
        """Estimated rate of `indices` (N, s) int64 in bits, (N,)."""
        columns = list(indices.unbind(1))
        return sum(
            self.bits[stage][rate_context(columns[:stage], len(column)), column]
            for stage, column in enumerate(columns)
        )

    def dequantize(self, indices: Tensor) -> Tensor:
        """Sum the codewords of `indices` (N, s) int64, s <= S, to (N, D)."""
        starts = torch.arange(indices.shape[1], device=indices.device) * self.codebooks.shape[1]
        return F.embedding_bag(indices + starts, self.codebooks.flatten(0, 1), mode="sum")


def rate_context(indices: list[Tensor], count: int) -> Tensor:
    """The rate table of the next stage: 1 where the stage before chose codeword 0, else 0; (N,) int64.

    The second stage follows the first, whose codeword 0 is one like any other, so it has context 0.
    """
    if len(indices) < 2:
        return torch.zeros(count, dtype=torch.int64)
    return (indices[-1] == 0).long()


def _least(cost: Tensor) -> Tensor:
    """Column of the least value of each row."""
    if cost.device.type == "cpu":
        # numpy's search is vectorised, torch's takes ten times as long.
        return torch.from_numpy(cost.numpy().argmin(1))
    return cost.argmin(1)

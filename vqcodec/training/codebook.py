"""Learning the codebooks and their rates: exponential moving averages, restart of dead codewords."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.model.quantizer import Quantized, ResidualVectorQuantizer, rate_context
from vqcodec.training import distributed

# Least running count that a rate is computed from: an upper bound for the rate of a codeword.
LEAST_COUNT = 0.02


class CodebookLearner:
    """Moves codewords to the running mean of the residuals they stand for (VQ-VAE, appendix A.1).

    A codeword whose running count falls below `dead_below` is replaced by a residual of the current
    batch, and its running statistics with it: otherwise the old mean would pull it back at once.

    Args:
        quantizer: its `codebooks` and `bits` buffers are updated in place.
        decay: of the running counts and sums.
        dead_below: running count per batch under which a codeword is restarted.
    """

    def __init__(
        self, quantizer: ResidualVectorQuantizer, decay: float = 0.99, dead_below: float = 0.004
    ) -> None:
        self.quantizer = quantizer
        self.decay = decay
        self.dead_below = dead_below
        self.counts = torch.ones_like(quantizer.bits[:, 0])
        self.sums = quantizer.codebooks.clone()
        self.context_counts = torch.ones_like(quantizer.bits)
        self.initialised = False
        self.restarts = 0

    @torch.no_grad()
    def initialise(self, latents: Tensor, generator: torch.Generator) -> None:
        """Take residuals of real latents (N, D) as the first codewords of every stage."""
        residual = latents
        for stage, codebook in enumerate(self.quantizer.codebooks):
            codebook.copy_(pick(residual, len(codebook), generator))
            if stage:
                codebook[0] = 0
            distributed.broadcast_([codebook])
            distance = torch.addmm(codebook.square().sum(1), residual, codebook.T, alpha=-2)
            residual = residual - codebook[distance.argmin(1)]
        self.sums.copy_(self.quantizer.codebooks)
        self.counts.fill_(1)
        self.initialised = True

    @torch.no_grad()
    def adopt(self, positions: int) -> None:
        """Start from codebooks that were learned before: steady counts, as the rates of the quantizer tell them.

        Args:
            positions: latent positions in a batch to come.
        """
        follows = torch.zeros(())
        for stage, codebook in enumerate(self.quantizer.codebooks):
            share = torch.exp2(-self.quantizer.bits[stage])
            share = share / share.sum(1, keepdim=True)
            self.context_counts[stage] = positions * torch.stack([1 - follows, follows])[:, None] * share
            counts = self.context_counts[stage].sum(0)
            # Rare codewords get the count of a fresh one, so that none is restarted before it had its chance.
            self.counts[stage] = counts.clamp_min(1)
            self.sums[stage] = self.counts[stage][:, None] * codebook
            follows = counts[0] / counts.sum() if stage else follows
        self.initialised = True

    @torch.no_grad()
    def update(self, quantized: Quantized, generator: torch.Generator) -> None:
        """Take in one batch of assignments; of several processes, all their batches."""
        codebooks = self.quantizer.codebooks
        for stage, codebook in enumerate(codebooks[: len(quantized.residuals)]):
            residual, index = quantized.residuals[stage], quantized.indices[:, stage]
            count = torch.bincount(index, minlength=len(codebook)).float()
            total = torch.zeros_like(codebook).index_add_(0, index, residual)
            context = rate_context(list(quantized.indices[:, :stage].unbind(1)), len(index))
            pairs = torch.bincount(context * len(codebook) + index, minlength=2 * len(codebook)).float()
            distributed.sum_([count, total, pairs])
            self.counts[stage].lerp_(count, 1 - self.decay)
            self.sums[stage].lerp_(total, 1 - self.decay)
            self.context_counts[stage].lerp_(pairs.view(2, -1), 1 - self.decay)
            dead = (self.counts[stage] < self.dead_below).nonzero().flatten()
            if stage:
                dead = dead[dead != 0]
            if len(dead):
                fresh = pick(residual, len(dead), generator)
                distributed.broadcast_([fresh])
                self.sums[stage][dead] = fresh
                self.counts[stage][dead] = 1.0
                self.context_counts[stage][:, dead] = 0.5
                self.restarts += len(dead)
            codebook.copy_(self.sums[stage] / self.counts[stage].clamp_min(1e-6)[:, None])
            if stage:
                codebook[0] = 0
            counts = self.context_counts[stage].clamp_min(LEAST_COUNT)
            self.quantizer.bits[stage] = (counts.sum(1, keepdim=True) / counts).log2()

    def state_dict(self) -> dict:
        """Everything that the next update depends on, but for the codebooks."""
        return {
            "counts": self.counts,
            "sums": self.sums,
            "context_counts": self.context_counts,
            "initialised": self.initialised,
            "restarts": self.restarts,
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from what `state_dict` returned."""
        self.counts.copy_(state["counts"])
        self.sums.copy_(state["sums"])
        self.context_counts.copy_(state["context_counts"])
        self.initialised = state["initialised"]
        self.restarts = state["restarts"]


def pick(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` of the vectors (N, D), with replacement."""
    return vectors[torch.randint(len(vectors), (count,), generator=generator).to(vectors.device)]

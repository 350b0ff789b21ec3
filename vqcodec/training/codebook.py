"""Learning the codebooks and their rates: exponential moving averages, restart of dead codewords."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.config import RATE_BINS
from vqcodec.model.quantizer import BandQuantizer, Quantized, rate_bin
from vqcodec.training import distributed

# Least running count that a rate is computed from: an upper bound for the rate of a codeword.
LEAST_COUNT = 0.02


class CodebookLearner:
    """Moves codewords to the running mean of the residuals they stand for (VQ-VAE, appendix A.1).

    A codeword whose running count falls below `dead_below` is replaced by a residual of the current
    batch, and its running statistics with it: otherwise the old mean would pull it back at once.

    Args:
        quantizer: its buffers are updated in place.
        decay: of the running counts and sums.
        dead_below: running count per batch under which a codeword is restarted.
    """

    def __init__(self, quantizer: BandQuantizer, decay: float = 0.99, dead_below: float = 0.004) -> None:
        self.quantizer = quantizer
        self.decay = decay
        self.dead_below = dead_below
        self.counts = torch.ones_like(quantizer.codeword_bits)
        self.sums = quantizer.codebooks.clone()
        # Positions that ended at a stage and that went on, of those that reached it.
        self.end_counts = torch.ones_like(quantizer.end_bits)
        self.initialised = False
        self.restarts = 0

    @torch.no_grad()
    def initialise(self, latents: Tensor, generator: torch.Generator) -> None:
        """Take residuals of real latents (N, D) as the first codewords of every stage."""
        residual = latents
        for codebook in self.quantizer.codebooks:
            codebook.copy_(pick(residual, len(codebook), generator))
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
        reached = torch.full((RATE_BINS,), positions / RATE_BINS, device=self.counts.device)
        for stage, codebook in enumerate(self.quantizer.codebooks):
            ends = torch.exp2(-self.quantizer.end_bits[stage])
            self.end_counts[stage] = reached[:, None] * ends
            going = (reached * ends[:, 1]).sum()
            counts = going * torch.exp2(-self.quantizer.codeword_bits[stage])
            counts[0] = 0
            # Rare codewords get the count of a fresh one, so that none is restarted before it had its chance.
            self.counts[stage] = counts.clamp_min(1)
            self.sums[stage] = self.counts[stage][:, None] * codebook
            reached = reached * ends[:, 1]
        self.initialised = True

    @torch.no_grad()
    def update(self, quantized: Quantized, rate: Tensor, generator: torch.Generator) -> None:
        """Take in one batch of assignments; of several processes, all their batches.

        Args:
            quantized: of n latents.
            rate: (n,), points of the dial, 0..1.
            generator: source of the draws for restarts.
        """
        bins = rate_bin(rate)
        alive = torch.ones_like(bins)
        for stage, codebook in enumerate(self.quantizer.codebooks):
            residual, index = quantized.residuals[stage], quantized.indices[:, stage]
            going = (index != 0).long()
            count = counted(index, len(codebook))
            total = torch.zeros_like(codebook).index_add_(0, index, residual)
            ends = counted(2 * bins + going, 2 * RATE_BINS, alive.float())
            distributed.sum_([count, total, ends])
            self.counts[stage].lerp_(count, 1 - self.decay)
            self.sums[stage].lerp_(total, 1 - self.decay)
            self.end_counts[stage].lerp_(ends.view(-1, 2), 1 - self.decay)
            self._restart(stage, residual, going, generator)
            codebook.copy_(self.sums[stage] / self.counts[stage].clamp_min(1e-6)[:, None])
            codebook[0].zero_()
            counts = self.counts[stage].clamp_min(LEAST_COUNT)
            self.quantizer.codeword_bits[stage] = (counts[1:].sum() / counts).log2()
            self.quantizer.codeword_bits[stage][0].zero_()
            ends = self.end_counts[stage].clamp_min(LEAST_COUNT)
            self.quantizer.end_bits[stage] = (ends.sum(1, keepdim=True) / ends).log2()
            alive = going

    def _restart(self, stage: int, residual: Tensor, going: Tensor, generator: torch.Generator) -> None:
        """Put residuals of positions that go on in the place of dead codewords."""
        dead = (self.counts[stage] < self.dead_below).nonzero().flatten()
        dead = dead[dead != 0]
        if not len(dead):
            return
        live = residual[going.bool()]
        fresh = pick(live if len(live) else residual, len(dead), generator)
        distributed.broadcast_([fresh])
        self.sums[stage][dead] = fresh
        self.counts[stage][dead] = 1.0
        self.restarts += len(dead)

    def state_dict(self) -> dict:
        """Everything that the next update depends on, but for the codebooks."""
        return {
            "counts": self.counts,
            "sums": self.sums,
            "end_counts": self.end_counts,
            "initialised": self.initialised,
            "restarts": self.restarts,
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from what `state_dict` returned."""
        self.counts.copy_(state["counts"])
        self.sums.copy_(state["sums"])
        self.end_counts.copy_(state["end_counts"])
        self.initialised = state["initialised"]
        self.restarts = state["restarts"]


def counted(index: Tensor, size: int, weights: Tensor | None = None) -> Tensor:
    """How often, or with what weight, each number below `size` occurs: (size,) float32.

    In contrast to `torch.bincount`, a GPU does not have to wait for its own result.
    """
    values = torch.ones(len(index), device=index.device) if weights is None else weights
    return torch.zeros(size, device=index.device).index_add_(0, index, values)


def pick(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` of the vectors (N, D), with replacement."""
    return vectors[torch.randint(len(vectors), (count,), generator=generator).to(vectors.device)]

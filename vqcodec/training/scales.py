"""The scale of the latents by part of the rate dial: followed, and held while losses pull at it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vqcodec.config import RATE_BINS
from vqcodec.model.quantizer import rate_bin
from vqcodec.training import distributed

# Share of a batch in the running scales, and batches after which scales that are held stay what they are.
_NEWEST = 0.02
_SETTLED = 50
# Mean squares below it count as this.
_LEAST = 1e-12


class LatentScales:
    """Running mean squares of the latents of each grid, as the encoder returns them.

    All rates share one root mean square, by which latents are divided. Held to these, no rate can draw it to itself.

    Args:
        grids: number of grids.
        device: of the latents.

    Attributes:
        logs: (grids, RATE_BINS), running logarithms of mean squares.
        seen: (grids, RATE_BINS), batches that had latents of a part of the dial.
    """

    def __init__(self, grids: int, device: torch.device) -> None:
        self.logs = torch.zeros(grids, RATE_BINS, device=device)
        self.seen = torch.zeros(grids, RATE_BINS, device=device)

    def drift(self, grid: int, latents: Tensor, rate: Tensor) -> Tensor:
        """Mean squared difference of the logarithms from those that are held.

        Args:
            grid: number of the grid.
            latents: (N, D, h, w), with a gradient.
            rate: (N,), points of the dial, 0..1.
        """
        self.follow(grid, latents, rate, _SETTLED)
        logs, counts = _logs(latents, rate)
        return ((logs - self.logs[grid]).square() * (counts > 0)).mean()

    @torch.no_grad()
    def follow(self, grid: int, latents: Tensor, rate: Tensor, most: float = math.inf) -> None:
        """Take a batch in, but for parts of the dial that have seen `most` batches. Arguments as of `drift`."""
        logs, counts = _logs(latents, rate)
        there = (counts > 0) & (self.seen[grid] < most)
        share = (1 / (self.seen[grid] + 1)).clamp_min(_NEWEST)
        self.logs[grid] = torch.where(there, torch.lerp(self.logs[grid], logs, share), self.logs[grid])
        self.seen[grid] += there

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that `drift` depends on."""
        return {"logs": self.logs, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from what `state_dict` returned."""
        self.logs.copy_(state["logs"])
        self.seen.copy_(state["seen"])


def _logs(latents: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the mean squares by part of the dial, and how many crops there are, (RATE_BINS,) each."""
    squares = latents.square().mean((1, 2, 3))
    bins = rate_bin(rate)
    sums = squares.new_zeros(RATE_BINS).index_add(0, bins, squares)
    counts = squares.new_zeros(RATE_BINS).index_add_(0, bins, torch.ones_like(squares))
    if distributed.size() > 1:
        others = sums.detach().clone()
        distributed.sum_([others, counts])
        sums = sums + (others - sums.detach())
    return (sums / counts.clamp_min(1)).clamp_min(_LEAST).log(), counts

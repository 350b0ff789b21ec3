"""The scale of the latents by part of the rate dial: followed, and held while losses pull at it."""

from __future__ import annotations

import torch
from torch import Tensor

from vqcodec.config import RATE_BINS
from vqcodec.training.balancer import means_by_part

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
        logs, there = _logs(latents, rate)
        self._follow(grid, logs.detach(), there & (self.seen[grid] < _SETTLED))
        return ((logs - self.logs[grid]).square() * there).mean()

    @torch.no_grad()
    def follow(self, grid: int, latents: Tensor, rate: Tensor) -> None:
        """Take a batch in. Arguments as of `drift`."""
        self._follow(grid, *_logs(latents, rate))

    def _follow(self, grid: int, logs: Tensor, there: Tensor) -> None:
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
    """Logarithms of the mean squares by part of the dial, and the parts that have any, (RATE_BINS,) each."""
    means, there = means_by_part(latents.square().mean((1, 2, 3)), rate)
    return means.clamp_min(_LEAST).log(), there

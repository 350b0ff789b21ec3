"""Synthesis transform: latents at 1/16 and 1/8 resolution, and the base, to what is to be added to the base."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.config import ModelConfig
from vqcodec.model.blocks import Stack, Upsample, icnr_

BASE_FEATURES = 4


class Generator(nn.Module):
    """Convolutional generator with a bounded receptive field, conditioned on the rate.

    latents at 1/16, base -> 1/16 -> 1/8, latents at 1/8 are added -> 1/4 -> rest of the picture
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        sixteenth, eighth, quarter = config.generator_widths
        blocks = config.generator_blocks
        self.stem = nn.Conv2d(config.dim(16) + BASE_FEATURES, sixteenth, 1)
        self.at16 = Stack(sixteenth, blocks[0])
        self.to8 = Upsample(sixteenth, eighth)
        self.enter8 = nn.Conv2d(config.dim(8), eighth, 1) if config.dim(8) else None
        self.at8 = Stack(eighth, blocks[1])
        self.to4 = Upsample(eighth, quarter)
        self.at4 = Stack(quarter, blocks[2])
        self.head = nn.Conv2d(quarter, 3 * 16, 3, padding=1)
        icnr_(self.head, 4)

    def forward(self, latents: dict[int, Tensor], base: Tensor, rate: Tensor) -> Tensor:
        """What to add to the enlarged base, (N, 3, 16 h, 16 w).

        Args:
            latents: by downsampling, (N, D, 16 h / f, 16 w / f).
            base: `Base.features`, (N, 4, h, w).
            rate: (N,), points of the dial, 0..1.
        """
        x = torch.cat([latents[16], base.to(latents[16].dtype)], 1)
        x = self.to8(self.at16(self.stem(x), rate))
        if self.enter8 is not None:
            x = x + self.enter8(latents[8])
        x = self.at4(self.to4(self.at8(x, rate)), rate)
        return F.pixel_shuffle(self.head(x), 4)

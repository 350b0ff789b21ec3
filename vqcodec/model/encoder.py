"""Encoder: picture to latents at 1/16 resolution."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.model.blocks import Downsample, ResidualBlock
from vqcodec.model.config import ModelConfig


class Encoder(nn.Module):
    """Strided convolutional encoder with a bounded receptive field.

    picture (N, 3, 16h, 16w) in [-1, 1] -> 1/4 -> 1/8 -> 1/16 -> latents (N, D, h, w)
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        quarter, eighth, sixteenth = config.encoder_widths
        blocks = config.encoder_blocks
        self.stem = nn.Conv2d(3 * 16, quarter, 3, padding=1)
        self.body = nn.Sequential(
            *(ResidualBlock(quarter) for _ in range(blocks[0])),
            Downsample(quarter, eighth),
            *(ResidualBlock(eighth) for _ in range(blocks[1])),
            Downsample(eighth, sixteenth),
            *(ResidualBlock(sixteenth) for _ in range(blocks[2])),
        )
        self.head = nn.Conv2d(sixteenth, config.latent_dim, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Map a picture (N, 3, 16h, 16w) in [-1, 1] to latents (N, D, h, w)."""
        return self.head(self.body(self.stem(F.pixel_unshuffle(picture, 4))))

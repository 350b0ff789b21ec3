"""Analysis transform: what the base leaves of a picture to latents at 1/16 and 1/8 resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.config import ModelConfig
from vqcodec.model.blocks import Downsample, Stack


class Encoder(nn.Module):
    """Strided convolutional encoder with a bounded receptive field.

    rest of the picture, base at 1/4 -> 1/4 -> 1/8 -> latents at 1/8, and on -> 1/16 -> latents at 1/16
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        quarter, eighth, sixteenth = config.encoder_widths
        blocks = config.encoder_blocks
        self.stem = nn.Conv2d(3 * 16 + 3, quarter, 3, padding=1)
        self.at4 = Stack(quarter, blocks[0])
        self.to8 = Downsample(quarter, eighth)
        self.at8 = Stack(eighth, blocks[1])
        self.to16 = Downsample(eighth, sixteenth)
        self.at16 = Stack(sixteenth, blocks[2])
        self.head16 = nn.Conv2d(sixteenth, config.dim(16), 1)
        self.head8 = nn.Conv2d(eighth, config.dim(8), 1) if config.dim(8) else None

    def forward(self, rest: Tensor, base: Tensor, rate: Tensor) -> dict[int, Tensor]:
        """Latents by downsampling, (N, D, H / f, W / f).

        Args:
            rest: picture minus the enlarged base, (N, 3, H, W), H and W multiples of 16.
            base: the base enlarged to 1/4, (N, 3, H / 4, W / 4).
            rate: (N,), points of the dial, 0..1.
        """
        x = self.at4(self.stem(torch.cat([F.pixel_unshuffle(rest, 4), base], 1)), rate)
        x = self.at8(self.to8(x), rate)
        latents = {16: self.head16(self.at16(self.to16(x), rate))}
        if self.head8 is not None:
            latents[8] = self.head8(x)
        return latents

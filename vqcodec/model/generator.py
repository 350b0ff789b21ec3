"""Generator: latents at 1/16 resolution to picture."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.model.blocks import ResidualBlock, Upsample, icnr_
from vqcodec.model.config import ModelConfig


class Generator(nn.Module):
    """Convolutional generator, conditioned on the number of quantizer stages.

    latents (N, D, h, w) -> 1/16 -> 1/8 -> 1/4 -> picture (N, 3, 16h, 16w), about [-1, 1]
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.generator_widths
        self.stem = nn.Conv2d(config.latent_dim, widths[0], 1)
        layers: list[nn.Module] = []
        for level, (width, count) in enumerate(zip(widths, config.generator_blocks, strict=True)):
            if level:
                layers.append(Upsample(widths[level - 1], width))
            layers += [ResidualBlock(width, config.stages) for _ in range(count)]
        self.body = nn.ModuleList(layers)
        self.head = nn.Conv2d(widths[-1], 3 * 16, 3, padding=1)
        icnr_(self.head, 4)

    def forward(self, latents: Tensor, stages: Tensor) -> Tensor:
        """Render latents to a picture.

        Args:
            latents: (N, D, h, w).
            stages: (N,) int64, number of quantizer stages that the latents were made from, 1..S.

        Returns:
            (N, 3, 16h, 16w), about [-1, 1].
        """
        x = self.stem(latents)
        for layer in self.body:
            x = layer(x, stages - 1) if isinstance(layer, ResidualBlock) else layer(x)
        return F.pixel_shuffle(self.head(x), 4)

"""The complete network: base, encoder, quantizers and generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqcodec.config import GRIDS, ModelConfig
from vqcodec.model import base as bases
from vqcodec.model.base import Base
from vqcodec.model.encoder import Encoder
from vqcodec.model.generator import Generator
from vqcodec.model.quantizer import BandQuantizer, Quantizers


class VQGAN(nn.Module):
    """VQGAN (Esser et al., CVPR 2021) over a coded base, with residual quantizers, for all rates in one model.

        picture -> base (block means, whole numbers)
        picture - base -> Encoder -> scale -> BandQuantizer of each band -> indices
        indices -> sums of codewords, base -> Generator -> + base -> picture

    The latents of a grid are divided by one running root mean square, the same for every position and channel. So the
    codebooks see unit scale, and flat patches keep small latents.

    Attributes:
        config: configuration of the model.
        stored_as: dtype of the weights in model files.
        memory_format: memory format of the weights in which the networks run fastest.
        strip_area: area, in positions at 1/16, of the strips in which the networks run over a picture.
        grids: downsampling of each entry of `latent_rms`.
    """

    stored_as = torch.float16
    memory_format = torch.channels_last
    strip_area = 6 << 10
    grids = GRIDS
    latent_rms: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizers = Quantizers(
            BandQuantizer(band.stages, band.codebook_size, band.dim) for band in config.bands
        )
        self.generator = Generator(config)
        self.register_buffer("latent_rms", torch.ones(len(GRIDS)))

    def base(self, pictures: Tensor, steps: Tensor) -> Base:
        """The base of pictures (N, 3, 16h, 16w) in [-1, 1], with steps (N,) in levels."""
        return bases.quantized(pictures, steps)

    def raw_latents(self, pictures: Tensor, base: Base, rate: Tensor) -> dict[int, Tensor]:
        """Latents by downsampling, (N, D, h, w), before they are scaled."""
        small = base.picture
        rest = pictures - bases.enlarged(small, 16)
        return self.encoder(rest, bases.enlarged(small, 4), rate)

    def analyse(self, pictures: Tensor, base: Base, rate: Tensor) -> dict[int, Tensor]:
        """Latents by downsampling, (N, D, h, w) float32 of about unit scale.

        Args:
            pictures: (N, 3, 16h, 16w) in [-1, 1].
            base: theirs.
            rate: (N,), points of the dial, 0..1.
        """
        raw = self.raw_latents(pictures, base, rate)
        return {grid: raw[grid].float() / self.latent_rms[GRIDS.index(grid)] for grid in raw}

    def synthesise(self, latents: dict[int, Tensor], base: Base, rate: Tensor) -> Tensor:
        """Render latents by downsampling, (N, D, h, w), over a base; pictures as in `analyse`."""
        return self.over_base(self.generator(latents, base.features, rate), base)

    def over_base(self, rest: Tensor, base: Base) -> Tensor:
        """Add what a generator returned, (N, 3, 16h, 16w), to the enlarged base."""
        return rest.float() + bases.enlarged(base.picture, 16)

    def by_band(self, latents: dict[int, Tensor]) -> list[Tensor]:
        """Latents by downsampling, (N, D, h, w), cut into those of the bands, in their order."""
        start = dict.fromkeys(GRIDS, 0)
        parts = []
        for band in self.config.bands:
            grid = band.downsampling
            parts.append(latents[grid][:, start[grid] : start[grid] + band.dim])
            start[grid] += band.dim
        return parts

    def by_grid(self, parts: list[Tensor]) -> dict[int, Tensor]:
        """The inverse of `by_band`."""
        return {
            grid: torch.cat(
                [
                    part
                    for part, band in zip(parts, self.config.bands, strict=True)
                    if band.downsampling == grid
                ],
                1,
            )
            for grid in GRIDS
            if self.config.dim(grid)
        }

"""The complete network: encoder, residual vector quantizer and generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vqcodec.model.config import ModelConfig
from vqcodec.model.encoder import Encoder
from vqcodec.model.generator import Generator
from vqcodec.model.quantizer import ResidualVectorQuantizer


class VQGAN(nn.Module):
    """VQGAN (Esser et al., CVPR 2021) with a residual quantizer, for all rates in one model.

        picture -> Encoder -> scale -> ResidualVectorQuantizer -> indices
        indices -> sum of codewords -> Generator -> picture

    The latents are divided by one running root mean square, the same for every position and channel. So the
    codebooks see unit scale, and flat patches keep small latents.

    Attributes:
        config: configuration of the model.
        family: name of the architecture in model files.
        stored_as: dtype of the weights in model files.
        memory_format: memory format of the weights in which the networks run fastest.
        strip_area: area, in latent positions, of the strips in which the networks run over a picture.
        halo: latent positions around a window that its output depends on.
        blends: false, because nothing beyond the halo changes a window.
    """

    family = "residual"
    stored_as = torch.float16
    memory_format = torch.channels_last
    strip_area = 6 << 10
    blends = False
    latent_rms: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = ResidualVectorQuantizer(config.stages, config.codebook_size, config.latent_dim)
        self.generator = Generator(config)
        self.register_buffer("latent_rms", torch.ones(()))

    @property
    def halo(self) -> int:
        """Latent positions around a window that its output depends on.

        This is the larger receptive field of the two networks.
        """
        # Each residual block reaches one position further at its own resolution; stem and head each reach one
        # further at 1/4.
        encoder, generator = self.config.encoder_blocks, self.config.generator_blocks
        first = (1 + encoder[0]) / 4 + encoder[1] / 2 + encoder[2]
        second = generator[0] + generator[1] / 2 + (generator[2] + 1) / 4
        return 1 + math.ceil(max(first, second))

    def analyse(self, pictures: Tensor) -> Tensor:
        """Map pictures (N, 3, 16h, 16w) in [-1, 1] to latents (N, D, h, w) of about unit scale."""
        return self.encoder(pictures).float() / self.latent_rms

    def synthesise(self, latents: Tensor, stages: Tensor) -> Tensor:
        """Render latents to pictures (N, 3, 16h, 16w), about [-1, 1].

        Args:
            latents: (N, D, h, w).
            stages: (N,) int64, number of stages that the latents were made from, 1..S.
        """
        return self.generator(latents, stages)

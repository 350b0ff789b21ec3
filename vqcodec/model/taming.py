"""The VQGAN of Esser, Rombach and Ommer (Taming Transformers, CVPR 2021), for models trained by others.

Encoder and decoder have residual blocks with group normalisation and attention, so every output position
depends on the whole picture. Their modules have the names that they have in the published checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.model.config import Config
from vqcodec.model.quantizer import ResidualVectorQuantizer


@dataclass(frozen=True)
class TamingConfig(Config):
    """Hyper-parameters of a `TamingVQGAN`.

    Attributes:
        channels: base width; every level has a multiple of it.
        multipliers: width of each level over `channels`, from full resolution down; each further level halves
            the resolution.
        blocks: residual blocks per level of the encoder; the decoder has one more.
        attention_levels: levels that have attention after every residual block.
        hidden_channels: channels between the networks and the 1x1 convolutions around the quantizer.
        latent_dim: channels D of the quantized latents.
        codebook_size: number of codewords K.
        quantizer: "nearest" codeword, or "gumbel": the codeword that a linear classifier likes best.
    """

    channels: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    attention_levels: tuple[int, ...] = (4,)
    hidden_channels: int = 256
    latent_dim: int = 256
    codebook_size: int = 1024
    quantizer: str = "nearest"

    @property
    def stages(self) -> int:
        """Number of quantizer stages."""
        return 1

    @property
    def downsampling(self) -> int:
        """Edge in pixels of the picture area that one latent position stands for."""
        return 2 ** (len(self.multipliers) - 1)


class GumbelQuantizer(ResidualVectorQuantizer):
    """One stage whose codeword is chosen by a linear classifier, trained with the Gumbel-softmax trick.

    In training, noise is added to the logits; here the codeword is the most likely one.

    Buffers:
        projection, offset: (K, D) and (K,), the classifier.
    """

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__(1, codebook_size, dim)
        self.register_buffer("projection", torch.zeros(codebook_size, dim))
        self.register_buffer("offset", torch.zeros(codebook_size))

    def linear(self, stage: int) -> tuple[Tensor, Tensor]:
        """To -2 times the logits: what |x|^2 - 2 x.c + |c|^2 leaves where only the product tells."""
        return -2 * self.projection, -2 * self.offset

    @torch.no_grad()
    def reorder(self, stage: int, order: Tensor) -> None:
        """As of every quantizer, with the classifier."""
        super().reorder(stage, order)
        self.projection.copy_(self.projection[order])
        self.offset.copy_(self.offset[order])


class TamingVQGAN(nn.Module):
    """Encoder, single quantizer and decoder of a published VQGAN.

        picture -> encoder -> quant_conv -> scale -> quantizer -> index
        index -> codeword -> scale -> post_quant_conv -> decoder -> picture

    Attributes: as of `VQGAN`. The networks run on windows of up to 768x512 pixels. In larger pictures,
    neighbouring windows are cross-faded over 128 pixels, and the result is close to, but not exactly, that of
    the whole picture at once.
    """

    family = "taming"
    # Rounded to float16, weights would change pictures by some 5e-3, and might change indices.
    stored_as = torch.float32
    # With channels last, group normalisation on a CPU is off by up to 3e-4 in a picture of 768x512.
    memory_format = torch.contiguous_format
    blends = True

    def __init__(self, config: TamingConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(config.hidden_channels, config.latent_dim, 1)
        if config.quantizer == "gumbel":
            self.quantizer = GumbelQuantizer(config.codebook_size, config.latent_dim)
        elif config.quantizer == "nearest":
            self.quantizer = ResidualVectorQuantizer(1, config.codebook_size, config.latent_dim)
        else:
            raise ValueError(f"quantizer {config.quantizer!r} is neither nearest nor gumbel")
        self.post_quant_conv = nn.Conv2d(config.latent_dim, config.hidden_channels, 1)
        self.decoder = Decoder(config)
        self.register_buffer("latent_rms", torch.ones(()))
        self.window_area = 768 * 512 // config.downsampling**2
        self.halo = 64 // config.downsampling

    def analyse(self, pictures: Tensor) -> Tensor:
        """Map pictures (N, 3, fh, fw) in [-1, 1] to latents (N, D, h, w); f is `config.downsampling`."""
        return self.quant_conv(self.encoder(pictures.contiguous())).float() / self.latent_rms

    def synthesise(self, latents: Tensor, stages: Tensor | None = None) -> Tensor:
        """Render latents (N, D, h, w); pictures as in `encode`. `stages` is always 1."""
        return self.decoder(self.post_quant_conv((latents * self.latent_rms).contiguous()))


class Encoder(nn.Module):
    """Picture (N, 3, fh, fw) to hidden channels (N, Z, h, w)."""

    def __init__(self, config: TamingConfig) -> None:
        super().__init__()
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        self.conv_in = _conv3(3, config.channels)
        levels = []
        for number, (before, width) in enumerate(zip([config.channels, *widths], widths, strict=False)):
            level = Level(before, width, config.blocks, number in config.attention_levels)
            if number < len(widths) - 1:
                level.downsample = Downsample(width)
            levels.append(level)
        self.down = nn.ModuleList(levels)
        self.mid = Middle(widths[-1])
        self.norm_out = _norm(widths[-1])
        self.conv_out = _conv3(widths[-1], config.hidden_channels)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.conv_in(picture)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x)), inplace=True))


class Decoder(nn.Module):
    """Hidden channels (N, Z, h, w) to picture (N, 3, fh, fw)."""

    def __init__(self, config: TamingConfig) -> None:
        super().__init__()
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        self.conv_in = _conv3(config.hidden_channels, widths[-1])
        self.mid = Middle(widths[-1])
        levels = []
        for number, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True)):
            level = Level(before, width, config.blocks + 1, number in config.attention_levels)
            if number > 0:
                level.upsample = Upsample(width)
            levels.append(level)
        self.up = nn.ModuleList(levels)
        self.norm_out = _norm(widths[0])
        self.conv_out = _conv3(widths[0], 3)

    def forward(self, hidden: Tensor) -> Tensor:
        x = self.mid(self.conv_in(hidden))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x), inplace=True))


class Level(nn.Module):
    """Residual blocks at one resolution, each followed by attention if wanted, then the step to the next."""

    def __init__(self, in_channels: int, channels: int, blocks: int, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            ResidualBlock(channels if number else in_channels, channels) for number in range(blocks)
        )
        self.attn = nn.ModuleList(Attention(channels) for _ in range(blocks if attention else 0))
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        for number, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[number](x)
        resample = self.downsample or self.upsample
        return resample(x) if resample else x


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = Attention(channels)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions after normalisation and swish, beside a 1x1 convolution where widths differ."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.norm1 = _norm(in_channels)
        self.conv1 = _conv3(in_channels, channels)
        self.norm2 = _norm(channels)
        self.conv2 = _conv3(channels, channels)
        self.nin_shortcut = nn.Conv2d(in_channels, channels, 1) if in_channels != channels else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x), inplace=True))
        y = self.conv2(F.silu(self.norm2(y), inplace=True))
        return (self.nin_shortcut(x) if self.nin_shortcut else x) + y


class Attention(nn.Module):
    """Every position attends to all others, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        # (N, C, H, W) -> (N, heads, H * W, C)
        query, key, value = (
            layer(y).flatten(2).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v)
        )
        y = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(y[:, 0].transpose(1, 2).reshape(x.shape))


class Downsample(nn.Module):
    """Halve the resolution by a strided convolution, padded below and on the right only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Double the resolution: repeat every position, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _conv3(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, padding=1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)

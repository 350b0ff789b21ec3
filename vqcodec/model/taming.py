"""VQGAN of Esser, Rombach and Ommer (Taming Transformers, CVPR 2021), for models that others have trained.

Encoder and decoder have residual blocks with group normalisation and attention, so every output position
depends on the whole picture. The submodules have the names of the published checkpoints.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vqcodec.config import TamingConfig
from vqcodec.model.plain import PlainQuantizer


class GumbelQuantizer(PlainQuantizer):
    """One stage whose codeword is chosen by a linear classifier, trained with the Gumbel-softmax trick.

    Training adds noise to the logits. Here the codeword is the most likely one.

    Buffers:
        projection, offset: weight (K, D) and bias (K,) of the classifier.
    """

    projection: Tensor
    offset: Tensor

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__(codebook_size, dim)
        self.register_buffer("projection", torch.zeros(codebook_size, dim))
        self.register_buffer("offset", torch.zeros(codebook_size))

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Renumber the codewords, together with the classifier."""
        super().reorder(order)
        self.projection.copy_(self.projection[order])
        self.offset.copy_(self.offset[order])


class TamingVQGAN(nn.Module):
    """Encoder, single quantizer and decoder of a published VQGAN.

        picture -> encoder -> quant_conv -> scale -> quantizer -> index
        index -> codeword -> scale -> post_quant_conv -> decoder -> picture

    The networks run on windows of up to 768x512 pixels. In larger pictures, neighbouring windows are
    cross-faded over 128 pixels. The result is close to that of the whole picture at once, but not exactly
    equal.

    Attributes:
        config: configuration of the model.
        stored_as: dtype of the weights in model files.
        memory_format: memory format of the weights.
    """

    # Rounding the weights to float16 would change pictures by about 5e-3, and might change indices.
    stored_as = torch.float32
    # With channels last, group normalisation on a CPU is off by up to 3e-4 on a 768x512 picture.
    memory_format = torch.contiguous_format
    quantizer: PlainQuantizer
    latent_rms: Tensor

    def __init__(self, config: TamingConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _Encoder(config)
        self.quant_conv = nn.Conv2d(config.hidden_channels, config.latent_dim, 1)
        if config.quantizer == "gumbel":
            self.quantizer = GumbelQuantizer(config.codebook_size, config.latent_dim)
        elif config.quantizer == "nearest":
            self.quantizer = PlainQuantizer(config.codebook_size, config.latent_dim)
        else:
            raise ValueError(f"quantizer {config.quantizer!r} is neither nearest nor gumbel")
        self.post_quant_conv = nn.Conv2d(config.latent_dim, config.hidden_channels, 1)
        self.decoder = _Decoder(config)
        self.register_buffer("latent_rms", torch.ones(()))

    def analyse(self, pictures: Tensor) -> Tensor:
        """Map pictures (N, 3, fh, fw) in [-1, 1] to latents (N, D, h, w); f is `config.downsampling`."""
        return self.quant_conv(self.encoder(pictures.contiguous())).float() / self.latent_rms

    def synthesise(self, latents: Tensor) -> Tensor:
        """Render latents (N, D, h, w) to pictures (N, 3, fh, fw), about [-1, 1]."""
        return self.decoder(self.post_quant_conv((latents * self.latent_rms).contiguous()))


class _Encoder(nn.Module):
    """Picture (N, 3, fh, fw) to hidden channels (N, Z, h, w)."""

    def __init__(self, config: TamingConfig) -> None:
        super().__init__()
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        self.conv_in = _conv3(3, config.channels)
        levels = []
        for number, (before, width) in enumerate(zip([config.channels, *widths], widths, strict=False)):
            level = _Level(before, width, config.blocks, number in config.attention_levels)
            if number < len(widths) - 1:
                level.downsample = _Downsample(width)
            levels.append(level)
        self.down = nn.ModuleList(levels)
        self.mid = _Middle(widths[-1])
        self.norm_out = _norm(widths[-1])
        self.conv_out = _conv3(widths[-1], config.hidden_channels)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.conv_in(picture)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x)), inplace=True))


class _Decoder(nn.Module):
    """Hidden channels (N, Z, h, w) to picture (N, 3, fh, fw)."""

    def __init__(self, config: TamingConfig) -> None:
        super().__init__()
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        self.conv_in = _conv3(config.hidden_channels, widths[-1])
        self.mid = _Middle(widths[-1])
        levels = []
        for number, (before, width) in enumerate(zip([*widths[1:], widths[-1]], widths, strict=True)):
            level = _Level(before, width, config.blocks + 1, number in config.attention_levels)
            if number > 0:
                level.upsample = _Upsample(width)
            levels.append(level)
        self.up = nn.ModuleList(levels)
        self.norm_out = _norm(widths[0])
        self.conv_out = _conv3(widths[0], 3)

    def forward(self, hidden: Tensor) -> Tensor:
        x = self.mid(self.conv_in(hidden))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x), inplace=True))


class _Level(nn.Module):
    """Residual blocks at one resolution, each followed by attention if wanted, then the step to the next one.

    (N, C, H, W) to (N, C', H, W), or with half or twice the sides where the level resamples.
    """

    def __init__(self, in_channels: int, channels: int, blocks: int, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            _ResidualBlock(channels if number else in_channels, channels) for number in range(blocks)
        )
        self.attn = nn.ModuleList(_Attention(channels) for _ in range(blocks if attention else 0))
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        for number, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[number](x)
        resample = self.downsample or self.upsample
        return resample(x) if resample else x


class _Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution. Keeps the shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = _ResidualBlock(channels, channels)
        self.attn_1 = _Attention(channels)
        self.block_2 = _ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after normalisation and swish: (N, C, H, W) to (N, C', H, W).

    The skip path has a 1x1 convolution where the widths differ.
    """

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


class _Attention(nn.Module):
    """Single-head attention over all positions. Keeps the shape."""

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


class _Downsample(nn.Module):
    """Halve the resolution with a strided convolution that pads only at the bottom and on the right."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class _Upsample(nn.Module):
    """Double the resolution: repeat each position, then apply a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _conv3(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, padding=1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)

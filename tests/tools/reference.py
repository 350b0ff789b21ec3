"""The published VQGAN once more, as plain functions on a checkpoint's tensors, and small checkpoints to run it on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Published:
    """The settings that stand in a published YAML file."""

    n_embed: int
    embed_dim: int
    z_channels: int
    ch: int
    ch_mult: tuple[int, ...]
    attn_resolutions: tuple[int, ...]
    gumbel: bool = False
    num_res_blocks: int = 2
    resolution: int = 256

    @property
    def factor(self) -> int:
        return 2 ** (len(self.ch_mult) - 1)

    def attends(self, level: int) -> bool:
        return self.resolution // 2**level in self.attn_resolutions

    def yaml(self) -> str:
        """The configuration file, written as the published ones are."""
        target = "GumbelVQ" if self.gumbel else "VQModel"
        attention = "".join(f"\n      - {resolution}" for resolution in self.attn_resolutions)
        return f"""model:
  base_learning_rate: 4.5e-06
  target: taming.models.vqgan.{target}
  params:
    embed_dim: {self.embed_dim}
    n_embed: {self.n_embed}
    ddconfig:
      double_z: False
      z_channels: {self.z_channels}
      resolution: {self.resolution}
      in_channels: 3
      out_ch: 3
      ch: {self.ch}
      ch_mult: [ {",".join(map(str, self.ch_mult))}]  # num_down = len(ch_mult)-1
      num_res_blocks: {self.num_res_blocks}
      attn_resolutions:{attention}
      dropout: 0.0

    lossconfig:
      target: taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator
      params:
        disc_conditional: False
        disc_weight: 0.8

data:
  target: main.DataModuleFromConfig
  params: {{batch_size: 3, num_workers: 8}}
"""


def shapes(config: Published) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a published checkpoint, without those of its loss."""
    found: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, before: int, after: int, size: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (after, before, size, size), (after,)

    def norm(name: str, width: int) -> None:
        found[f"{name}.weight"] = found[f"{name}.bias"] = (width,)

    def block(name: str, before: int, after: int) -> None:
        norm(f"{name}.norm1", before)
        convolution(f"{name}.conv1", before, after, 3)
        norm(f"{name}.norm2", after)
        convolution(f"{name}.conv2", after, after, 3)
        if before != after:
            convolution(f"{name}.nin_shortcut", before, after, 1)

    def attention(name: str, width: int) -> None:
        norm(f"{name}.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            convolution(f"{name}.{part}", width, width, 1)

    def middle(name: str, width: int) -> None:
        block(f"{name}.block_1", width, width)
        attention(f"{name}.attn_1", width)
        block(f"{name}.block_2", width, width)

    last = len(config.ch_mult) - 1
    convolution("encoder.conv_in", 3, config.ch, 3)
    width = config.ch
    for level, multiplier in enumerate(config.ch_mult):
        for number in range(config.num_res_blocks):
            block(f"encoder.down.{level}.block.{number}", width, config.ch * multiplier)
            width = config.ch * multiplier
            if config.attends(level):
                attention(f"encoder.down.{level}.attn.{number}", width)
        if level < last:
            convolution(f"encoder.down.{level}.downsample.conv", width, width, 3)
    middle("encoder.mid", width)
    norm("encoder.norm_out", width)
    convolution("encoder.conv_out", width, config.z_channels, 3)

    convolution("decoder.conv_in", config.z_channels, width, 3)
    middle("decoder.mid", width)
    for level in range(last, -1, -1):
        for number in range(config.num_res_blocks + 1):
            block(f"decoder.up.{level}.block.{number}", width, config.ch * config.ch_mult[level])
            width = config.ch * config.ch_mult[level]
            if config.attends(level):
                attention(f"decoder.up.{level}.attn.{number}", width)
        if level:
            convolution(f"decoder.up.{level}.upsample.conv", width, width, 3)
    norm("decoder.norm_out", width)
    convolution("decoder.conv_out", width, 3, 3)

    convolution("quant_conv", config.z_channels, config.embed_dim, 1)
    convolution("post_quant_conv", config.embed_dim, config.z_channels, 1)
    if config.gumbel:
        convolution("quantize.proj", config.z_channels, config.n_embed, 1)
        found["quantize.embed.weight"] = (config.n_embed, config.embed_dim)
    else:
        found["quantize.embedding.weight"] = (config.n_embed, config.embed_dim)
    return found


def checkpoint(config: Published, seed: int = 0) -> dict[str, Tensor]:
    """A state dictionary with random weights that keep signals at a sensible size, and some tensors of the loss."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(config).items():
        values = torch.randn(shape, generator=generator)
        if ".norm" in name:
            state[name] = 0.1 * values + (1 if name.endswith(".weight") else 0)
        elif name.endswith(".bias"):
            state[name] = 0.1 * values
        elif name.startswith("quantize.emb"):
            state[name] = 0.7 * values
        else:
            state[name] = values / values[0].numel() ** 0.5
    state["loss.discriminator.main.0.weight"] = torch.zeros(64, 3, 4, 4)
    state["loss.perceptual_loss.lin0.model.1.weight"] = torch.zeros(1, 64, 1, 1)
    return state


def encode(state: dict[str, Tensor], config: Published, picture: Tensor) -> Tensor:
    """Indices (h, w) of a picture (1, 3, H, W) in [-1, 1]."""
    x = _convolve(state, "encoder.conv_in", picture, padding=1)
    for level in range(len(config.ch_mult)):
        for number in range(config.num_res_blocks):
            x = _block(state, f"encoder.down.{level}.block.{number}", x)
            if config.attends(level):
                x = _attention(state, f"encoder.down.{level}.attn.{number}", x)
        if level < len(config.ch_mult) - 1:
            x = F.pad(x, (0, 1, 0, 1), mode="constant", value=0)
            x = _convolve(state, f"encoder.down.{level}.downsample.conv", x, stride=2)
    x = _swish(_norm(state, "encoder.norm_out", _middle(state, "encoder.mid", x)))
    z = _convolve(state, "quant_conv", _convolve(state, "encoder.conv_out", x, padding=1))
    if config.gumbel:
        return _convolve(state, "quantize.proj", z)[0].argmax(0)
    flat = z[0].flatten(1).T
    return torch.cdist(flat, state["quantize.embedding.weight"]).argmin(1).view(z.shape[2:])


def decode(state: dict[str, Tensor], config: Published, indices: Tensor) -> Tensor:
    """Picture (1, 3, H, W) of indices (h, w)."""
    codebook = state["quantize.embed.weight" if config.gumbel else "quantize.embedding.weight"]
    x = _convolve(state, "post_quant_conv", codebook[indices].permute(2, 0, 1)[None])
    x = _middle(state, "decoder.mid", _convolve(state, "decoder.conv_in", x, padding=1))
    for level in range(len(config.ch_mult) - 1, -1, -1):
        for number in range(config.num_res_blocks + 1):
            x = _block(state, f"decoder.up.{level}.block.{number}", x)
            if config.attends(level):
                x = _attention(state, f"decoder.up.{level}.attn.{number}", x)
        if level:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = _convolve(state, f"decoder.up.{level}.upsample.conv", x, padding=1)
    return _convolve(state, "decoder.conv_out", _swish(_norm(state, "decoder.norm_out", x)), padding=1)


def _convolve(state: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding)


def _norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    groups = x.unflatten(1, (32, -1))
    mean = groups.mean((2, 3, 4), keepdim=True)
    variance = groups.var((2, 3, 4), keepdim=True, unbiased=False)
    x = ((groups - mean) / (variance + 1e-6).sqrt()).flatten(1, 2)
    return x * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def _swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def _block(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    y = _convolve(state, f"{name}.conv1", _swish(_norm(state, f"{name}.norm1", x)), padding=1)
    y = _convolve(state, f"{name}.conv2", _swish(_norm(state, f"{name}.norm2", y)), padding=1)
    if f"{name}.nin_shortcut.weight" in state:
        x = _convolve(state, f"{name}.nin_shortcut", x)
    return x + y


def _attention(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    y = _norm(state, f"{name}.norm", x)
    q, k, v = (_convolve(state, f"{name}.{part}", y)[0].flatten(1) for part in ("q", "k", "v"))
    weights = torch.softmax(q.T @ k / q.shape[0] ** 0.5, dim=1)
    return x + _convolve(state, f"{name}.proj_out", (v @ weights.T).view(x.shape))


def _middle(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    x = _attention(state, f"{name}.attn_1", _block(state, f"{name}.block_1", x))
    return _block(state, f"{name}.block_2", x)

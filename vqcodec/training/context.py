"""Training the context model in float with fake quantization, and exporting it to integers."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from vqcodec.model import VQGAN, TamingVQGAN
from vqcodec.model.context import (
    ACTIVATION_MAX,
    BORDER,
    EIGHT_BIT,
    NEIGHBOURHOOD,
    NEIGHBOURS,
    UNIT,
    WEIGHT_BITS,
    ContextWeights,
    _patches,
    checkerboard,
    interlaced,
    split,
)
from vqcodec.training.data import CropSampler

WEIGHT_ONE = 1 << WEIGHT_BITS


class FloatContextModel(nn.Module):
    """The context model with real-valued weights, in the units of the integer one in `vqcodec.model.context`.

    With `rounding` every weight and activation is rounded as the integers will be, and the gradient passes
    through (straight-through estimator); without, it is the float model that the integer one is measured against.
    """

    def __init__(self, stages: int, codebook_size: int, channels: int = 16, hidden: int = 64) -> None:
        super().__init__()
        groups, members = split(codebook_size)
        self.groups, self.members = groups, members
        self.rounding = True

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(stages, *shape) / shape[-1] ** 0.5)

        def bias(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(stages, *shape))

        self.embedding = nn.Parameter(0.5 * torch.randn(stages, codebook_size, channels))
        self.w1, self.v1, self.b1 = (
            weight(hidden, 9 * channels),
            weight(hidden, 4 * channels),
            bias(2, hidden),
        )
        self.w2, self.b2 = weight(hidden, hidden), bias(hidden)
        self.wg, self.bg = weight(groups, hidden), bias(groups)
        self.w3, self.e3 = weight(hidden, hidden), bias(groups, hidden)
        self.wm, self.bm = weight(members, hidden), bias(groups, members)
        self.v0 = nn.Parameter(torch.randn(3, hidden, 4 * channels) / (4 * channels) ** 0.5)
        self.b0 = nn.Parameter(torch.zeros(3, hidden))

    def bits(self, planes: Tensor) -> Tensor:
        """Bits of every index: planes (N, S, h, w) int64 to (S,) bits per position."""
        count, stages, rows, columns = planes.shape
        border = (0, 0, BORDER, BORDER, BORDER, BORDER)
        before = F.pad(torch.zeros(count, rows, columns, self.embedding.shape[-1]), border)
        result = []
        for stage in range(stages):
            plane = planes[:, stage]
            current = F.pad(self.round(UNIT * self.embedding[stage], 127)[plane], border)
            passes = checkerboard(rows, columns) if stage else interlaced(rows, columns)
            parts = []
            for which, positions in enumerate(passes):
                matrix, bias = self.of_pass(stage, which, len(passes))
                total = self.vector(bias)
                if which:
                    known = _patches(current, NEIGHBOURS[which - len(passes)]).view(count, rows * columns, -1)
                    total = known[:, positions] @ self.matrix(matrix) + total
                parts.append(total.expand(count, len(positions), -1))
            order = torch.cat(passes).argsort()
            total = torch.cat(parts, 1)[:, order].flatten(0, 1)
            if stage:
                context = _patches(before.clamp(-ACTIVATION_MAX, ACTIVATION_MAX), NEIGHBOURHOOD)
                total = total + context @ self.matrix(self.w1[stage])
            hidden = self.activate(total)
            hidden = self.activate(hidden @ self.matrix(self.w2[stage]) + self.vector(self.b2[stage]))
            group, member = plane.flatten() // self.members, plane.flatten() % self.members
            logits = self.shift(hidden @ self.matrix(self.wg[stage]) + self.vector(self.bg[stage]))
            cost = F.cross_entropy(logits / UNIT, group)
            hidden = self.activate(hidden @ self.matrix(self.w3[stage]) + self.vector(self.e3[stage])[group])
            logits = self.shift(hidden @ self.matrix(self.wm[stage]) + self.vector(self.bm[stage])[group])
            result.append((cost + F.cross_entropy(logits / UNIT, member)) / np.log(2))
            before = before + current
        return torch.stack(result)

    def of_pass(self, stage: int, which: int, passes: int) -> tuple[Tensor, Tensor]:
        """Weights for what is known of a stage in one of its passes, and bias."""
        if which in (0, passes - 1):
            return self.v1[stage], self.b1[stage, min(which, 1)]
        return self.v0[which - 1], self.b0[which - 1]

    def round(self, value: Tensor, limit: int | None = None) -> Tensor:
        if limit is not None:
            value = value.clamp(-limit, limit)
        return value + (value.round() - value).detach() if self.rounding else value

    def matrix(self, weight: Tensor) -> Tensor:
        return self.round(WEIGHT_ONE * weight, 127).T

    def vector(self, bias: Tensor) -> Tensor:
        return self.round(UNIT * WEIGHT_ONE * bias)

    def shift(self, total: Tensor) -> Tensor:
        value = total / WEIGHT_ONE
        if not self.rounding:
            return value
        return value + ((value + 0.5).floor() - value).detach()

    def activate(self, total: Tensor) -> Tensor:
        return self.shift(total).clamp(0, ACTIVATION_MAX)

    @torch.no_grad()
    def export(self) -> ContextWeights:
        """The integer weights."""
        tensors = {}
        for name, parameter in self.named_parameters():
            if name == "embedding":
                value = (UNIT * parameter).clamp(-127, 127)
            elif name in EIGHT_BIT:
                value = (WEIGHT_ONE * parameter).clamp(-127, 127)
            else:
                value = UNIT * WEIGHT_ONE * parameter
            tensors[name] = value.round().to(torch.int32)
        return ContextWeights(**tensors)


@torch.no_grad()
def index_planes(model: VQGAN | TamingVQGAN, pictures: Tensor, prices: Tensor) -> Tensor:
    """Index planes (N, S, h, w) of pictures (N, 3, f h, f w), each at its own price of a bit (N,)."""
    latents = model.encode(pictures.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
    chosen = [
        model.quantizer.choose(picture.flatten(0, 1), float(price))
        for picture, price in zip(latents, prices, strict=True)
    ]
    return torch.stack(chosen).view(*latents.shape[:3], -1).permute(0, 3, 1, 2)


def index_pool(
    model: VQGAN | TamingVQGAN,
    crops: CropSampler,
    prices: tuple[float, float] | None,
    count: int,
    seed: int = 0,
) -> Tensor:
    """Index planes (count, S, 256/f, 256/f) of random crops at random prices of a bit, in the smallest integers.

    Args:
        model: the network.
        crops: source of 256 x 256 crops.
        prices: least and largest, drawn log-uniformly, and none for every eighth crop; or none at all.
        count: number of crops.
        seed: of crops and prices.
    """
    rng = np.random.default_rng(seed)
    dtype = torch.int16 if model.config.codebook_size <= 1 << 15 else torch.int32
    planes = []
    for start in tqdm(range(0, count, 8), desc="encoding crops", unit="batch", disable=None):
        size = min(8, count - start)
        drawn = np.zeros(size)
        if prices:
            drawn = np.exp(rng.uniform(*np.log(prices), size)) * (rng.random(size) >= 0.125)
        pictures = crops.batch(rng, size, 256)
        planes.append(index_planes(model, pictures, torch.from_numpy(drawn).float()).to(dtype))
    return torch.cat(planes)


def train_context(
    planes: Tensor, codebook_size: int, steps: int = 4000, batch: int = 16, lr: float = 4e-3, seed: int = 0
) -> FloatContextModel:
    """Train a context model.

    Args:
        planes: (N, S, h, w) integers to learn from.
        codebook_size: codewords per stage, a product.
        steps: optimiser steps.
        batch: planes per step.
        lr: peak learning rate of one cycle.
        seed: of initialisation and order.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    context = FloatContextModel(planes.shape[1], codebook_size)
    start_from_counts(context, planes)
    optimiser = torch.optim.AdamW(
        context.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0, foreach=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, steps, pct_start=0.1)
    bar = tqdm(range(steps), desc="context model", unit="step", disable=None)
    for step in bar:
        chosen = planes[torch.from_numpy(rng.choice(len(planes), batch))].long()
        bits = context.bits(chosen)
        bits.sum().backward()
        nn.utils.clip_grad_norm_(context.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(bits=f"{bits.sum().item():.2f}")
    return context


@torch.no_grad()
def start_from_counts(context: FloatContextModel, data: Tensor) -> None:
    """Start the output biases at the logarithms of the plain frequencies."""
    shape = context.groups, context.members
    for stage in range(data.shape[1]):
        counts = torch.bincount(data[:, stage].flatten().long(), minlength=shape[0] * shape[1]).float() + 1
        counts = counts.view(shape)
        context.bg[stage] = (counts.sum(1) / counts.sum()).log().clamp(-7, 0) + 3
        context.bm[stage] = (counts / counts.sum(1, keepdim=True)).log().clamp(-7, 0) + 3

"""Training the context model in float with fake quantization, and exporting it to integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from vqcodec.entropy.layers import ContextLayers
from vqcodec.entropy.passes import (
    AROUND,
    AROUND_FIRST,
    BORDER,
    BORDER_FIRST,
    NEAREST,
    NEIGHBOURHOOD,
    checkerboard,
    interlaced,
    patches,
)
from vqcodec.entropy.weights import (
    ACTIVATION_MAX,
    EIGHT_BIT,
    UNIT,
    WEIGHT_BITS,
    ContextWeights,
    row_of,
    split,
)
from vqcodec.model import VQGAN, TamingVQGAN
from vqcodec.training.data import CropSampler

WEIGHT_ONE = 1 << WEIGHT_BITS


@dataclass(frozen=True)
class Sizes:
    """Embedding and hidden channels of a context model, those of its first stage apart."""

    channels: int = 16
    hidden: int = 64
    first_channels: int = 32
    first_hidden: int = 128


class FloatContextModel(nn.Module, ContextLayers):
    """The context model with real-valued weights, in the units of the integer one.

    With `rounding` every weight and activation is rounded as the integers will be, and the gradient passes
    through (straight-through estimator); without, it is the float model that the integer one is measured against.
    """

    def __init__(self, stages: int, codebook_size: int, sizes: Sizes = Sizes()) -> None:
        super().__init__()
        groups, members = split(codebook_size)
        self.groups, self.members = groups, members
        self.rounding = True
        self.embedding: nn.Parameter
        self.first_embedding: nn.Parameter

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape) / shape[-1] ** 0.5)

        def bias(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape))

        def rest(rows: int, hidden: int) -> dict[str, nn.Parameter]:
            """What stands behind the first layer of some stages."""
            parts = {"w2": weight(rows, hidden, hidden), "b2": bias(rows, hidden)}
            parts |= {"wg": weight(rows, groups, hidden), "bg": bias(rows, groups)}
            parts |= {"w3": weight(rows, hidden, hidden), "e3": bias(rows, groups, hidden)}
            # All groups begin alike.
            each = weight(rows, 1, members, hidden).detach().repeat(1, groups, 1, 1)
            return parts | {"wm": nn.Parameter(each), "bm": bias(rows, groups, members)}

        later, channels, hidden = stages - 1, sizes.channels, sizes.hidden
        parameters = {
            "embedding": nn.Parameter(0.5 * torch.randn(stages, codebook_size, channels)),
            "w1": weight(later, hidden, len(NEIGHBOURHOOD) * channels),
            "v1": weight(later, hidden, len(AROUND[-1]) * channels),
            "b1": bias(later, 2, hidden),
            **rest(later, hidden),
        }
        channels, hidden = sizes.first_channels, sizes.first_hidden
        first = {
            "embedding": nn.Parameter(0.5 * torch.randn(1, codebook_size, channels)),
            "v1": weight(len(AROUND_FIRST) - 1, hidden, len(NEAREST) * channels),
            "b1": bias(len(AROUND_FIRST), hidden),
            **rest(1, hidden),
        }
        parameters |= {f"first_{name}": parameter for name, parameter in first.items()}
        for name, parameter in parameters.items():
            self.register_parameter(name, parameter)

    def bits(self, planes: Tensor) -> Tensor:
        """Bits of every index: planes (N, S, h, w) int64 to (S,) bits per position."""
        count, stages, rows, columns = planes.shape
        channels = self.embedding.shape[-1]
        before = planes.new_zeros(
            count, rows + 2 * BORDER, columns + 2 * BORDER, channels, dtype=torch.float32
        )
        result = []
        for stage in range(stages):
            plane = planes[:, stage]
            added = _framed(self._round(UNIT * self.embedding[stage], 127)[plane], BORDER)
            if stage:
                passes, around, border, own = checkerboard(rows, columns), AROUND, BORDER, added
            else:
                passes, around, border = interlaced(rows, columns), AROUND_FIRST, BORDER_FIRST
                own = _framed(self._round(UNIT * self.first_embedding[0], 127)[plane], border)
            parts = []
            for which, positions in enumerate(passes):
                known = None
                if which:
                    known = patches(own, around[which], border).view(count, rows * columns, -1)[:, positions]
                parts.append(self.of_own_stage(stage, which, known).expand(count, len(positions), -1))
            order = torch.cat(passes).argsort()
            total = torch.cat(parts, 1)[:, order].flatten(0, 1)
            if stage:
                context = patches(before.clamp(-ACTIVATION_MAX, ACTIVATION_MAX), NEIGHBOURHOOD, BORDER)
                total = total + self.of_stages_before(stage, context)
            result.append(self._cost(stage, self.hidden(stage, total), plane.flatten()) / np.log(2))
            before = before + added
        return torch.stack(result)

    def _cost(self, stage: int, hidden: Tensor, indices: Tensor) -> Tensor:
        """Mean cost of indices (n,) in nats, given the activations (n, H) of their context."""
        group, member = indices // self.members, indices % self.members
        cost = F.cross_entropy(self.group_logits(stage, hidden) / UNIT, group)
        logits, order = self.member_logits(stage, hidden, group)
        return cost + F.cross_entropy(logits / UNIT, member[order])

    def product(self, inputs: Tensor, name: str, row: int | tuple[int, int]) -> Tensor:
        return inputs @ self._round(WEIGHT_ONE * getattr(self, name)[row], 127).T

    def bias(self, name: str, row: int | tuple[int, int]) -> Tensor:
        return self._round(UNIT * WEIGHT_ONE * getattr(self, name)[row])

    def shift(self, total: Tensor) -> Tensor:
        value = total / WEIGHT_ONE
        if not self.rounding:
            return value
        return value + ((value + 0.5).floor() - value).detach()

    def clamp(self, values: Tensor) -> Tensor:
        return values.clamp(0, ACTIVATION_MAX)

    def _round(self, value: Tensor, limit: int | None = None) -> Tensor:
        if limit is not None:
            value = value.clamp(-limit, limit)
        return value + (value.round() - value).detach() if self.rounding else value

    @torch.no_grad()
    def export(self) -> ContextWeights:
        """The integer weights."""
        tensors = {}
        for name, parameter in self.named_parameters():
            if name.endswith("embedding"):
                value = (UNIT * parameter).clamp(-127, 127)
            elif name in EIGHT_BIT:
                value = (WEIGHT_ONE * parameter).clamp(-127, 127)
            else:
                value = UNIT * WEIGHT_ONE * parameter
            tensors[name] = value.round().to(torch.int32)
        return ContextWeights(**tensors)


def _framed(maps: Tensor, border: int) -> Tensor:
    return F.pad(maps, (0, 0) + 4 * (border,))


@torch.no_grad()
def index_planes(model: VQGAN | TamingVQGAN, pictures: Tensor, lmbdas: Tensor) -> Tensor:
    """Index planes (N, S, h, w) of pictures (N, 3, f h, f w), each at its own lambda (N,)."""
    latents = model.analyse(pictures.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
    chosen = [
        model.quantizer.choose(picture.flatten(0, 1), float(lmbda))
        for picture, lmbda in zip(latents, lmbdas, strict=True)
    ]
    return torch.stack(chosen).view(*latents.shape[:3], -1).permute(0, 3, 1, 2)


def index_pool(
    model: VQGAN | TamingVQGAN,
    crops: CropSampler,
    lmbdas: tuple[float, float] | None,
    count: int,
    seed: int = 0,
) -> Tensor:
    """Index planes (count, S, e/f, e/f) of random crops at random lambdas, in the smallest integers.

    Args:
        model: the network.
        crops: source of crops of e x e pixels, where e is 256, or less if no photograph is that large.
        lmbdas: least and largest, drawn log-uniformly, and none for every eighth crop; or none at all.
        count: number of crops.
        seed: of crops and lambdas.
    """
    rng = np.random.default_rng(seed)
    dtype = torch.int16 if model.config.codebook_size <= 1 << 15 else torch.int32
    step = model.config.downsampling
    edge = min(256, crops.largest_crop) // step * step
    planes = []
    for start in tqdm(range(0, count, 8), desc="encoding crops", unit="batch", disable=None):
        size = min(8, count - start)
        drawn = np.zeros(size)
        if lmbdas:
            drawn = np.exp(rng.uniform(np.log(lmbdas[0]), np.log(lmbdas[1]), size)) * (
                rng.random(size) >= 0.125
            )
        pictures = crops.batch(rng, size, edge)
        planes.append(index_planes(model, pictures, torch.from_numpy(drawn).float()).to(dtype))
    return torch.cat(planes)


def train_context(
    planes: Tensor,
    codebooks: Tensor,
    steps: int = 4000,
    batch: int = 16,
    lr: float = 4e-3,
    seed: int = 0,
    sizes: Sizes = Sizes(),
) -> FloatContextModel:
    """Train a context model.

    Args:
        planes: (N, S, h, w) integers to learn from.
        codebooks: (S, K, D), the codewords that the integers stand for.
        steps: optimiser steps.
        batch: planes per step.
        lr: peak learning rate of one cycle.
        seed: of initialisation and order.
        sizes: of the model.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    context = FloatContextModel(planes.shape[1], codebooks.shape[1], sizes)
    start_from_codewords(context, codebooks)
    start_from_counts(context, planes)
    # Weight decay costs bits where contexts tell much, in plain pictures most.
    optimiser = torch.optim.Adam(context.parameters(), lr=lr, betas=(0.9, 0.95), foreach=True)
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
def start_from_codewords(context: FloatContextModel, codebooks: Tensor) -> None:
    """Start the embeddings at the principal components of the codewords (S, K, D), in units of twice the deviation of
    the first stage's: what a codeword looks like tells most of what it stands beside."""
    first = codebooks[0] - codebooks[0].mean(0)
    axes = torch.linalg.svd(first, full_matrices=False).Vh
    scale = (first @ axes.T).std(0).clamp_min(1e-6)

    def fill(embedding: Tensor, codebook: Tensor) -> None:
        components = (codebook @ axes.T / scale)[:, : embedding.shape[1]]
        embedding[:, : components.shape[1]] = 0.5 * components

    fill(context.first_embedding[0], first)
    for embedding, codebook in zip(context.embedding, codebooks, strict=True):
        fill(embedding, codebook)


@torch.no_grad()
def start_from_counts(context: FloatContextModel, data: Tensor) -> None:
    """Start the output biases at the logarithms of the plain frequencies."""
    groups, members = context.groups, context.members
    for stage in range(data.shape[1]):

        def of(name: str, stage: int = stage) -> Tensor:
            name, row = row_of(name, stage)
            return getattr(context, name)[row]

        counts = torch.bincount(data[:, stage].flatten().long(), minlength=groups * members).float() + 1
        counts = counts.view(groups, members)
        of("bg").copy_((counts.sum(1) / counts.sum()).log().clamp(-7, 0) + 3)
        of("bm").copy_((counts / counts.sum(1, keepdim=True)).log().clamp(-7, 0) + 3)

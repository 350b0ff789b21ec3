"""Training the context model in float with fake quantization, and exporting it to integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from vqcodec.config import Layer, Shape
from vqcodec.entropy.features import CHANNELS, base_features
from vqcodec.entropy.layers import ContextLayers, Row
from vqcodec.entropy.passes import COARSER, NEIGHBOURHOOD, Grid, around
from vqcodec.entropy.weights import ACTIVATION_MAX, EIGHT_BIT, RATE_BITS, UNIT, WEIGHT_BITS, ContextWeights
from vqcodec.training.pool import Pool

WEIGHT_ONE = 1 << WEIGHT_BITS
RATE_PARTS = 1 << RATE_BITS
# Added to anything from 1/2 on, or multiplied by any weight and then added, it changes no float.
_NOTHING = 1e-20


@dataclass(frozen=True)
class Sizes:
    """Embedding and hidden channels of a context model, those of its first layer apart."""

    channels: int = 16
    hidden: int = 64
    first_channels: int = 32
    first_hidden: int = 128


class FloatContextModel(nn.Module, ContextLayers[Tensor]):
    """The context model with real-valued weights, in the units of the integer one.

    With `rounding` every weight and activation is rounded as the integers will be, and the gradient passes
    through (straight-through estimator); without, it is the float model that the integer one is measured against.
    """

    def __init__(self, layers: Sequence[Layer], has_base: bool, sizes: Sizes = Sizes()) -> None:
        super().__init__()
        self.describe(layers)
        self.rounding = True
        scales = [layer.scale for layer in layers]
        self.parts = nn.ModuleList()
        for number, layer in enumerate(layers):
            hidden = sizes.hidden if number else sizes.first_hidden
            own = sizes.channels if number else sizes.first_channels
            groups, members = self.groups[number], self.members[number]
            offsets = around(number)
            tensors = {
                "embedding": 0.5 * torch.randn(layer.codebook_size, sizes.channels),
                "v1": _weight(len(offsets) - 1, hidden, len(offsets[-1]) * own),
                "r1": torch.zeros(RATE_PARTS, hidden),
                "b1": torch.zeros(len(offsets), hidden),
                "w2": _weight(hidden, hidden),
                "b2": torch.zeros(hidden),
                "wg": _weight(groups + 1, hidden),
                "bg": torch.zeros(groups + 1),
                "w3": _weight(hidden, hidden),
                "e3": torch.zeros(groups, hidden),
                # All groups begin alike.
                "wm": _weight(1, members, hidden).repeat(groups, 1, 1),
                "bm": torch.zeros(groups, members),
            }
            if not number:
                tensors["own"] = 0.5 * torch.randn(layer.codebook_size, own)
            if layer.scale in scales[:number]:
                tensors["w1"] = _weight(hidden, len(NEIGHBOURHOOD) * sizes.channels)
            if layer.scale == 2 and 1 in scales[:number]:
                tensors["u1"] = _weight(len(COARSER), hidden, len(COARSER[0]) * sizes.channels)
            if has_base:
                tensors["c1"] = 0.1 * _weight(hidden, CHANNELS)
            self.parts.append(
                nn.ParameterDict({name: nn.Parameter(tensor) for name, tensor in tensors.items()})
            )

    def tensors(self, layer: int) -> nn.ParameterDict:
        """The parameters of a layer, by name."""
        part = self.parts[layer]
        assert isinstance(part, nn.ParameterDict)  # nothing else was put there
        return part

    def bits(self, pool: Pool, most: int | None = None) -> Tensor:
        """Bits of every layer of every crop, (N, layers).

        Args:
            pool: planes of N crops.
            most: positions of a layer to look at; of more than these, a random sample stands for all.
        """
        count, rows, columns = pool.layers[0].shape
        grids = {1: Grid(count, rows, columns)}
        parent, place = (torch.from_numpy(part) for part in grids[1].coarser())
        grids[2] = Grid(count, 2 * rows, 2 * columns)
        features = None
        if pool.base is not None and pool.steps is not None:
            features = torch.from_numpy(base_features(pool.base.numpy(), pool.steps.numpy()))
            features = features.flatten(0, 2).float()
        before: dict[int, Tensor] = {}
        going: dict[int, Tensor] = {}
        costs = []
        for number, (layer, plane) in enumerate(zip(self.layers, pool.layers, strict=True)):
            grid, indices = grids[layer.scale], plane.flatten().long()
            inside = torch.from_numpy(grid.inside)
            size = len(indices)
            alive = going.get(layer.band, torch.arange(size))
            share = 1.0
            if most is not None and len(alive) > most:
                share = most / len(alive)
                alive = alive[torch.randperm(len(alive))[:most]]
            parents = parent[alive] if layer.scale == 2 else alive
            crop = alive // (size // count)
            tensors = self.tensors(number)
            added = F.embedding(indices, self._round(UNIT * tensors["embedding"], 127))
            own = added
            if "own" in tensors:
                own = F.embedding(indices, self._round(UNIT * tensors["own"], 127))
            total = self.bias(number, "r1", pool.rates[crop] >> (8 - RATE_BITS))
            total = total + self._of_passes(number, grid, alive, own)
            if "w1" in tensors:
                near = _gathered(_clamped(before[layer.scale]), inside[alive], grid.steps(NEIGHBOURHOOD))
                total = total + self.product(near, number, "w1")
            if "u1" in tensors:
                coarse, places = _clamped(before[1]), place[alive]
                squares = torch.from_numpy(grids[1].inside)[parents]
                for which, offsets in enumerate(COARSER):
                    chosen = (places == which).nonzero().flatten()
                    beside = _gathered(coarse, squares[chosen], grids[1].steps(offsets))
                    total = total.index_add(0, chosen, self.product(beside, number, "u1", which))
            if features is not None:
                total = total + self.product(features, number, "c1").index_select(0, parents)
            cost = self._cost(number, self.hidden(number, total), indices[alive]) / np.log(2)
            costs.append(cost.new_zeros(count).index_add(0, crop, cost) / share)
            if layer.scale not in before:
                before[layer.scale] = torch.from_numpy(grid.maps(added.shape[1], np.float32))
            before[layer.scale] = before[layer.scale].index_add(0, inside, added)
            if layer.ends:
                going[layer.band] = indices.nonzero().flatten()
        return torch.stack(costs, 1)

    def _of_passes(self, number: int, grid: Grid, alive: Tensor, own: Tensor) -> Tensor:
        """What positions (n,) know of their own layer, given its embeddings (positions, F): (n, H)."""
        passes, inside = torch.from_numpy(grid.passes(number))[alive], torch.from_numpy(grid.inside)
        total = self.bias(number, "b1", passes)
        maps = torch.from_numpy(grid.maps(own.shape[1], np.float32)).index_copy(0, inside, own)
        for which, offsets in enumerate(around(number)):
            rows = (passes == which).nonzero().flatten()
            if which and len(rows):
                known = _gathered(maps, inside[alive[rows]], grid.steps(offsets))
                total = total.index_add(0, rows, self.product(known, number, "v1", which - 1))
        return total

    def _cost(self, number: int, hidden: Tensor, indices: Tensor) -> Tensor:
        """Cost of indices (n,) in nats, (n,), given the activations (n, H) of their context."""
        first, member = self.symbols(number, indices)
        cost = F.cross_entropy(self.group_logits(number, hidden) / UNIT, first, reduction="none")
        going = first.nonzero().flatten()
        if not len(going):
            return cost
        groups, order = (first[going] - 1).sort()
        going = going[order]
        logits = self.member_logits(number, hidden.index_select(0, going), groups)
        return cost.index_add(0, going, F.cross_entropy(logits / UNIT, member[going], reduction="none"))

    def product(self, inputs: Tensor, layer: int, name: str, row: Row = None) -> Tensor:
        matrix = self.tensors(layer)[name]
        matrix = matrix if row is None else matrix[row]
        return inputs @ self._round(WEIGHT_ONE * matrix, 127).T

    def by_group(self, inputs: Tensor, layer: int, group: Tensor) -> Tensor:
        there, counts = group.unique_consecutive(return_counts=True)
        parts = zip(there.tolist(), inputs.split(counts.tolist()), strict=True)
        return torch.cat([self.product(part, layer, "wm", number) for number, part in parts])

    def bias(self, layer: int, name: str, row: Row | Tensor = None) -> Tensor:
        bias = self.tensors(layer)[name]
        if isinstance(row, Tensor):
            # Rounding is cheaper before rows are repeated, and so is the gradient of this than that of indexing.
            return self._round(UNIT * WEIGHT_ONE * bias).index_select(0, row)
        return self._round(UNIT * WEIGHT_ONE * (bias if row is None else bias[row]))

    def shift(self, total: Tensor) -> Tensor:
        value = total / WEIGHT_ONE
        if not self.rounding:
            return value
        return value + ((value + 0.5).floor() - value).detach()

    def clamp(self, values: Tensor) -> Tensor:
        # Many rounded activations are 0, and hardtanh has no gradient at its limits.
        return F.hardtanh(values, -_NOTHING, ACTIVATION_MAX)

    def _round(self, value: Tensor, limit: int | None = None) -> Tensor:
        if limit is not None:
            value = _clamped(value, limit)
        return value + (value.round() - value).detach() if self.rounding else value

    @torch.no_grad()
    def export(self) -> ContextWeights:
        """The integer weights."""
        layers = []
        for number in range(len(self.layers)):
            tensors, found = self.tensors(number), {}
            for name, parameter in tensors.items():
                if name in ("embedding", "own"):
                    value = (UNIT * parameter).clamp(-127, 127)
                elif name in EIGHT_BIT:
                    value = (WEIGHT_ONE * parameter).clamp(-127, 127)
                else:
                    value = UNIT * WEIGHT_ONE * parameter
                found[name] = value.round().to(torch.int32).numpy()
            layers.append(found)
        return ContextWeights(layers)


def _weight(*shape: int) -> Tensor:
    return torch.randn(shape) / shape[-1] ** 0.5


def _gathered(maps: Tensor, places: Tensor, steps: np.ndarray) -> Tensor:
    """What `vqcodec.entropy.passes.gathered` does, for maps of any dtype."""
    numbers = places[:, None] + torch.from_numpy(steps)
    return maps.index_select(0, numbers.flatten()).view(len(places), len(steps) * maps.shape[1])


def _clamped(values: Tensor, limit: int = ACTIVATION_MAX) -> Tensor:
    # As `clamp`, but its gradient is faster.
    return F.hardtanh(values, -limit, limit)


def train_context(
    pool: Pool,
    config: Shape,
    codebooks: Sequence[Tensor],
    steps: int = 4000,
    batch: int = 48,
    most: int = 8192,
    lr: float = 4e-3,
    seed: int = 0,
    sizes: Sizes = Sizes(),
) -> FloatContextModel:
    """Train a context model.

    Args:
        pool: planes to learn from.
        config: configuration of their model.
        codebooks: of each band, (S, K, D), the codewords that the indices stand for.
        steps: optimiser steps.
        batch: crops per step. Low rates have few symbols, so it takes many crops to learn from these.
        most: positions of a layer that a step looks at. Layers of fine grids would take all its time otherwise.
        lr: peak learning rate of one cycle.
        seed: of initialisation and order.
        sizes: of the model.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    context = FloatContextModel(config.layers, config.has_base, sizes)
    start_from_codewords(context, codebooks)
    start_from_counts(context, pool)
    weights = crop_weights(pool)
    # Weight decay costs bits where contexts tell much, in plain pictures most.
    optimiser = torch.optim.Adam(context.parameters(), lr=lr, betas=(0.9, 0.95), foreach=True)
    # A cycle of fewer steps has no room for its rise.
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, max(steps, 20), pct_start=0.1)
    bar = tqdm(range(steps), desc="context model", unit="step", disable=None)
    for step in bar:
        rows = torch.from_numpy(rng.choice(len(pool), min(batch, len(pool)), replace=False))
        bits = context.bits(pool.at(rows), most)
        (bits.sum(1) * weights[rows]).mean().backward()
        nn.utils.clip_grad_norm_(context.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        schedule.step()
        if step % 20 == 0:
            bar.set_postfix(bits=f"{bits.sum(1).mean().item():.0f}")
    return context


def crop_weights(pool: Pool) -> Tensor:
    """Weights (N,) of crops: bits count by their share in all bits at that rate, so that low rates count as well."""
    coded = torch.stack([(plane != 0).flatten(1).sum(1) for plane in pool.layers]).sum(0)
    coded = coded + pool.layers[0][0].numel() / 8
    parts = pool.rates >> (8 - RATE_BITS)
    sums = torch.zeros(RATE_PARTS).index_add_(0, parts, coded.float())
    usual = sums / torch.bincount(parts, minlength=RATE_PARTS).clamp_min(1)
    return 0.1 / usual.clamp_min(1)[parts]


@torch.no_grad()
def start_from_codewords(context: FloatContextModel, codebooks: Sequence[Tensor]) -> None:
    """Start the embeddings at the principal components of the codewords, in units of twice the deviation of the first
    stage's: what a codeword looks like tells most of what it stands beside."""
    for number, layer in enumerate(context.layers):
        first = codebooks[layer.band][0]
        axes = torch.linalg.svd(first - first.mean(0), full_matrices=False).Vh
        scale = ((first - first.mean(0)) @ axes.T).std(0).clamp_min(1e-6)
        components = 0.5 * (codebooks[layer.band][layer.stage] @ axes.T) / scale
        for name in ("embedding", "own"):
            if name in context.tensors(number):
                embedding = context.tensors(number)[name]
                width = min(embedding.shape[1], components.shape[1])
                embedding[:, :width] = components[:, :width]


@torch.no_grad()
def start_from_counts(context: FloatContextModel, pool: Pool) -> None:
    """Start the output biases at the logarithms of the plain frequencies."""
    for number, indices in enumerate(coded_indices(pool, context.layers)):
        first, member = context.symbols(number, indices)
        groups, members = context.groups[number], context.members[number]
        tensors = context.tensors(number)
        counts = torch.bincount(first, minlength=groups + 1).float() + 1
        tensors["bg"].copy_((counts / counts.sum()).log().clamp(-7, 0) + 3)
        going = first != 0
        places = (first[going] - 1) * members + member[going]
        counts = torch.bincount(places, minlength=groups * members).float().view(groups, members) + 1
        tensors["bm"].copy_((counts / counts.sum(1, keepdim=True)).log().clamp(-7, 0) + 3)


def coded_indices(pool: Pool, layers: Sequence[Layer]) -> list[Tensor]:
    """Of each layer, the indices at positions that go on, (n,) int64."""
    found: list[Tensor] = []
    going: dict[int, Tensor] = {}
    for layer, plane in zip(layers, pool.layers, strict=True):
        indices = plane.flatten().long()
        found.append(indices[going[layer.band]] if layer.band in going else indices)
        if layer.ends:
            going[layer.band] = indices != 0
    return found

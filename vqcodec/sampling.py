"""Indices drawn from the context model: masked positions completed from what is around them, and whole pictures.

The context model gives the probabilities of an index from the stages before and, in the last pass over a stage, from
its four neighbours. The latter holds for a position of any pass, so a first stage that
is not known is drawn position by position, over and over, each given its neighbours (Gibbs sampling). The stages
after it are drawn in two passes, in the order in which files hold them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vqcodec.coding import ContextCoder
from vqcodec.errors import ModelError
from vqcodec.model.context import (
    ACTIVATION_MAX,
    AROUND,
    AROUND_FIRST,
    BORDER,
    NEIGHBOURHOOD,
    WEIGHT_BITS,
    ContextModel,
)
from vqcodec.windows import Box

if TYPE_CHECKING:
    from vqcodec.codec import Codec
    from vqcodec.decoding import DamagedTile, Excerpt

# Rounds over a first stage that is not known. Where it begins as a continuation of the surroundings, more rounds only
# lead away from that; where it begins with nothing, it takes more of them until neighbours agree.
ROUNDS_INSIDE = 4
ROUNDS_FROM_NOTHING = 16
# Of so many draws from the context model one is taken, by its nearness to the continuation of the surroundings. Without
# that, a hole fills with things of any colour, and one in plain surroundings is worse than filled with a mean colour.
CANDIDATES = 8
# So many positions around a hole are looked at.
MARGIN = 4
# So many positions are drawn at once, to bound memory.
BLOCK = 1 << 14


def complete(
    codec: Codec,
    planes: np.ndarray,
    mask: np.ndarray,
    temperature: float = 1.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Fill positions of index planes with what the model finds likely, given all others.

    A model without a context model continues the surroundings smoothly instead; nothing is drawn then.

    Args:
        codec: with the model.
        planes: (s, h, w) integers; what stands at the masked positions does not matter.
        mask: bool, true where indices are to be filled: (h, w) for all stages, or (s, h, w), where a position that is
            true in one stage is true in all later ones.
        temperature: 1 draws as often as the model finds likely, 0 takes what is most likely each time.
        rng: source of the draws; unpredictable by default.

    Returns:
        (s, h, w), of the type of `planes`.

    Raises:
        ValueError: the mask does not fit the planes, or the temperature is negative.
        vqcodec.errors.ModelError: nothing is known anywhere, and the model has no context model.
    """
    mask = np.broadcast_to(mask, planes.shape)
    if mask.dtype != bool or (mask[:-1] & ~mask[1:]).any():
        raise ValueError("a mask is of type bool, and what is masked in a stage is masked in all later ones")
    if temperature < 0:
        raise ValueError(f"the temperature is {temperature}, below 0")
    out = planes.copy()
    if mask.any():
        rows, columns = (np.flatnonzero(mask[-1].any(axis)) for axis in (1, 0))
        hole = Box(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
        area = around(hole, *mask.shape[1:])
        rng = np.random.default_rng() if rng is None else rng
        _fill(codec, out, area, part_of(mask, area), temperature, rng)
    return out


def sample(
    codec: Codec,
    rows: int,
    columns: int,
    temperature: float = 1.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Index planes (S, rows, columns) uint16 of a picture that nobody took.

    Args:
        codec: with a model that has a context model.
        rows, columns: size in latent positions.
        temperature, rng: as of `complete`.

    Raises:
        vqcodec.errors.ModelError: the model has no context model.
    """
    planes = np.zeros((codec.config.stages, rows, columns), np.uint16)
    return complete(codec, planes, np.ones(planes.shape, bool), temperature, rng)


def conceal(codec: Codec, excerpt: Excerpt) -> None:
    """Fill the damaged tiles of an excerpt in place, always in the same way; lost tiles that touch, together."""
    unknown = [(tile, tile.inside(excerpt.box)) for tile in excerpt.damaged]
    for group in _touching(excerpt.damaged):
        boxes = [box for tile, box in unknown if tile in group]
        tops, bottoms, lefts, rights = zip(*boxes, strict=True)
        area = around(Box(min(tops), max(bottoms), min(lefts), max(rights)), *excerpt.planes.shape[1:])
        part = part_of(excerpt.planes, area)
        mask, own = np.zeros(part.shape, bool), np.zeros(part.shape, bool)
        for tile, box in unknown:
            rows = slice(max(box.top - area.top, 0), max(box.bottom - area.top, 0))
            columns = slice(max(box.left - area.left, 0), max(box.right - area.left, 0))
            mask[tile.intact :, rows, columns] = True
            own[tile.intact :, rows, columns] = tile in group
        before = part.copy()
        _fill(codec, excerpt.planes, area, mask, 1.0, np.random.default_rng(0))
        # The area may reach into tiles of other groups.
        np.copyto(part, before, where=mask & ~own)


def around(hole: Box, rows: int, columns: int) -> Box:
    """A hole with its margin, inside a grid."""
    return Box(
        max(hole.top - MARGIN, 0),
        min(hole.bottom + MARGIN, rows),
        max(hole.left - MARGIN, 0),
        min(hole.right + MARGIN, columns),
    )


def part_of(planes: np.ndarray, box: Box) -> np.ndarray:
    """A view of the rectangle of index planes (s, h, w)."""
    return planes[:, box.top : box.bottom, box.left : box.right]


def _touching(tiles: Sequence[DamagedTile]) -> Iterator[set[DamagedTile]]:
    """Groups of tiles that have lost their first stage and are connected by edges or corners; all others alone."""
    left = {tile.place: tile for tile in tiles if not tile.intact}
    yield from ({tile} for tile in tiles if tile.intact)
    while left:
        group, reached = set(), [next(iter(left))]
        while reached:
            row, column = place = reached.pop()
            if place in left:
                group.add(left.pop(place))
                reached += [(row + down, column + over) for down in (-1, 0, 1) for over in (-1, 0, 1)]
        yield group


@torch.inference_mode()
def _fill(
    codec: Codec,
    planes: np.ndarray,
    area: Box,
    mask: np.ndarray,
    temperature: float,
    rng: np.random.Generator,
) -> None:
    """Fill what is masked (s, h, w) of an area, in place."""
    part = part_of(planes, area).astype(np.int64)
    lost = mask[0].any()
    surroundings = _Surroundings(codec, part, mask) if lost and not mask[-1].all() else None
    if isinstance(codec.coder, ContextCoder):
        if surroundings:
            surroundings.continue_stage(0)
        shift = (area.top + area.left) % 2
        _draw(codec.coder.model, part, mask, surroundings, shift, temperature, rng)
    elif lost and not surroundings:
        raise ModelError("the model has no context model to draw from (`vqcodec train-context` makes one)")
    else:
        # To positions of which some stages are known, nothing is added.
        part[mask] = 0
        for stage in range(len(part) if surroundings else 0):
            surroundings.continue_stage(stage)
    part_of(planes, area)[mask] = part[mask]


class _Surroundings:
    """What known positions of a rectangle say of the others, beyond the reach of the context model.

    Args:
        codec: with the model.
        planes: (s, h, w) int64.
        mask: of the same shape, true where indices are not known.
    """

    def __init__(self, codec: Codec, planes: np.ndarray, mask: np.ndarray) -> None:
        self._codebooks = codec.model.quantizer.codebooks.cpu()
        self._planes, self._mask = planes, mask
        known = torch.from_numpy(~mask[-1])
        latents = torch.zeros(*known.shape, self._codebooks.shape[2])
        for stage, plane in enumerate(planes):
            latents[known] += self._codebooks[stage][torch.from_numpy(plane)[known]]
        self._smooth = spread(latents, known)
        # How far latents are from the average around them, as a rule.
        off = (latents - _average(self._smooth))[known]
        self._usual = off.square().sum(1).mean().clamp_min(1e-6)

    def continue_stage(self, stage: int) -> None:
        """Put the codewords that continue the surroundings best where nothing is known, given the stages before."""
        hole = torch.from_numpy(self._mask[0].copy())
        missing = self._smooth[hole]
        for earlier in range(stage):
            missing = missing - self._codebooks[earlier][torch.from_numpy(self._planes[earlier])[hole]]
        nearest = torch.cdist(missing, self._codebooks[stage]).argmin(1)
        self._planes[stage][self._mask[0]] = nearest.numpy()

    def chances(self, down: Tensor, over: Tensor, indices: np.ndarray) -> np.ndarray:
        """How indices (n, m) of the first stage rate at n positions, (n, m): more if nearer to the continuation."""
        off = self._smooth[down, over][:, None] - self._codebooks[0][torch.from_numpy(indices)]
        off = off.square().sum(2) / self._usual
        return torch.exp(off.amin(1, keepdim=True) - off).numpy()


def _draw(
    model: ContextModel,
    planes: np.ndarray,
    mask: np.ndarray,
    surroundings: _Surroundings | None,
    shift: int,
    temperature: float,
    rng: np.random.Generator,
) -> None:
    """Draw what is masked from the context model, stage by stage, in place.

    Args:
        model: the context model.
        planes: (s, h, w) int64; with surroundings, the first stage holds something to begin with.
        mask: of the same shape.
        surroundings: what is known besides; `None` where nothing is.
        shift: 1 if the top left position is one of the second pass.
        temperature, rng: as of `complete`.
    """
    rows, columns = planes.shape[1:]
    parity = (np.add.outer(np.arange(rows), np.arange(columns)) + shift) % 2
    # A border of zeros around everything, as in `ContextState`.
    before = torch.zeros(rows + 2 * BORDER, columns + 2 * BORDER, model.channels)
    for stage, (plane, hole) in enumerate(zip(planes, mask, strict=True)):
        added = embedding = model.weights.embedding[stage].float()
        if stage == 0 and model.weights.own_first:
            embedding = model.weights.first_embedding[0].float()
        current = torch.zeros(rows + 2 * BORDER, columns + 2 * BORDER, embedding.shape[1])
        inside = current[BORDER:-BORDER, BORDER:-BORDER]
        inside[:] = embedding[torch.from_numpy(plane)]
        guide = surroundings if stage == 0 and temperature else None
        begun = stage == 0 and surroundings
        rounds = 1 if stage else ROUNDS_INSIDE if surroundings else ROUNDS_FROM_NOTHING
        if not begun:
            inside[torch.from_numpy(hole.copy())] = 0
        known_before = before.clamp(-ACTIVATION_MAX, ACTIVATION_MAX)
        passes = [torch.from_numpy(np.argwhere(hole & (parity == which))) for which in (0, 1)]
        # Positions of one pass do not depend on each other, and can be drawn in parts.
        parts = [(which, part.T) for which, all_of_it in enumerate(passes) for part in all_of_it.split(BLOCK)]
        for number in range(rounds):
            for which, (down, over) in parts:
                base = _beside(known_before, down, over, NEIGHBOURHOOD)
                around = AROUND[-1] if embedding is added else AROUND_FIRST[-1]
                known = _beside(current, down, over, around) if begun or number or which else None
                drawn = _draw_indices(model, stage, base, known, CANDIDATES if guide else 1, temperature, rng)
                taken = _choose(guide.chances(down, over, drawn), 1.0, rng)[:, None] if guide else [[0]]
                drawn = np.take_along_axis(drawn, np.broadcast_to(taken, (len(drawn), 1)), 1)[:, 0]
                plane[down.numpy(), over.numpy()] = drawn
                inside[down, over] = embedding[torch.from_numpy(drawn)]
        before[BORDER:-BORDER, BORDER:-BORDER] += added[torch.from_numpy(plane)]


def _beside(maps: Tensor, down: Tensor, over: Tensor, offsets: Sequence[tuple[int, int]]) -> Tensor:
    """What stands beside n positions in maps (h, w, E) with a border, side by side: (n, len(offsets) * E)."""
    return torch.cat([maps[down + BORDER + y, over + BORDER + x] for y, x in offsets], 1)


def _draw_indices(
    model: ContextModel,
    stage: int,
    before: Tensor,
    known: Tensor | None,
    count: int,
    temperature: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw indices (n, count) at n positions from what the model says of them.

    Args:
        model: the context model.
        stage: of the indices.
        before: (n, 9E) embeddings of the stages before, in the 3x3 neighbourhood.
        known: embeddings of this stage, side by side, where its last pass looks, if it is to depend on them.
        count: draws at each position.
        temperature, rng: as of `complete`.
    """
    which = 0 if known is None else model.weights.last_pass(stage)
    (factor, row), bias = model.weights.of_pass(stage, which)
    total = torch.zeros(len(before), len(bias))
    if known is not None:
        total += known @ model.factors[factor][row].T
    if stage or not model.weights.own_first:
        name, row = model.weights.of("w1", stage)
        total += before @ model.factors[name][row].T
    hidden = _shifted(total, bias).clamp(0, ACTIVATION_MAX).to(torch.int8)
    hidden = model.layer(hidden, "w2", "b2", stage).clamp(0, ACTIVATION_MAX).to(torch.int8)
    logits = model.layer(hidden, "wg", "bg", stage)
    groups = _choose(model.frequencies(logits).repeat(count, 0), temperature, rng)
    group = torch.from_numpy(groups)
    hidden = hidden.repeat_interleave(count, 0)
    hidden = model.layer(hidden, "w3", "e3", stage, group).clamp(0, ACTIVATION_MAX).to(torch.int8)
    logits = model.member_logits(hidden, stage, group)
    members = _choose(model.frequencies(logits), temperature, rng)
    return (groups * model.members + members).reshape(-1, count)


def _shifted(total: Tensor, bias: Tensor) -> Tensor:
    return (total.to(torch.int32) + bias + (1 << WEIGHT_BITS - 1)) >> WEIGHT_BITS


def _choose(frequencies: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a symbol (n,) for each row of frequencies (n, A), of any scale."""
    if temperature == 0:
        return frequencies.argmax(1)
    chances = (frequencies / frequencies.max(1, keepdims=True)) ** (1 / temperature)
    sums = chances.cumsum(1)
    drawn = rng.random((len(sums), 1)) * sums[:, -1:]
    return np.minimum((sums <= drawn).sum(1), frequencies.shape[1] - 1)


def spread(values: Tensor, known: Tensor) -> Tensor:
    """Continue values (h, w, D) smoothly from where they are known (h, w) to everywhere.

    By averages over ever larger squares, and back by interpolation (pull-push, Gortler et al., SIGGRAPH 1996); on the
    way back each size is smoothed.
    """
    if known.all():
        return values
    rows, columns = known.shape
    border = (0, columns % 2, 0, rows % 2)
    weights = F.pad(known.float()[None, None], border)
    maps = F.pad((values * known[..., None]).permute(2, 0, 1)[None], border)
    share = F.avg_pool2d(weights, 2)
    coarse = (F.avg_pool2d(maps, 2) / share.clamp_min(1e-9))[0].permute(1, 2, 0)
    coarse = spread(coarse, share[0, 0] > 0)
    fine = F.interpolate(coarse.permute(2, 0, 1)[None], scale_factor=2.0, mode="bilinear")
    filled = fine[0, :, :rows, :columns].permute(1, 2, 0)
    for _ in range(4):
        filled = _average(torch.where(known[..., None], values, filled))
    return torch.where(known[..., None], values, filled)


def _average(values: Tensor) -> Tensor:
    """Mean over the 3x3 neighbourhood of maps (h, w, D)."""
    padded = F.pad(values.permute(2, 0, 1)[None], (1, 1, 1, 1), mode="replicate")
    return F.avg_pool2d(padded, 3, stride=1)[0].permute(1, 2, 0)

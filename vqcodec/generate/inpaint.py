"""Inpainting of masked positions of index planes from their surroundings, and sampling of whole pictures.

The context model gives the probabilities of an index from the earlier stages and, in the last pass over a
stage, from its neighbours. The last pass's model holds for positions of any pass. So an unknown first stage
is drawn position by position, in several rounds, each position given its neighbours (Gibbs sampling). The
later stages are drawn in two passes, in the order in which files hold them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vqcodec.entropy.context import ContextModel
from vqcodec.entropy.passes import AROUND, AROUND_FIRST, NEIGHBOURHOOD
from vqcodec.entropy.weights import ACTIVATION_MAX
from vqcodec.errors import ModelError
from vqcodec.generate.prior import Prior
from vqcodec.generate.spread import Surroundings
from vqcodec.geometry import Box

# Rounds over an unknown first stage. If it starts as a continuation of the surroundings, more rounds only
# lead away from that. If it starts from nothing, it takes more rounds until neighbours agree.
ROUNDS_INSIDE = 4
ROUNDS_FROM_NOTHING = 16
# Draw this many candidates from the context model, and choose one by its distance to the continuation of the
# surroundings. Otherwise a hole fills with things of any colour, and a hole in plain surroundings looks worse
# than one filled with a mean colour.
CANDIDATES = 8
# Number of positions around a hole to look at.
MARGIN = 4
# Number of positions to draw at once, to bound memory.
BLOCK = 1 << 14
# Reach of the last pass of any stage.
_BORDER = 2


def complete(
    prior: Prior,
    planes: np.ndarray,
    mask: np.ndarray,
    temperature: float = 1.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Fill masked positions of index planes with indices that the model finds likely, given all others.

    A model without a context model continues the surroundings smoothly instead, without random draws.

    Args:
        prior: of the model, `Codec.prior`.
        planes: (s, h, w) integers. The values at masked positions do not matter.
        mask: bool, true where indices are to be filled: (h, w) for all stages, or (s, h, w). What is masked
            in a stage must be masked in all later stages.
        temperature: 1 samples from the model's probabilities; 0 takes the most likely index each time.
        rng: random generator; unpredictable by default.

    Returns:
        (s, h, w), with the dtype of `planes`.

    Raises:
        ValueError: the mask does not fit the planes, or the temperature is negative.
        vqcodec.errors.ModelError: no position is known, and the model has no context model.
    """
    mask = np.broadcast_to(mask, planes.shape)
    if mask.dtype != bool or (mask[:-1] & ~mask[1:]).any():
        raise ValueError("a mask is of type bool, and what is masked in a stage is masked in all later ones")
    if temperature < 0:
        raise ValueError(f"the temperature is {temperature}, below 0")
    out = planes.copy()
    if mask.any():
        rows, columns = (np.flatnonzero(mask[-1].any(axis)) for axis in (1, 0))
        hole = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        area = surrounded(hole, Box(0, 0, mask.shape[2], mask.shape[1]))
        rng = np.random.default_rng() if rng is None else rng
        fill(prior, out, area, area.of(mask), temperature, rng)
    return out


def sample(
    prior: Prior,
    rows: int,
    columns: int,
    temperature: float = 1.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Sample index planes (S, rows, columns) uint16 of a picture from the model.

    Args:
        prior: of a model with a context model, `Codec.prior`.
        rows, columns: size in latent positions.
        temperature, rng: see `complete`.

    Raises:
        ValueError: the temperature is negative.
        vqcodec.errors.ModelError: the model has no context model.
    """
    planes = np.zeros((len(prior.codebooks), rows, columns), np.uint16)
    return complete(prior, planes, np.ones(planes.shape, bool), temperature, rng)


def surrounded(hole: Box, grid: Box) -> Box:
    """Return a hole with its margin of `MARGIN` positions, clipped to a grid."""
    return hole.grown(MARGIN).clipped(grid)


@torch.inference_mode()
def fill(
    prior: Prior,
    planes: np.ndarray,
    area: Box,
    mask: np.ndarray,
    temperature: float,
    rng: np.random.Generator,
) -> None:
    """Fill the masked positions of an area of index planes, in place.

    Args:
        prior: of the model.
        planes: (s, H, W) integers.
        area: box of latent positions that holds the hole and its surroundings.
        mask: (s, h, w) bool, of the size of `area`.
        temperature, rng: see `complete`.

    Raises:
        vqcodec.errors.ModelError: no position is known, and the model has no context model.
    """
    part = area.of(planes).astype(np.int64)
    lost = mask[0].any()
    surroundings = Surroundings(prior.codebooks, part, mask) if lost and not mask[-1].all() else None
    if prior.context:
        if surroundings:
            surroundings.continue_stage(0)
        shift = (area.top + area.left) % 2
        _draw(prior.context, part, mask, surroundings, shift, temperature, rng)
    elif lost and not surroundings:
        raise ModelError("the model has no context model to draw from (`vqcodec train-context` makes one)")
    else:
        # Where some stages are known, the others add nothing: index 0.
        part[mask] = 0
        if surroundings:
            for stage in range(len(part)):
                surroundings.continue_stage(stage)
    area.of(planes)[mask] = part[mask]


def _draw(
    model: ContextModel,
    planes: np.ndarray,
    mask: np.ndarray,
    surroundings: Surroundings | None,
    shift: int,
    temperature: float,
    rng: np.random.Generator,
) -> None:
    """Draw the masked indices from the context model, stage by stage, in place.

    Args:
        model: the context model.
        planes: (s, h, w) int64. With surroundings, the first stage holds a starting point.
        mask: bool, same shape.
        surroundings: continuation of the known positions; `None` if there is none.
        shift: 1 if the top left position belongs to the second pass, else 0.
        temperature, rng: see `complete`.
    """
    rows, columns = planes.shape[1:]
    parity = (np.add.outer(np.arange(rows), np.arange(columns)) + shift) % 2
    # A border of zeros surrounds everything: outside, nothing is known.
    before = torch.zeros(rows + 2 * _BORDER, columns + 2 * _BORDER, model.channels, dtype=torch.int16)
    for stage, (plane, hole) in enumerate(zip(planes, mask, strict=True)):
        added = model.embedding[stage]
        embedding = added if stage else model.first_embedding
        around = AROUND[-1] if stage else AROUND_FIRST[-1]
        current = before.new_zeros(*before.shape[:2], embedding.shape[1], dtype=torch.int8)
        inside = current[_BORDER:-_BORDER, _BORDER:-_BORDER]
        inside[:] = embedding[torch.from_numpy(plane)]
        guide = surroundings if stage == 0 and temperature else None
        begun = stage == 0 and surroundings
        rounds = 1 if stage else ROUNDS_INSIDE if surroundings else ROUNDS_FROM_NOTHING
        if not begun:
            inside[torch.from_numpy(hole.copy())] = 0
        known_before = before.clamp(-ACTIVATION_MAX, ACTIVATION_MAX).to(torch.int8)
        passes = [torch.from_numpy(np.argwhere(hole & (parity == which))) for which in (0, 1)]
        # Positions of one pass do not depend on each other, so they can be drawn in parts.
        parts = [(which, part.T) for which, all_of_it in enumerate(passes) for part in all_of_it.split(BLOCK)]
        for number in range(rounds):
            for which, (down, over) in parts:
                base = _beside(known_before, down, over, NEIGHBOURHOOD)
                known = _beside(current, down, over, around) if begun or number or which else None
                drawn = _draw_indices(model, stage, base, known, CANDIDATES if guide else 1, temperature, rng)
                taken = _choose(guide.chances(down, over, drawn), 1.0, rng)[:, None] if guide else [[0]]
                drawn = np.take_along_axis(drawn, np.broadcast_to(taken, (len(drawn), 1)), 1)[:, 0]
                plane[down.numpy(), over.numpy()] = drawn
                inside[down, over] = embedding[torch.from_numpy(drawn)]
        before[_BORDER:-_BORDER, _BORDER:-_BORDER] += added[torch.from_numpy(plane)]


def _beside(maps: Tensor, down: Tensor, over: Tensor, offsets: Sequence[tuple[int, int]]) -> Tensor:
    """Gather bordered maps (h, w, E) at offsets from n positions, side by side: (n, len(offsets) * E)."""
    return torch.cat([maps[down + _BORDER + y, over + _BORDER + x] for y, x in offsets], 1)


def _draw_indices(
    model: ContextModel,
    stage: int,
    before: Tensor,
    known: Tensor | None,
    count: int,
    temperature: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw indices (n, count) at n positions from the context model.

    Args:
        model: the context model.
        stage: number of the stage, from 0.
        before: (n, 9E) embeddings of the earlier stages, in the 3x3 neighbourhood.
        known: embeddings of this stage where its last pass looks, side by side; `None` to ignore them.
        count: number of draws at each position.
        temperature, rng: see `complete`.
    """
    which = 0 if known is None else model.last_pass(stage)
    total = model.of_own_stage(stage, which, known)
    total = model.of_stages_before(stage, before) + total if stage else total.expand(len(before), -1).clone()
    hidden = model.hidden(stage, total).repeat_interleave(count, 0)
    groups = _choose(model.group_frequencies(stage, hidden), temperature, rng)
    frequencies = model.member_frequencies(stage, hidden, torch.from_numpy(groups))
    members = _choose(frequencies, temperature, rng)
    return (groups * model.members + members).reshape(-1, count)


def _choose(frequencies: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a symbol (n,) for each row of frequencies (n, A), of any scale."""
    if temperature == 0:
        return frequencies.argmax(1)
    chances = (frequencies / frequencies.max(1, keepdims=True)) ** (1 / temperature)
    sums = chances.cumsum(1)
    drawn = rng.random((len(sums), 1)) * sums[:, -1:]
    return np.minimum((sums <= drawn).sum(1), frequencies.shape[1] - 1)

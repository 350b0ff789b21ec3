"""Inpainting of masked positions of planes from their surroundings, and drawing of detail over a base.

The base of a hole is continued smoothly from around it. Layers are drawn from the context model in the order in which
files hold them, each index given those before it; known indices take their place in that order.
"""

from __future__ import annotations

import numpy as np

from vqcodec.config import CHROMA
from vqcodec.entropy.base import clipped
from vqcodec.entropy.context import ContextModel
from vqcodec.errors import ModelError
from vqcodec.generate.prior import Prior
from vqcodec.generate.spread import continued, nearest
from vqcodec.geometry import Box
from vqcodec.planes import Planes

MARGIN = 8
"""Positions around a hole that what fills it may depend on."""


def complete(
    prior: Prior,
    planes: Planes,
    mask: np.ndarray,
    temperature: float = 1.0,
    rng: np.random.Generator | None = None,
) -> Planes:
    """Fill masked positions of planes with what the model finds likely, given all others.

    The base of a hole is continued smoothly, in the steps that are there. Without a context model, no detail is added.

    Args:
        prior: of the model, `Codec.prior`.
        planes: of a picture; the values at masked positions do not matter, but for steps of the base.
        mask: bool, true at positions of the grid that are to be filled: (h, w) for all stages, or (stages, h, w),
            where the base, if there is one, is the first stage. What is masked in a stage must be masked in all later
            stages.
        temperature: 1 samples from the model's probabilities; 0 takes the most likely index each time.
        rng: random generator; unpredictable by default.

    Raises:
        ValueError: the mask does not fit the planes, or the temperature is negative.
        vqcodec.errors.ModelError: no position is known, and the model has neither base nor context model.
    """
    mask = np.broadcast_to(mask, (planes.stages, *planes.grid))
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
    prior: Prior, start: Planes, temperature: float = 1.0, rng: np.random.Generator | None = None
) -> Planes:
    """Draw all layers of a picture from the model.

    Args:
        prior: of a model with a context model, `Codec.prior`.
        start: base and rate of the picture; its layers do not matter. `Planes.empty` makes one for models without a
            base.
        temperature, rng: see `complete`.

    Raises:
        ValueError: the temperature is negative.
        vqcodec.errors.ModelError: the model has no context model.
    """
    if prior.context is None:
        raise _nothing_to_draw_from()
    scales = [layer.scale for layer in prior.layers]
    planes = Planes.empty(start.grid, scales, start.base is not None, start.rate)
    planes.base, planes.steps = start.base, start.steps
    mask = np.ones((planes.stages, *planes.grid), bool)
    mask[: planes.base is not None] = False
    return complete(prior, planes, mask, temperature, rng)


def surrounded(hole: Box, grid: Box) -> Box:
    """Return a hole with its margin of `MARGIN` positions, clipped to a grid."""
    return hole.grown(MARGIN).clipped(grid)


def fill(
    prior: Prior, planes: Planes, area: Box, mask: np.ndarray, temperature: float, rng: np.random.Generator
) -> None:
    """Fill the masked positions of an area of planes, in place.

    Args:
        prior: of the model.
        planes: of a picture.
        area: box of positions that holds the hole and its surroundings.
        mask: (stages, h, w) bool, of the size of `area`.
        temperature, rng: see `complete`.

    Raises:
        vqcodec.errors.ModelError: no position is known, and the model has neither base nor context model.
    """
    part = planes.part(area)
    if part.base is not None and part.steps is not None:
        _continue_base(part.base, part.steps, mask[0])
        mask = mask[1:]
    masks = [part.on_layer(layer, hole) for layer, hole in enumerate(mask)]
    if prior.context is not None:
        _draw(prior.context, part, masks, temperature, rng)
        return
    for plane, hole in zip(part.layers, masks, strict=True):
        plane[hole] = 0
    if part.base is None and mask[0].any():
        if mask[0].all():
            raise _nothing_to_draw_from()
        part.layers[0][masks[0]] = nearest(prior.codebooks[0], part.layers[0], masks[0])


def _nothing_to_draw_from() -> ModelError:
    return ModelError("the model has no context model to draw from (`vqcodec train-context` makes one)")


def _continue_base(base: np.ndarray, steps: np.ndarray, hole: np.ndarray) -> None:
    """Continue a base (3, h, w) with steps (h, w) smoothly into a hole (h, w), in place; grey if nothing is known."""
    if not hole.any():
        return
    factors = np.array([1, CHROMA, CHROMA])[:, None, None]
    levels = (base * factors * steps).astype(np.float32)
    if hole.all():
        levels[:] = np.array([128, 0, 0])[:, None, None]
    else:
        levels = continued(levels.transpose(1, 2, 0), ~hole).transpose(2, 0, 1)
    # White in a coarse step may be above 255, and continue into a finer one.
    base[:, hole] = clipped(np.rint(levels / (factors * steps)), steps)[:, hole]


def _draw(
    model: ContextModel,
    part: Planes,
    masks: list[np.ndarray],
    temperature: float,
    rng: np.random.Generator,
) -> None:
    """Draw the masked indices of all layers from the context model, in place.

    Args:
        model: the context model.
        part: planes, with a complete base if the model has one.
        masks: of each layer, bool of its shape.
        temperature, rng: see `complete`.
    """
    base = steps = None
    if part.base is not None and part.steps is not None:
        base, steps = part.base[None], part.steps[None]
    state = model.start(1, *part.grid, part.rate, base, steps)
    for layer, (plane, hole) in enumerate(zip(part.layers, masks, strict=True)):
        known, lost = plane.reshape(-1).astype(np.int64), hole.reshape(-1)
        state.begin(layer)
        for _ in range(state.passes()):
            positions, _ = state.next_pass()
            if not len(positions):
                continue
            unknown, indices = lost[positions], known[positions]
            first, _ = model.symbols(layer, indices)
            tables = state.group_frequencies()
            if not model.layers[layer].ends:
                # No index has this symbol.
                tables[:, 0] = 0
            first[unknown] = _choose(tables[unknown], temperature, rng)
            tables = state.member_frequencies(first)
            drawn = np.zeros_like(first)
            drawn[first != 0] = _choose(tables, temperature, rng)
            state.update(np.where(unknown, model.indices(layer, first, drawn), indices))
        state.end()
        # Where a position does not go on, index 0 is all that there can be.
        plane[hole] = state.plane.reshape(plane.shape)[hole]


def _choose(frequencies: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a symbol (n,) for each row of frequencies (n, A), of any scale."""
    if temperature == 0:
        return frequencies.argmax(1)
    chances = (frequencies / frequencies.max(1, keepdims=True)) ** (1 / temperature)
    sums = chances.cumsum(1)
    drawn = rng.random((len(sums), 1)) * sums[:, -1:]
    return np.minimum((sums <= drawn).sum(1), frequencies.shape[1] - 1)

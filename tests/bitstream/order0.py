"""The simplest coder on top of `bitstream`: one frequency table per stage, symbols row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import bitstream

BASE = 0
"""Stands for the base where a layer has its scale."""

SHIFT = 32
"""Added to the numbers of the base, which may be negative, to make symbols of them."""

STEPS = np.full(256, 1 << 8)
"""Frequencies of the step of the base."""


class Stage(NamedTuple):
    """How a stage is coded.

    Args:
        scale: indices along each side of a position; `BASE` for the base.
        table: frequencies (K,) of its symbols, of sum 2**16.
        before: the stage whose index 0 ends a position, so that this one has index 0 there and is not coded; -1 if
            none does.
    """

    scale: int
    table: np.ndarray
    before: int = -1


Planes = list[np.ndarray]
"""Integers of each stage of a picture, or of a tile.

A layer has shape (scale * rows, scale * columns). The base has shape (4, rows, columns): the step, the same in
a tile, and Y, Co and Cg.
"""


def random_tables(rng: np.random.Generator, number: int, size: int) -> np.ndarray:
    """Uneven frequencies of sum 2**16, shape (number, size)."""
    shares = rng.dirichlet(np.full(size, 0.3), number)
    tables = np.floor(shares * (bitstream.FREQUENCY_SUM - size)).astype(np.int64) + 1
    tables[np.arange(number), tables.argmax(1)] += bitstream.FREQUENCY_SUM - tables.sum(1)
    return tables


def random_stages(rng: np.random.Generator, stages: Sequence[tuple[int, int, int]]) -> list[Stage]:
    """Stages with random tables, from the scale, the size of the alphabet and `before` of each.

    Index 0 is the most frequent one where it ends positions.
    """
    ending = {before for _, _, before in stages}
    out = []
    for number, (scale, size, before) in enumerate(stages):
        table = random_tables(rng, 1, size)[0]
        if number in ending:
            most = table.argmax()
            table[[0, most]] = table[[most, 0]]
        out.append(Stage(scale, table, before))
    return out


def random_planes(rng: np.random.Generator, header: bitstream.Header, stages: Sequence[Stage]) -> Planes:
    """Planes of a picture, drawn from the tables."""
    planes: Planes = []
    for stage in stages:
        rows, columns = header.grid
        shape = (3, rows, columns) if stage.scale == BASE else (stage.scale * rows, stage.scale * columns)
        drawn = rng.choice(len(stage.table), shape, p=stage.table / stage.table.sum())
        if stage.scale == BASE:
            steps = np.empty((1, rows, columns), np.int16)
            for index in range(header.tiles):
                steps[window(header, index)] = rng.integers(1, 256)
            planes.append(np.concatenate([steps, drawn - SHIFT]).astype(np.int16))
        else:
            planes.append((drawn * _coded(stage, planes, drawn.shape)).astype(np.uint16))
    return planes


def encode(header: bitstream.Header, planes: Planes, stages: Sequence[Stage]) -> list[bitstream.TileStream]:
    """Code all tiles of the planes of a picture."""
    return [encode_tile(header, index, planes, stages) for index in range(header.tiles)]


def encode_tile(
    header: bitstream.Header, index: int, planes: Planes, stages: Sequence[Stage]
) -> bitstream.TileStream:
    writer = bitstream.TileWriter()
    parts = tile_of(header, index, planes)
    for part, stage in zip(parts, stages, strict=True):
        if stage.scale == BASE:
            writer.encode(part[0, :1, 0], STEPS)
            writer.encode(part[1:].ravel() + SHIFT, stage.table)
        else:
            writer.encode(part[_coded(stage, parts, part.shape)], stage.table)
        writer.end_stage(checked(part))
    return writer.finish()


def decode(container: bitstream.Container, stages: Sequence[Stage]) -> Planes:
    """Decode the given first stages of all tiles."""
    header = container.header
    rows, columns = header.grid
    planes: Planes = []
    for stage in stages:
        shape = (4, rows, columns) if stage.scale == BASE else (stage.scale * rows, stage.scale * columns)
        planes.append(np.zeros(shape, np.int16 if stage.scale == BASE else np.uint16))
    for index in range(header.tiles):
        parts = decode_tile(container, index, stages)
        for place, part in zip(tile_of(header, index, planes), parts, strict=True):
            place[...] = part
    return planes


def decode_tile(container: bitstream.Container, index: int, stages: Sequence[Stage]) -> Planes:
    """Decode the given first stages of a tile."""
    reader = container.payload.tile(index, len(stages))
    tile = container.header.tile(index)
    parts: Planes = []
    for stage in stages:
        if stage.scale == BASE:
            part = np.empty((4, tile.rows, tile.columns), np.int16)
            part[0] = reader.decode(STEPS, 1)
            part[1:] = reader.decode(stage.table, part[1:].size).reshape(part[1:].shape) - SHIFT
        else:
            part = np.zeros((stage.scale * tile.rows, stage.scale * tile.columns), np.uint16)
            coded = _coded(stage, parts, part.shape)
            part[coded] = reader.decode(stage.table, np.count_nonzero(coded))
        reader.end_stage(checked(part))
        parts.append(part)
    return parts


def assert_same(planes: Planes, expected: Planes) -> None:
    """Compare planes, and how many there are."""
    for plane, other in zip(planes, expected, strict=True):
        np.testing.assert_array_equal(plane, other)


def checked(part: np.ndarray) -> np.ndarray:
    """The plane of a stage of a tile that its check is made of."""
    if part.ndim == 2:
        return part
    return np.concatenate([part[0, :1], *part[1:]]).view(np.uint16)


def tile_of(header: bitstream.Header, index: int, planes: Planes) -> Planes:
    """The part of a tile of the planes of a picture, as views."""
    rows = header.grid[0]
    return [plane[window(header, index, plane.shape[-2] // rows)] for plane in planes]


def window(header: bitstream.Header, index: int, scale: int = 1) -> tuple:
    """Index of a tile into a plane, whose last axes are rows and columns."""
    tile = header.tile(index)
    top, left = scale * tile.top, scale * tile.left
    return ..., slice(top, top + scale * tile.rows), slice(left, left + scale * tile.columns)


def _coded(stage: Stage, parts: Planes, shape: tuple[int, ...]) -> np.ndarray:
    if stage.before < 0:
        return np.ones(shape, bool)
    return parts[stage.before] > 0

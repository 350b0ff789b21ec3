"""The simplest coder on top of `bitstream`: one frequency table per stage, symbols row by row."""

import numpy as np

import bitstream


def random_tables(rng: np.random.Generator, stages: int, codebook_size: int) -> np.ndarray:
    """Uneven frequencies of sum 2**16, shape (stages, codebook_size)."""
    shares = rng.dirichlet(np.full(codebook_size, 0.3), stages)
    tables = np.floor(shares * (bitstream.FREQUENCY_SUM - codebook_size)).astype(np.int64) + 1
    tables[np.arange(stages), tables.argmax(1)] += bitstream.FREQUENCY_SUM - tables.sum(1)
    return tables


def random_planes(rng: np.random.Generator, header: bitstream.Header, tables: np.ndarray) -> np.ndarray:
    """Indices drawn from the tables, uint16 of shape (stages, rows, columns)."""
    planes = [rng.choice(len(table), header.grid, p=table / table.sum()) for table in tables]
    return np.array(planes, np.uint16)


def encode(header: bitstream.Header, planes: np.ndarray, tables: np.ndarray) -> list[bitstream.TileStream]:
    """Code all tiles of planes (stages, rows, columns) with tables (stages, codebook size)."""
    return [encode_tile(header, index, planes, tables) for index in range(header.tiles)]


def encode_tile(header: bitstream.Header, index: int, planes: np.ndarray, tables: np.ndarray):
    writer = bitstream.TileWriter()
    for plane, table in zip(planes, tables, strict=True):
        part = plane[window(header, index)]
        writer.encode(part.ravel(), table)
        writer.end_stage(part)
    return writer.finish()


def decode(container: bitstream.Container, tables: np.ndarray, stages: int | None = None) -> np.ndarray:
    """Decode all tiles, by default all stages, to planes of shape (stages, rows, columns)."""
    stages = container.header.stages if stages is None else stages
    planes = np.zeros((stages, *container.header.grid), np.uint16)
    for index in range(container.header.tiles):
        planes[(slice(None), *window(container.header, index))] = decode_tile(
            container, index, tables, stages
        )
    return planes


def decode_tile(container: bitstream.Container, index: int, tables: np.ndarray, stages: int) -> np.ndarray:
    reader = container.payload.tile(index, stages)
    tile = container.header.tile(index)
    planes = []
    for table in tables[:stages]:
        plane = reader.decode(table, tile.rows * tile.columns).reshape(tile.rows, tile.columns)
        reader.end_stage(plane)
        planes.append(plane)
    return np.array(planes)


def window(header: bitstream.Header, index: int) -> tuple[slice, slice]:
    """Rows and columns of a tile in the latent grid."""
    tile = header.tile(index)
    return slice(tile.top, tile.top + tile.rows), slice(tile.left, tile.left + tile.columns)

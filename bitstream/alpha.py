"""Lossless coding of the alpha plane: two bytes if it is constant, else neighbour differences and LZMA."""

from collections.abc import Iterator

import numpy as np

from .errors import CorruptChunk

_CONSTANT = 0
_CODED = 1  # plus _LEFT and _UP where they apply
_LEFT = 1
_UP = 2

_DICTIONARY = 1 << 22
_SAMPLE = 1 << 20  # number of pixels on which the predictors are compared
_STRIP = 1 << 20  # number of pixels decoded at a time


def pack_alpha(alpha: np.ndarray) -> bytes:
    """Encode an alpha plane as the body of the alpha chunk.

    Args:
        alpha: (height, width) uint8, not empty.

    Raises:
        ValueError: the plane is not uint8.
    """
    if alpha.dtype != np.uint8:
        raise ValueError(f"alpha of type {alpha.dtype}, not uint8")
    value = alpha[0, 0]
    if np.all(alpha == value):
        return bytes([_CONSTANT, value])
    # Sample whole rows from all over the plane, so that a margin does not decide the method.
    rows = max(_SAMPLE // alpha.shape[1], 1)
    sample = alpha[:: -(-len(alpha) // rows)] if alpha.size > _SAMPLE else alpha
    best = min(range(4), key=lambda method: len(_compress(_differences(sample, method))))
    return bytes([_CODED + best]) + _compress(_differences(alpha, best))


def unpack_alpha(body: memoryview, width: int, height: int, y: int, rows: int) -> np.ndarray:
    """Decode rows `y` to `y + rows - 1` of the alpha plane.

    Memory grows with the rows that the body really holds, not with what the header claims.

    Args:
        body: body of the alpha chunk.
        width, height: size of the plane.
        y: first row.
        rows: number of rows, at least 1.

    Returns:
        (rows, width) uint8, possibly read-only.

    Raises:
        CorruptChunk: the body does not hold a plane of this size.
        ValueError: the rows are outside the plane.
    """
    if not 0 <= y < y + rows <= height:
        raise ValueError(f"rows {y} to {y + rows - 1} of {height}")
    if len(body) < 2 or body[0] > _CODED + (_LEFT | _UP) or (body[0] == _CONSTANT and len(body) > 2):
        raise CorruptChunk("chunk A does not hold an alpha plane")
    if body[0] == _CONSTANT:
        return np.broadcast_to(np.uint8(body[1]), (rows, width))
    method = body[0] - _CODED
    above = np.zeros(width, np.uint8)
    kept = []
    start = 0
    for strip in _decompress(body[1:], width, height, y + rows):
        # Sums of uint8 wrap around, as the differences did.
        plane = np.cumsum(strip, axis=1, dtype=np.uint8) if method & _LEFT else strip
        if method & _UP:
            plane = np.cumsum(plane, axis=0, dtype=np.uint8)
            plane += above
            above = plane[-1]
        kept.append(plane[max(y - start, 0) : max(y + rows - start, 0)])
        start += len(strip)
    return np.concatenate(kept)


def _differences(alpha: np.ndarray, method: int) -> np.ndarray:
    plane = alpha.copy()
    if method & _LEFT:
        plane[:, 1:] -= alpha[:, :-1]
    if method & _UP:
        plane[1:] -= plane[:-1].copy()
    return plane


def lzma_filters() -> list[dict]:
    """Return the LZMA filter chain of the alpha chunk, for `lzma.FORMAT_RAW`."""
    import lzma  # not at the top: some builds of Python lack it, and most pictures need no LZMA

    return [{"id": lzma.FILTER_LZMA1, "preset": 6, "dict_size": _DICTIONARY, "lc": 0, "lp": 0, "pb": 0}]


def _compress(plane: np.ndarray) -> bytes:
    import lzma

    return lzma.compress(np.ascontiguousarray(plane).data, lzma.FORMAT_RAW, filters=lzma_filters())


def _decompress(data: memoryview | bytes, width: int, height: int, stop: int) -> Iterator[np.ndarray]:
    """Yield strips of rows up to row `stop`. Check that nothing follows the last row of the plane."""
    import lzma

    inflater = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=lzma_filters())
    step = max(_STRIP // width, 1)
    try:
        for top in range(0, stop, step):
            rows = min(step, height - top)
            strip = bytearray()
            while len(strip) < rows * width:
                part = b"" if inflater.eof else inflater.decompress(data, rows * width - len(strip))
                data = b""
                if not part:
                    raise CorruptChunk("chunk A ends before its alpha plane does")
                strip += part
            yield np.frombuffer(strip, np.uint8).reshape(rows, width)
        if stop == height:
            more = b"" if inflater.eof else inflater.decompress(b"", 1)
            if more or inflater.unused_data:
                raise CorruptChunk("chunk A goes on after its alpha plane")
            if not inflater.eof:
                raise CorruptChunk("chunk A has no end marker")
    except lzma.LZMAError:
        raise CorruptChunk("chunk A does not decompress") from None

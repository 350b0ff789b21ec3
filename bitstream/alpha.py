"""The alpha plane, lossless: two bytes if it is constant, else differences of neighbours and LZMA."""

import numpy as np

from .errors import CorruptChunk

_CONSTANT = 0
_CODED = 1  # plus _LEFT, plus _UP
_LEFT = 1
_UP = 2

_DICTIONARY = 1 << 22
_SAMPLE = 1 << 20  # pixels on which the predictors are compared
_STRIP = 1 << 20  # pixels decoded at a time


def pack_alpha(alpha: np.ndarray) -> bytes:
    """The body of the alpha chunk.

    Args:
        alpha: uint8, shape (height, width), not empty.
    """
    if alpha.dtype != np.uint8:
        raise ValueError(f"alpha of type {alpha.dtype}, not uint8")
    value = alpha[0, 0]
    if np.all(alpha == value):
        return bytes([_CONSTANT, value])
    # Whole rows from all over the plane, so that a margin does not decide for what it surrounds.
    rows = max(_SAMPLE // alpha.shape[1], 1)
    sample = alpha[:: -(-len(alpha) // rows)] if alpha.size > _SAMPLE else alpha
    best = min(range(4), key=lambda method: len(_compress(_differences(sample, method))))
    return bytes([_CODED + best]) + _compress(_differences(alpha, best))


def unpack_alpha(body: memoryview, width: int, height: int, y: int, rows: int) -> np.ndarray:
    """Rows `y` to `y + rows - 1` of the plane, uint8 of shape (rows, width), possibly read-only.

    Memory grows with the rows that are really there, whatever the header claims.

    Raises:
        CorruptChunk: the body does not hold a plane of this size.
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
        # Sums of uint8 wrap around as the differences did.
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


def _filters() -> list[dict]:
    import lzma  # not at the top: some builds of Python lack it, and most pictures do without

    return [{"id": lzma.FILTER_LZMA1, "preset": 6, "dict_size": _DICTIONARY, "lc": 0, "lp": 0, "pb": 0}]


def _compress(plane: np.ndarray) -> bytes:
    import lzma

    return lzma.compress(np.ascontiguousarray(plane), lzma.FORMAT_RAW, filters=_filters())


def _decompress(data: memoryview, width: int, height: int, stop: int):
    """Yield strips of rows until row `stop`; checks that nothing follows the last row of the plane."""
    import lzma

    inflater = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters())
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

"""A second reader, written from FORMAT.md in plain Python: it shares nothing with `bitstream`."""

import lzma
import zlib


def read(data: bytes, tables: list[list[int]]) -> dict:
    """Header fields, metadata, alpha as bytes, and planes as lists of rows, with one table per stage."""
    head, rest = data[:20], data[20:]
    if head[:5] != b"\xd6VQC\x01" or head[5] > 1:
        raise ValueError("header")
    out = {
        "grey": head[5] & 1 == 1,
        "width": int.from_bytes(head[6:9], "little") + 1,
        "height": int.from_bytes(head[9:12], "little") + 1,
        "stages": head[12],
        "codebook_size": int.from_bytes(head[14:16], "little") + 1,
        "model_id": head[16:20],
    }
    body = {}
    while rest:
        tag = rest[:1]
        length, start = varint(rest, 1)
        end = start + length
        if zlib.crc32(head + rest[:end]) != int.from_bytes(rest[end : end + 4], "little"):
            raise ValueError("CRC")
        body[tag] = rest[start:end]
        rest = rest[end + 4 :]
    for tag, name in ((b"i", "icc"), (b"e", "exif"), (b"x", "xmp")):
        if tag in body:
            value = body[tag][1:]
            out[name] = zlib.decompress(value, -15) if body[tag][0] else value
    if b"A" in body:
        out["alpha"] = alpha(body[b"A"], out["width"], out["height"])
    d, t = head[13] >> 4, head[13] & 15
    rows, columns = -(-out["height"] // 2**d), -(-out["width"] // 2**d)
    out["planes"] = planes(body[b"P"], out["stages"], rows, columns, 2**t, tables)
    return out


def varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def alpha(body: bytes, width: int, height: int) -> bytes:
    if body[0] == 0:
        return body[1:] * (width * height)
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 22, "lc": 0, "lp": 0, "pb": 0}]
    plane = bytearray(lzma.decompress(body[1:], lzma.FORMAT_RAW, filters=filters))
    method = body[0] - 1
    if method & 1:
        for at in range(width * height):
            if at % width:
                plane[at] = (plane[at] + plane[at - 1]) % 256
    if method & 2:
        for at in range(width, width * height):
            plane[at] = (plane[at] + plane[at - width]) % 256
    return bytes(plane)


def planes(body: bytes, stages: int, rows: int, columns: int, side: int, tables: list[list[int]]) -> list:
    corners = [(y, x) for y in range(0, rows, side) for x in range(0, columns, side)]
    count = stages * len(corners)
    lengths, at = [], 0
    for _ in range(count - 1):
        length, at = varint(body, at)
        lengths.append(length)
    checks = [int.from_bytes(body[at + 2 * i : at + 2 * i + 2], "little") for i in range(count)]
    at += 2 * count
    lengths.append(len(body) - at - sum(lengths))
    slices = []
    for length in lengths:
        slices.append(body[at : at + length])
        at += length
    result = [[[0] * columns for _ in range(rows)] for _ in range(stages)]
    for tile, (top, left) in enumerate(corners):
        window = [
            (y, x) for y in range(top, min(top + side, rows)) for x in range(left, min(left + side, columns))
        ]
        decoder = RangeDecoder(b"".join(slices[tile :: len(corners)]))
        for stage in range(stages):
            symbols = [decoder.symbol(tables[stage]) for _ in window]
            packed = b"".join(symbol.to_bytes(2, "little") for symbol in symbols)
            if zlib.crc32(packed) % 65536 != checks[stage * len(corners) + tile]:
                raise ValueError("check")
            for (y, x), symbol in zip(window, symbols, strict=True):
                result[stage][y][x] = symbol
    return result


class RangeDecoder:
    def __init__(self, stream: bytes):
        self.stream = stream
        self.at = 0
        self.lower, self.range = 0, 2**64 - 1
        self.point = self.next(8)

    def next(self, size: int) -> int:
        part = self.stream[self.at : self.at + size]
        self.at += size
        return int.from_bytes(part.ljust(size, b"\0"), "big")

    def symbol(self, frequencies: list[int]) -> int:
        scale = self.range >> 24
        q = ((self.point - self.lower) % 2**64) // scale
        if q >= 2**24:
            raise ValueError("stream")
        below = 0
        symbol = 0
        while q >= 2**8 * (below + frequencies[symbol]):
            below += frequencies[symbol]
            symbol += 1
        self.lower = (self.lower + scale * 2**8 * below) % 2**64
        self.range = scale * 2**8 * frequencies[symbol]
        if self.range < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.range <<= 32
            self.point = (self.point << 32 | self.next(4)) % 2**64
        return symbol

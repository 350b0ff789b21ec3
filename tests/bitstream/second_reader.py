"""A second reader, written from FORMAT.md in plain Python: it shares nothing with `bitstream`."""

import lzma
import zlib


def read(data: bytes, stages: list[tuple[int, list[int], int]]) -> dict:
    """Header fields, metadata, alpha as bytes, and planes as lists of rows.

    Each stage has its scale (0 for the base), its table, and the stage whose index 0 ends positions, or -1. The
    base is four lists of rows: steps, Y, Co, Cg.
    """
    head, rest = data[:20], data[20:]
    if head[:5] != b"\xd6VQC\x02" or head[5] > 1 or head[15]:
        raise ValueError("header")
    out = {
        "grey": head[5] & 1 == 1,
        "width": int.from_bytes(head[6:9], "little") + 1,
        "height": int.from_bytes(head[9:12], "little") + 1,
        "stages": head[12],
        "rate": head[14],
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
    if len(stages) != out["stages"]:
        raise ValueError("stages")
    out["planes"] = planes(body[b"P"], rows, columns, 2**t, stages)
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


def planes(body: bytes, rows: int, columns: int, side: int, stages: list) -> list:
    corners = [(y, x) for y in range(0, rows, side) for x in range(0, columns, side)]
    slices, checks = cut(body, len(stages) * len(corners))
    result = [
        [empty(max(scale, 1) * rows, max(scale, 1) * columns) for _ in range(1 if scale else 4)]
        for scale, _, _ in stages
    ]
    for tile, (top, left) in enumerate(corners):
        height, width = min(side, rows - top), min(side, columns - left)
        decoder = RangeDecoder(b"".join(slices[tile :: len(corners)]))
        decoded = []
        for stage, (scale, table, before) in enumerate(stages):
            if scale:
                alive = decoded[before][0] if before >= 0 else [[1] * (scale * width)] * (scale * height)
                decoded.append([layer(decoder, table, alive)])
                checked = decoded[-1][0]
            else:
                decoded.append(base(decoder, table, height, width))
                checked = [row for part in decoded[-1] for row in part][height - 1 :]
            packed = b"".join((value % 65536).to_bytes(2, "little") for row in checked for value in row)
            if zlib.crc32(packed) % 65536 != checks[stage * len(corners) + tile]:
                raise ValueError("check")
            y, x = max(scale, 1) * top, max(scale, 1) * left
            for plane, part in zip(result[stage], decoded[-1], strict=True):
                for number, row in enumerate(part):
                    plane[y + number][x : x + len(row)] = row
    return [parts if len(parts) == 4 else parts[0] for parts in result]


def layer(decoder: "RangeDecoder", table: list[int], alive: list[list[int]]) -> list[list[int]]:
    return [[decoder.symbol(table) if index else 0 for index in row] for row in alive]


def base(decoder: "RangeDecoder", table: list[int], rows: int, columns: int) -> list[list[list[int]]]:
    step = decoder.symbol([256] * 256)
    parts = [[[decoder.symbol(table) - 32 for _ in range(columns)] for _ in range(rows)] for _ in range(3)]
    return [[[step] * columns for _ in range(rows)], *parts]


def cut(body: bytes, count: int) -> tuple[list[bytes], list[int]]:
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
    return slices, checks


def empty(rows: int, columns: int) -> list[list[int]]:
    return [[0] * columns for _ in range(rows)]


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

"""Damaged files that get far: mutations that know the parts of a file and make its checksums fit."""

import random
import zlib

from bitstream.chunks import pack_chunk, pack_varint

NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**14, 2**16 - 1, 2**24 - 1, 2**31, 2**32 - 1, 2**35 - 1]
TAGS = [b"i", b"e", b"x", b"A", b"P", b"z", b"Z", b"\0"]


def split(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Header, and tag and body of every chunk, of an intact file."""
    head, at, parts = data[:20], 20, []
    while at < len(data):
        start, length, shift = at + 1, 0, 0
        while True:
            length |= (data[start] & 127) << shift
            shift += 7
            start += 1
            if data[start - 1] < 128:
                break
        parts.append((data[at : at + 1], data[start : start + length]))
        at = start + length + 4
    return head, parts


def mutate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A damaged copy of an intact file; `other` is an intact file to take parts from."""
    head, parts = split(data)
    _, foreign = split(other)
    # Most mutations keep the checksums right, since a wrong one ends the reading at once.
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(8)
        at = rng.randrange(len(parts)) if parts else 0
        if kind == 0:
            head = change(rng, head)
        elif kind == 1:
            head = set_field(rng, head)
        elif kind == 2 and parts:
            parts[at] = (rng.choice(TAGS), parts[at][1])
        elif kind == 3 and parts:
            parts.insert(rng.randrange(len(parts) + 1), rng.choice([parts[at], *foreign]))
        elif kind == 4 and parts:
            parts.pop(at)
        elif kind == 5:
            parts.insert(rng.randrange(len(parts) + 1), (rng.choice(TAGS), rng.randbytes(rng.randrange(30))))
        elif parts:
            tag, body = parts[at]
            parts[at] = (tag, change(rng, body))
    out = head + b"".join(frame(rng, head, tag, body) for tag, body in parts)
    return change(rng, out) if rng.random() < 0.2 else out


def change(rng: random.Random, data: bytes) -> bytes:
    """Bytes overwritten, inserted, removed, repeated or cut off; numbers that are often special."""
    out = bytearray(data)
    at = min(rng.randrange(len(out) + 1), rng.randrange(len(out) + 1))  # rather near the beginning
    size = rng.choice([1, 1, 2, 4, 8, 64])
    kind = rng.randrange(7)
    if kind == 0 and out:
        out[at % len(out)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        out[at : at + size] = rng.randbytes(len(out[at : at + size]))
    elif kind == 2:
        number = rng.choice([pack_varint(rng.choice(NUMBERS)), rng.choice(NUMBERS).to_bytes(5, "little")])
        out[at : at + rng.choice([0, 1, len(number)])] = number
    elif kind == 3:
        out[at:at] = rng.randbytes(size)
    elif kind == 4:
        del out[at : at + size]
    elif kind == 5:
        out[at:at] = out[at : at + size]
    else:
        del out[at:]
    return bytes(out)


def set_field(rng: random.Random, head: bytes) -> bytes:
    """One header field of a special or a nearby value."""
    start, size = rng.choice([(4, 1), (5, 1), (6, 3), (9, 3), (12, 1), (13, 1), (14, 1), (15, 1), (16, 4)])
    value = rng.choice([*NUMBERS, int.from_bytes(head[start : start + size], "little") + rng.choice([-1, 1])])
    return head[:start] + (value % 256**size).to_bytes(size, "little") + head[start + size :]


def frame(rng: random.Random, head: bytes, tag: bytes, body: bytes) -> bytes:
    """A chunk, one in ten with a length that is not its own, under a checksum that fits nevertheless."""
    if rng.random() < 0.9:
        return pack_chunk(head, tag, body)
    framed = tag + pack_varint(max(rng.choice([*NUMBERS, len(body) - 1, len(body) + 1]), 0)) + body
    return framed + zlib.crc32(framed, zlib.crc32(head)).to_bytes(4, "little")

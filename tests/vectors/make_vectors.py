"""Write the vectors: valid files with what is in them, and malformed ones by the name of what is wrong.

    python tests/vectors/make_vectors.py

The tests read the committed files, never this script's output: run it to add a vector, and commit only what
is new. A valid file that changes means a change to the format.

`valid/NAME.npz` holds, for each stage n, `scales[n]` (0 for the base), `before[n]` (the stage whose index 0 ends
positions, or -1), `plane_n` and `table_n`; and, where the file has them, `alpha`, `icc`, `exif` and `xmp`. The plane of
a layer is (scale * rows, scale * columns), that of the base (4, rows, columns): steps, Y, Co and Cg. Each index is one
symbol, row by row over its tile, coded with the table of its stage. The base is coded likewise, after its step, with
32 added to each number. The malformed files are variations of `valid/small.vqc`.
"""

import lzma
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from bitstream import Header, Metadata, write  # noqa: E402
from bitstream.alpha import lzma_filters  # noqa: E402
from bitstream.chunks import pack_chunk  # noqa: E402
from bitstream.payload import pack_payload  # noqa: E402
from tests.bitstream.order0 import BASE, encode, random_planes, random_stages  # noqa: E402

MODEL = bytes.fromhex("0badcafe")
SMALL = Header(230, 150, MODEL, stages=4, rate=128, tile_log2=2)
LAYERED = [(BASE, 384, -1), (1, 64, -1), (1, 64, 1), (2, 16, -1)]
"""Stages of `SMALL`: scale, size of the alphabet, and the stage whose index 0 ends positions."""
KODAK = [(BASE, 256, -1), (1, 1024, -1), (1, 1024, 1), (1, 1024, 2), (1, 1024, 3)]
KODAK += [(2, 256, -1), (2, 256, -1), (2, 256, 5), (2, 256, 6)]
"""Stages of three bands, the two finer ones in turn."""


def make(name: str, header: Header, stages=None, metadata=None, alpha=None, plain=False) -> None:
    rng = np.random.default_rng(0)
    coded = random_stages(rng, stages or LAYERED)
    planes = random_planes(rng, header, coded)
    if plain:
        usual = [stage.table.argmax() if stage.before < 0 else 0 for stage in coded]
        planes = [np.full_like(plane, index) for plane, index in zip(planes, usual, strict=True)]
    extra = {"scales": np.array([stage.scale for stage in coded], np.int8)}
    extra["before"] = np.array([stage.before for stage in coded], np.int8)
    extra |= {f"plane_{number}": plane for number, plane in enumerate(planes)}
    extra |= {f"table_{number}": stage.table.astype(np.uint32) for number, stage in enumerate(coded)}
    if alpha is not None:
        extra["alpha"] = alpha
    for key in ("icc", "exif", "xmp"):
        if metadata and getattr(metadata, key) is not None:
            extra[key] = np.frombuffer(getattr(metadata, key), np.uint8)
    data = write(header, encode(header, planes, coded), metadata, alpha)
    (HERE / "valid" / f"{name}.vqc").write_bytes(data)
    np.savez_compressed(HERE / "valid" / f"{name}.npz", **extra)


def make_valid() -> None:
    rng = np.random.default_rng(99)
    make("small", SMALL)
    make("kodak_size", Header(768, 512, MODEL, stages=9, rate=200), KODAK)
    make("one_pixel", Header(1, 1, MODEL, stages=1, tile_log2=8), [(1, 2, -1)])
    make("one_pixel_of_four_stages", Header(1, 1, MODEL, stages=4, rate=255), LAYERED)
    make("base_only", replace(SMALL, stages=1), LAYERED[:1])
    make("plain", replace(SMALL, stages=32), [(1, 64, -1)] * 32, plain=True)
    make("ended", replace(SMALL, stages=6), [(1, 64, -1), *((1, 64, n) for n in range(5))], plain=True)
    make("grey", replace(SMALL, grey=True))
    make("rate_0", replace(SMALL, rate=0))
    make("rate_255", replace(SMALL, rate=255))
    make("wide", Header(16385, 1, MODEL, stages=2), [(BASE, 256, -1), (2, 16, -1)])
    make("high", Header(1, 5003, MODEL, stages=2, tile_log2=5), [(1, 256, -1)] * 2)
    make(
        "downsampling_4", Header(127, 61, MODEL, stages=2, downsample_log2=2, tile_log2=3), [(1, 64, -1)] * 2
    )
    make("downsampling_64", Header(1000, 700, MODEL, stages=4, downsample_log2=6, tile_log2=3))
    make("largest_codebook", Header(64, 64, MODEL, stages=2), [(1, 65536, -1)] * 2)
    make("other_model", replace(SMALL, model_id=b"\xff\xff\xff\xff"))
    make("opaque", SMALL, alpha=np.full((150, 230), 255, np.uint8))
    ramp = np.minimum(np.add.outer(2 * np.arange(150), np.arange(230)), 255).astype(np.uint8)
    make("alpha", SMALL, alpha=ramp)
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b" " * 500 + b"</x:xmpmeta>"
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    make("metadata", SMALL, metadata=Metadata(rng.bytes(200), exif, xmp), alpha=ramp)
    make("empty_metadata", SMALL, metadata=Metadata(b"", b"", b""))
    small = (HERE / "valid" / "small.vqc").read_bytes()
    head = small[:20]
    added = head + pack_chunk(head, b"z", b"?") + pack_chunk(head, b"z", b"??") + small[20:]
    (HERE / "valid" / "unknown_ancillary.vqc").write_bytes(added)
    (HERE / "valid" / "unknown_ancillary.npz").write_bytes((HERE / "valid" / "small.npz").read_bytes())


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def malformed() -> dict[str, bytes]:
    """Every malformed file by its name."""
    small = (HERE / "valid" / "small.vqc").read_bytes()
    rng = np.random.default_rng(0)
    stages = random_stages(rng, LAYERED)
    tiles = encode(SMALL, random_planes(rng, SMALL, stages), stages)
    head = small[:20]
    body = pack_payload(SMALL, tiles)
    payload = pack_chunk(head, b"P", body)
    count = SMALL.slices
    index = count - 1 + 2 * count  # all lengths take one byte here
    files = {}

    def header(name: str, offset: int, value: bytes) -> None:
        """A header field of another value, under a checksum that fits."""
        changed = patched(head, offset, value)
        files[name] = changed + pack_chunk(changed, b"P", body)

    def before(name: str, *parts: bytes) -> None:
        """Bytes between header and payload."""
        files[name] = head + b"".join(parts) + payload

    def chunk(name: str, tag: bytes, content: bytes) -> None:
        before(name, pack_chunk(head, tag, content))

    def instead(name: str, content: bytes) -> None:
        """Another payload, under a checksum that fits."""
        files[name] = head + pack_chunk(head, b"P", content)

    # Header
    files["empty"] = b""
    files["header_only_magic"] = head[:4]
    files["header_cut"] = head[:19]
    files["magic_wrong"] = patched(small, 0, b"\x89PNG")
    files["magic_seven_bits"] = patched(small, 0, b"V")
    files["magic_as_utf8"] = small.decode("latin-1").encode()
    header("version_0", 4, b"\0")
    header("version_1", 4, b"\1")
    header("version_3", 4, b"\3")
    header("flag_unknown", 5, b"\2")
    header("stages_0", 12, b"\0")
    header("stages_33", 12, b"\x21")
    header("downsampling_too_small", 13, b"\x12")
    header("downsampling_too_large", 13, b"\x72")
    header("tile_too_small", 13, b"\x41")
    header("tile_too_large", 13, b"\x49")
    header("reserved_byte_set", 15, b"\1")
    header("pixels_too_many", 6, b"\xff" * 6)
    header("slices_too_many", 6, b"\xff\xff\0\xff\xff\0\x20")
    header("picture_larger_than_payload", 6, b"\xff\x0f\0\xff\x0f\0")
    header("picture_smaller_than_payload", 6, b"\0\0\0\0\0\0")
    files["header_changed"] = patched(small, 6, b"\xe4")

    # Framing of chunks
    files["chunks_none"] = head
    files["payload_none"] = head + pack_chunk(head, b"i", b"\0icc")
    files["tag_zero"] = head + b"\0" + payload[1:]
    files["tag_digit"] = head + b"1" + payload[1:]
    files["chunk_cut_after_tag"] = head + b"i"
    files["chunk_cut_in_length"] = head + b"i\x80"
    files["chunk_cut_in_body"] = head + pack_chunk(head, b"i", b"\0icc")[:-5]
    files["chunk_cut_in_crc"] = head + pack_chunk(head, b"i", b"\0icc")[:-1]
    before("chunk_length_six_bytes", b"i\x80\x80\x80\x80\x80\0")
    before("chunk_length_not_shortest", b"i\x84\0" + pack_chunk(head, b"i", b"\0icc")[2:])
    before("chunk_length_over_32_bits", b"i\x80\x80\x80\x80\x10" + pack_chunk(head, b"i", b"\0icc")[2:])
    before("chunk_length_giant", b"i\xff\xff\xff\xff\x0f" + pack_chunk(head, b"i", b"\0icc")[2:])
    before("chunk_length_one_less", b"i\3" + pack_chunk(head, b"i", b"\0icc")[2:])
    before("chunk_length_one_more", b"i\5" + pack_chunk(head, b"i", b"\0icc")[2:])
    before("crc_of_icc", pack_chunk(head, b"i", b"\0icc")[:-1] + b"!")
    before("crc_of_alpha", pack_chunk(head, b"A", b"\0\xff")[:-1] + b"!")
    before("crc_of_unknown", pack_chunk(head, b"z", b"zzz")[:-1] + b"!")
    files["crc_of_payload"] = small[:-1] + bytes([small[-1] ^ 1])
    files["crc_without_header"] = small[:-4] + zlib.crc32(small[20:-4]).to_bytes(4, "little")
    chunk("critical_unknown", b"Z", b"")
    before("icc_twice", pack_chunk(head, b"i", b"\0icc") * 2)
    before("alpha_twice", pack_chunk(head, b"A", b"\0\xff") * 2)
    files["payload_twice"] = small + payload
    files["chunk_after_payload"] = small + pack_chunk(head, b"i", b"\0icc")
    files["trailing_byte"] = small + b"\0"
    before("chunks_too_many", pack_chunk(head, b"z", b"") * 256)

    # Metadata
    deflated = zlib.compress(b"profile" * 9, wbits=-15)
    chunk("icc_without_method", b"i", b"")
    chunk("icc_method_unknown", b"i", b"\2icc")
    chunk("exif_not_deflate", b"e", b"\1\xff\xff\xff")
    chunk("exif_deflate_cut", b"e", b"\1" + deflated[:-1])
    chunk("xmp_deflate_goes_on", b"x", b"\1" + deflated + b"\0")
    chunk("xmp_inflates_too_far", b"x", b"\1" + zlib.compress(bytes((1 << 24) + 1), 9, wbits=-15))

    # Alpha
    size = SMALL.width * SMALL.height
    coded = lzma.compress(bytes(size), lzma.FORMAT_RAW, filters=lzma_filters())
    chunk("alpha_empty", b"A", b"")
    chunk("alpha_without_value", b"A", b"\0")
    chunk("alpha_two_values", b"A", b"\0\1\2")
    chunk("alpha_method_unknown", b"A", b"\5" + coded)
    chunk("alpha_not_lzma", b"A", b"\1" + b"\xff" * 30)
    chunk("alpha_lzma_cut", b"A", b"\1" + coded[:-3])
    chunk("alpha_lzma_goes_on", b"A", b"\1" + coded + b"\0")
    for name, other in (("alpha_one_short", size - 1), ("alpha_one_over", size + 1), ("alpha_bomb", 1 << 24)):
        chunk(name, b"A", b"\1" + lzma.compress(bytes(other), lzma.FORMAT_RAW, filters=lzma_filters()))

    # Payload and its index
    instead("payload_empty", b"")
    instead("payload_too_small", body[: index - 1])
    instead("payload_all_continuation", b"\xff" * len(body))
    instead("slice_length_not_shortest", b"\x81\0" + body[1:])
    instead("slice_length_six_bytes", b"\x81\x80\x80\x80\x80\0" + body[1:])
    instead("slice_lengths_beyond_payload", b"\xff\xff\xff\xff\x0f" + body[1:])
    instead("slice_lengths_one_beyond", bytes([body[0] + len(tiles[-1].slices[-1]) + 1]) + body[1:])
    instead("slice_lengths_use_up_index", (b"\xff\xff\xff\xff\x0f" * count)[:index])
    files["payload_cut_in_length"] = small[:22]
    files["payload_cut_before_index"] = small[: len(small) - len(body) - 4]
    files["payload_cut_in_slice_lengths"] = small[:30]
    files["payload_cut_in_checks"] = small[: len(small) - len(body) - 4 + index - 1]
    files["payload_cut_in_slices"] = small[:-40]
    files["payload_cut_before_crc"] = small[:-4]
    files["payload_cut_in_crc"] = small[:-1]

    # Indices; the checksums fit
    check = count - 1
    instead("check_of_first_plane", patched(body, check, bytes([body[check] ^ 1])))
    instead("check_of_last_plane", patched(body, index - 1, bytes([body[index - 1] ^ 0x80])))
    instead("slice_changed", patched(body, index, bytes([body[index] ^ 0x10])))
    instead("slices_all_ones", body[:index] + b"\xff" * (len(body) - index))
    instead("slices_gone", bytes(count - 1) + body[count - 1 : index])
    swapped = [tiles[1], tiles[0], *tiles[2:]]
    mixed = [replace(tile, checks=own.checks) for tile, own in zip(swapped, tiles, strict=True)]
    instead("tiles_swapped", pack_payload(SMALL, mixed))
    return files


def main() -> None:
    for folder in ("valid", "malformed"):
        (HERE / folder).mkdir(exist_ok=True)
    make_valid()
    for name, data in malformed().items():
        (HERE / "malformed" / f"{name}.vqc").write_bytes(data)


if __name__ == "__main__":
    main()

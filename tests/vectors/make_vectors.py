"""Write the vectors: valid files with what is in them, and malformed ones by the name of what is wrong.

    python tests/vectors/make_vectors.py

The tests read the committed files, never this script's output: run it to add a vector, and commit only what
is new. A valid file that changes means a change to the format.

`valid/NAME.npz` holds `planes` (stages, rows, columns), `tables` (stages, codebook size), and, where the file
has them, `alpha`, `icc`, `exif` and `xmp`. Each index is one symbol, row by row over its tile, coded with the
table of its stage. The malformed files are variations of `valid/base.vqc`.
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
from tests.bitstream.order0 import encode, random_planes, random_tables  # noqa: E402

MODEL = bytes.fromhex("0badcafe")
BASE = Header(230, 150, MODEL, stages=3, codebook_size=64, tile_log2=2)


def make(name: str, header: Header, metadata=None, alpha=None, seed=0, plain=False) -> None:
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, header.stages, header.codebook_size)
    planes = random_planes(rng, header, tables)
    if plain:
        planes[:] = tables.argmax(1)[:, None, None]
    extra = {} if alpha is None else {"alpha": alpha}
    for key in ("icc", "exif", "xmp"):
        if metadata and getattr(metadata, key) is not None:
            extra[key] = np.frombuffer(getattr(metadata, key), np.uint8)
    data = write(header, encode(header, planes, tables), metadata, alpha)
    (HERE / "valid" / f"{name}.vqc").write_bytes(data)
    np.savez_compressed(
        HERE / "valid" / f"{name}.npz", planes=planes, tables=tables.astype(np.uint32), **extra
    )


def make_valid() -> None:
    rng = np.random.default_rng(99)
    make("base", BASE)
    make("kodak_size", Header(768, 512, MODEL, stages=8))
    make("one_pixel", Header(1, 1, MODEL, stages=1, codebook_size=2, tile_log2=8))
    make("plain", replace(BASE, stages=32), plain=True)
    make("grey", replace(BASE, grey=True))
    make("wide", Header(16385, 1, MODEL, stages=2, codebook_size=256))
    make("high", Header(1, 5003, MODEL, stages=2, codebook_size=256, tile_log2=5))
    make("downsampling_4", Header(127, 61, MODEL, stages=2, codebook_size=64, downsample_log2=2, tile_log2=3))
    make(
        "downsampling_64",
        Header(1000, 700, MODEL, stages=2, codebook_size=64, downsample_log2=6, tile_log2=3),
    )
    make("largest_codebook", Header(64, 64, MODEL, stages=2, codebook_size=65536))
    make("other_model", replace(BASE, model_id=b"\xff\xff\xff\xff"))
    make("opaque", BASE, alpha=np.full((150, 230), 255, np.uint8))
    ramp = np.minimum(np.add.outer(2 * np.arange(150), np.arange(230)), 255).astype(np.uint8)
    make("alpha", BASE, alpha=ramp)
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b" " * 500 + b"</x:xmpmeta>"
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    make("metadata", BASE, Metadata(rng.bytes(200), exif, xmp), ramp)
    make("empty_metadata", BASE, Metadata(b"", b"", b""))
    base = (HERE / "valid" / "base.vqc").read_bytes()
    added = base[:20] + pack_chunk(base[:20], b"z", b"?") + pack_chunk(base[:20], b"z", b"??") + base[20:]
    (HERE / "valid" / "unknown_ancillary.vqc").write_bytes(added)
    (HERE / "valid" / "unknown_ancillary.npz").write_bytes((HERE / "valid" / "base.npz").read_bytes())


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def malformed() -> dict[str, bytes]:
    """Every malformed file by its name."""
    base = (HERE / "valid" / "base.vqc").read_bytes()
    content = np.load(HERE / "valid" / "base.npz")
    tiles = encode(BASE, content["planes"], content["tables"])
    head = base[:20]
    body = pack_payload(BASE, tiles)
    payload = pack_chunk(head, b"P", body)
    count = BASE.slices
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
    files["magic_wrong"] = patched(base, 0, b"\x89PNG")
    files["magic_seven_bits"] = patched(base, 0, b"V")
    files["magic_as_utf8"] = base.decode("latin-1").encode()
    header("version_0", 4, b"\0")
    header("version_2", 4, b"\2")
    header("flag_unknown", 5, b"\2")
    header("stages_0", 12, b"\0")
    header("stages_33", 12, b"\x21")
    header("downsampling_too_small", 13, b"\x12")
    header("downsampling_too_large", 13, b"\x72")
    header("tile_too_small", 13, b"\x41")
    header("tile_too_large", 13, b"\x49")
    header("codebook_of_one", 14, b"\0\0")
    header("pixels_too_many", 6, b"\xff" * 6)
    header("slices_too_many", 6, b"\xff\xff\0\xff\xff\0\x20")
    header("picture_larger_than_payload", 6, b"\xff\x0f\0\xff\x0f\0")
    header("picture_smaller_than_payload", 6, b"\0\0\0\0\0\0")
    files["header_changed"] = patched(base, 6, b"\xe4")

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
    files["crc_of_payload"] = base[:-1] + bytes([base[-1] ^ 1])
    files["crc_without_header"] = base[:-4] + zlib.crc32(base[20:-4]).to_bytes(4, "little")
    chunk("critical_unknown", b"Z", b"")
    before("icc_twice", pack_chunk(head, b"i", b"\0icc") * 2)
    before("alpha_twice", pack_chunk(head, b"A", b"\0\xff") * 2)
    files["payload_twice"] = base + payload
    files["chunk_after_payload"] = base + pack_chunk(head, b"i", b"\0icc")
    files["trailing_byte"] = base + b"\0"
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
    size = BASE.width * BASE.height
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
    files["payload_cut_in_length"] = base[:22]
    files["payload_cut_before_index"] = base[: len(base) - len(body) - 4]
    files["payload_cut_in_slice_lengths"] = base[:30]
    files["payload_cut_in_checks"] = base[: len(base) - len(body) - 4 + index - 1]
    files["payload_cut_in_slices"] = base[:-40]
    files["payload_cut_before_crc"] = base[:-4]
    files["payload_cut_in_crc"] = base[:-1]

    # Indices; the checksums fit
    check = count - 1
    instead("check_of_first_plane", patched(body, check, bytes([body[check] ^ 1])))
    instead("check_of_last_plane", patched(body, index - 1, bytes([body[index - 1] ^ 0x80])))
    instead("slice_changed", patched(body, index, bytes([body[index] ^ 0x10])))
    instead("slices_all_ones", body[:index] + b"\xff" * (len(body) - index))
    instead("slices_gone", bytes(count - 1) + body[count - 1 : index])
    swapped = [tiles[1], tiles[0], *tiles[2:]]
    mixed = [replace(tile, checks=own.checks) for tile, own in zip(swapped, tiles, strict=True)]
    instead("tiles_swapped", pack_payload(BASE, mixed))
    return files


def main() -> None:
    for folder in ("valid", "malformed"):
        (HERE / folder).mkdir(exist_ok=True)
    make_valid()
    for name, data in malformed().items():
        (HERE / "malformed" / f"{name}.vqc").write_bytes(data)


if __name__ == "__main__":
    main()

"""What is no image, no file and no request is refused, in one line that says what would be right."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vqcodec
from bitstream import BadMagic
from vqcodec.codec import Codec, default_codec
from vqcodec.errors import ImageError, TargetError
from vqcodec.image.picture import Picture


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


# --- what is refused ------------------------------------------------------------------------------------

GREY = np.zeros((4, 5), np.uint8)
COLOURS = np.zeros((4, 5, 3), np.uint8)
FLOATS = np.zeros((4, 5, 3))
TENSOR = torch.zeros(3, 4, 5)


def holding(value: float) -> np.ndarray:
    array = FLOATS.copy()
    array[1, 2, 0] = value
    return array


def closed_image() -> Image.Image:
    image = Image.open(io.BytesIO(encoded(Image.new("RGB", (4, 4)))))
    image.close()
    return image


def closed_file() -> io.BytesIO:
    file = io.BytesIO(b"abc")
    file.close()
    return file


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: None, "NoneType is no image: pass a path, an open file"),
    "number": (lambda: 3, "int is no image: pass a path"),
    "list": (lambda: COLOURS.tolist(), "list is no image: pass a path"),
    "missing file": (lambda: "missing.jpg", "missing.jpg: No such file or directory"),
    "missing path": (lambda: Path("missing.jpg"), "missing.jpg: No such file or directory"),
    "directory": (lambda: os.path.dirname(__file__), "image: Is a directory"),
    "file that is no picture": (
        lambda: __file__,
        "test_refused.py: not a picture in a format that Pillow reads",
    ),
    "null in a path": (lambda: "a\0b", "embedded null"),
    "no bytes": (lambda: b"", "not a picture in a format that Pillow reads"),
    "bytes of no picture": (lambda: b"pixels" * 9, "not a picture in a format that Pillow reads"),
    "picture that is cut short": (
        lambda: encoded(Image.effect_noise((99, 99), 9))[:4000],
        "truncated|not a picture",
    ),
    "text file": (lambda: io.StringIO("text"), "the file is open as text: open it with mode 'rb'"),
    "closed file": (closed_file, "closed file"),
    "closed image": (closed_image, "cannot be read: .*closed"),
    "image without rows": (lambda: Image.new("RGB", (5, 0)), "5x0 pixels: an image has at least 1x1"),
    "image without columns": (lambda: Image.new("L", (0, 5)), "0x5 pixels: an image has at least 1x1"),
    "array without rows": (lambda: np.zeros((0, 5, 3), np.uint8), "5x0 pixels: an image has at least 1x1"),
    "array without columns": (lambda: np.zeros((4, 0), np.uint8), "0x4 pixels: an image has at least 1x1"),
    "scalar": (lambda: np.float64(1), r"shape \(\) is not \(height, width\)"),
    "row": (lambda: np.zeros(5), r"shape \(5,\) is not \(height, width\)"),
    "encoded bytes as an array": (lambda: np.zeros(5, np.uint8), r"as array\.tobytes\(\)$"),
    "five channels": (lambda: np.zeros((9, 9, 5), np.uint8), r"shape \(9, 9, 5\) is not \(height, width\)"),
    "no channels": (lambda: np.zeros((9, 9, 0), np.uint8), r"shape \(9, 9, 0\) is not \(height, width\)"),
    "channels first": (lambda: np.zeros((3, 9, 9), np.uint8), r"numpy\.moveaxis\(array, 0, -1\)$"),
    "array with a batch axis": (lambda: COLOURS[None], r"shape \(1, 4, 5, 3\) .*; pass array\[0\]$"),
    "stack of images": (lambda: np.zeros((7, 4, 5, 3), np.uint8), r"shape \(7, 4, 5, 3\) is not"),
    "complex": (
        lambda: COLOURS.astype(complex),
        "values of dtype complex128: use uint8, uint16, bool, or floats",
    ),
    "objects": (lambda: COLOURS.astype(object), "values of dtype object: use uint8"),
    "strings": (lambda: np.array([["a", "b"]]), "values of dtype <U1: use uint8"),
    "dates": (lambda: GREY.astype("datetime64[s]"), "values of dtype datetime64"),
    "integers too large": (lambda: COLOURS.astype(int) + 256, "dtype int64 from 256 to 256: use uint8"),
    "integers below zero": (lambda: COLOURS.astype(int) - 1, "dtype int64 from -1 to -1: use uint8"),
    "floats up to 255": (
        lambda: FLOATS + 255,
        "floats from 255 to 255: they must be from 0 to 1, or use uint8",
    ),
    "floats a little above one": (
        lambda: holding(1 + 2e-6),
        "floats from 0 to 1.000002: they must be",
    ),
    "floats below zero": (lambda: holding(-1), "floats from -1 to 0: they must be from 0 to 1"),
    "not a number": (lambda: holding(float("nan")), "include NaN or infinity"),
    "infinity": (lambda: holding(float("inf")), "include NaN or infinity"),
    "minus infinity": (lambda: holding(float("-inf")), "include NaN or infinity"),
    "masked pixels": (
        lambda: np.ma.array(GREY, mask=GREY == 0),
        r"masked pixels: give them values with filled\(\)",
    ),
    "tensor of a batch": (lambda: torch.zeros(2, 3, 4, 5), "a batch of 2 images: pass one at a time"),
    "tensor with channels last": (lambda: torch.zeros(9, 9, 3), r"with permute\(2, 0, 1\)$"),
    "tensor of five channels": (
        lambda: torch.zeros(5, 9, 9),
        r"\(5, 9, 9\) is not \(1 to 4 channels, height",
    ),
    "tensor of one axis": (
        lambda: torch.zeros(5),
        r"tensor of shape \(5,\) is not \(channels, height, width\)",
    ),
    "tensor without pixels": (lambda: torch.zeros(3, 0, 5), "5x0 pixels: an image has at least 1x1"),
    "tensor from -1 to 1": (lambda: TENSOR - 1, "floats from -1 to -1: they must be from 0 to 1"),
    "tensor with NaN": (lambda: TENSOR * float("nan"), "include NaN or infinity"),
    "complex tensor": (lambda: TENSOR.to(torch.complex64), "values of dtype complex64: use uint8"),
    "sparse tensor": (lambda: torch.ones(4, 5).to_sparse(), "the tensor has no values to read: "),
    "tensor on no device": (
        lambda: torch.zeros(3, 4, 5, device="meta"),
        "the tensor has no values to read: ",
    ),
    "picture of floats": (lambda: Picture(FLOATS), r"pixels are float64 of shape \(4, 5, 3\): use uint8"),
    "picture of two axes": (
        lambda: Picture(GREY),
        r"pixels are uint8 of shape \(4, 5\): use uint8 \(height,",
    ),
    "picture of no array": (lambda: Picture(COLOURS.tolist()), r"pixels are list of shape \(\): use uint8"),
    "alpha of another size": (
        lambda: Picture(COLOURS, alpha=GREY[1:]),
        r"alpha is uint8 of shape \(3, 5\): use",
    ),
    "alpha of floats": (
        lambda: Picture(COLOURS, alpha=GREY / 1),
        r"alpha is float64 of shape \(4, 5\): use uint8",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_taken_is_one_line_that_says_why(codec: Codec, kind: str) -> None:
    make, words = REFUSED[kind]
    with pytest.raises(ImageError, match=words) as caught:
        codec.compress(make())
    assert "\n" not in str(caught.value)


REQUESTS = [
    ({"quality": 101}, "quality 101 is not between 0 and 100"),
    ({"quality": -1}, "quality -1 is not between 0 and 100"),
    ({"quality": float("nan")}, "quality nan is not between 0 and 100"),
    ({"quality": "high"}, "quality 'high' is not a number between 0 and 100"),
    ({"quality": None}, "quality None is not a number between 0 and 100"),
    ({"bpp": 0}, "bpp 0 is not a number above 0"),
    ({"bpp": -0.1}, r"bpp -0\.1 is not a number above 0"),
    ({"bpp": float("nan")}, "bpp nan is not a number above 0"),
    ({"bpp": float("inf")}, "bpp inf is not a number above 0"),
    ({"bpp": "0.1"}, r"bpp '0\.1' is not a number above 0"),
    ({"size": 0}, "size 0 is not a whole number of bytes, 1 or more"),
    ({"size": -5}, "size -5 is not a whole number of bytes, 1 or more"),
    ({"size": 600.5}, r"size 600\.5 is not a whole number of bytes"),
    ({"size": "600"}, "size '600' is not a whole number of bytes"),
    ({"size": float("inf")}, "size inf is not a whole number of bytes"),
    ({"metadata": {"icc": b""}}, r"metadata is dict: use bitstream\.Metadata"),
    ({"bpp": 0.1, "size": 600}, "bpp and size exclude each other"),
]


@pytest.mark.parametrize(("options", "words"), REQUESTS)
def test_what_cannot_be_asked_for_is_one_line(codec: Codec, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        codec.compress(GREY, **options)
    assert "\n" not in str(caught.value)


def test_a_rate_that_is_next_to_nothing_is_out_of_reach(codec: Codec, photo: Image.Image) -> None:
    with pytest.raises(TargetError, match="1 bytes cannot be reached"):
        codec.compress(photo, bpp=1e-9)
    assert codec.compress(photo, size=600.0) == codec.compress(photo, size=np.int32(600))


def test_quality_may_be_a_number_of_any_kind(codec: Codec, photo: Image.Image) -> None:
    assert (
        codec.compress(photo, np.float32(30))
        == codec.compress(photo, np.int64(30))
        == codec.compress(photo, 30)
    )


# --- the way back ---------------------------------------------------------------------------------------


def test_decompress_takes_paths_files_and_buffers(codec: Codec, photo: Image.Image, tmp_path: Path) -> None:
    data = codec.compress(photo, 30)
    path = tmp_path / "photo.vqc"
    path.write_bytes(data)
    expected = codec.decompress(data).tobytes()
    steps = memoryview(bytes(value for byte in data for value in (byte, 0)))[::2]
    sources = [path, str(path), data, bytearray(data), memoryview(data), steps, np.frombuffer(data, np.uint8)]
    assert [image.tobytes() for image in codec.decompress_many(sources)] == [expected] * len(sources)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert codec.decompress(file).tobytes() == codec.decompress(mapped).tobytes() == expected
    assert vqcodec.decompress(path).tobytes() == expected
    assert vqcodec.info(path) == vqcodec.info(data) == vqcodec.info(io.BytesIO(data))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: None, r"NoneType is no \.vqc file: pass a path"),
        (lambda: Image.new("RGB", (4, 4)), r"Image is no \.vqc file: pass a path"),
        (lambda: "missing.vqc", r"missing\.vqc: No such file or directory"),
        (lambda: "a\0b", "embedded null"),
        (lambda: io.StringIO("text"), "open as text: open it with mode 'rb'"),
        (closed_file, "the open file cannot be read: .*closed file"),
    ],
)
def test_what_cannot_be_decompressed_is_one_line(codec: Codec, make: Callable[[], Any], words: str) -> None:
    for decompress in (codec.decompress, vqcodec.info):
        with pytest.raises(ImageError, match=words) as caught:
            decompress(make())
        assert "\n" not in str(caught.value)


def test_damage_is_told_as_before(codec: Codec, tmp_path: Path) -> None:
    (tmp_path / "text.vqc").write_text("no .vqc file")
    for source in (tmp_path / "text.vqc", b"no .vqc file"):
        with pytest.raises(BadMagic, match=r"not a \.vqc file"):
            codec.decompress(source)

"""Images come as files, bytes, Pillow images, arrays and tensors: all give the same file, or one line of refusal."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vqcodec
from bitstream import Metadata
from tests.support.exif import camera_exif
from tests.support.icc import rgb_profile
from vqcodec.codec import Codec, default_codec
from vqcodec.errors import LossWarning
from vqcodec.image.inputs import as_picture
from vqcodec.image.picture import Picture, from_pil

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_alpha(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(image.convert("L"))
    return image


def channels_first(image: Image.Image) -> torch.Tensor:
    array = np.array(image)
    return torch.from_numpy(array if array.ndim == 2 else np.moveaxis(array, 2, 0).copy())


def same(found: Picture, expected: Picture) -> bool:
    return (
        np.array_equal(found.pixels, expected.pixels)
        and found.grey == expected.grey
        and (found.alpha is None) == (expected.alpha is None)
        and (found.alpha is None or np.array_equal(found.alpha, expected.alpha))
        and found.metadata == expected.metadata
    )


FORMS: dict[str, Callable[[Image.Image, Path], Any]] = {
    "str": lambda image, path: str(path),
    "path": lambda image, path: path,
    "open file": lambda image, path: path.open("rb"),
    "file that has been read": lambda image, path: read_to_its_end(path),
    "BytesIO": lambda image, path: io.BytesIO(path.read_bytes()),
    "bytes": lambda image, path: path.read_bytes(),
    "bytearray": lambda image, path: bytearray(path.read_bytes()),
    "memoryview": lambda image, path: memoryview(path.read_bytes()),
    "memoryview with steps": lambda image, path: memoryview(
        bytes(np.repeat(list(path.read_bytes()), 2).tolist())
    )[::2],
    "opened image": lambda image, path: Image.open(path),
    "Picture": lambda image, path: from_pil(image),
    "uint8 array": lambda image, path: np.asarray(image),
    "array that cannot be written": lambda image, path: frozen(np.array(image)),
    "array in Fortran order": lambda image, path: np.asfortranarray(image),
    "array with negative steps": lambda image, path: np.array(image)[::-1].copy()[::-1],
    "int64 array": lambda image, path: np.asarray(image, np.int64),
    "float64 array": lambda image, path: np.asarray(image) / 255,
    "float32 array": lambda image, path: np.asarray(image, np.float32) / np.float32(255),
    "float16 array": lambda image, path: (np.asarray(image) / 255).astype(np.float16),
    "array of other byte order": lambda image, path: np.asarray(image).astype(">i4"),
    "uint8 tensor": lambda image, path: channels_first(image),
    "batch of one": lambda image, path: channels_first(image)[None],
    "float tensor": lambda image, path: channels_first(image) / 255,
    "tensor with gradient": lambda image, path: (channels_first(image) / 255).requires_grad_(),
    "int64 tensor": lambda image, path: channels_first(image).long(),
    "tensor with steps": lambda image, path: torch.from_numpy(np.array(image)).permute(2, 0, 1),
}


def read_to_its_end(path: Path) -> io.BufferedReader:
    file = path.open("rb")
    file.read()
    return file


def frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_image_gives_the_same_file(
    codec: Codec, photo: Image.Image, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "photo.png"
    photo.save(path)
    image = FORMS[form](photo, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LossWarning)
        data = codec.compress(image, 30)
    assert data == codec.compress(photo, 30)
    if hasattr(image, "close"):
        image.close()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize(
    "form", ["uint8 array", "float32 array", "uint8 tensor", "batch of one", "float tensor"]
)
def test_channels_are_grey_and_alpha_and_colours(photo: Image.Image, mode: str, form: str) -> None:
    image = (
        with_alpha(photo.convert(mode[0] if mode[0] == "L" else "RGB"))
        if "A" in mode
        else photo.convert(mode)
    )
    assert image.mode == mode
    given = (
        channels_first(image)[None, None]
        if (mode, form) == ("L", "batch of one")
        else FORMS[form](image, Path())
    )
    expected = from_pil(image)
    assert same(as_picture(given), expected)
    if mode == "L" and isinstance(given, np.ndarray):
        assert same(as_picture(given[:, :, None]), expected)
    if mode == "L" and not isinstance(given, np.ndarray) and given.ndim == 2:
        assert same(as_picture(given[None]), expected)


def test_every_function_takes_every_form(codec: Codec, photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    photo.save(path)
    forms = [
        path,
        str(path),
        path.read_bytes(),
        photo,
        from_pil(photo),
        np.asarray(photo),
        channels_first(photo),
    ]
    expected = codec.compress(photo)
    assert list(codec.compress_many(forms)) == [expected] * len(forms)
    assert vqcodec.compress(path) == vqcodec.compress(np.asarray(photo)) == expected
    planes = codec.encode(photo)
    for form in forms:
        assert np.array_equal(codec.encode(form), planes)


def test_sixteen_bits_span_their_whole_range_and_warn() -> None:
    array = np.array([[0, 257, 32767, 65535]], np.uint16)
    with pytest.warns(LossWarning, match="16 bits per channel are reduced to 8"):
        grey = as_picture(array)
    assert grey.pixels[0, :, 0].tolist() == [0, 1, 127, 255]
    with pytest.warns(LossWarning):
        assert same(grey, from_pil(Image.fromarray(array)))
    with pytest.warns(LossWarning):
        assert np.array_equal(as_picture(np.stack([array] * 3, 2)).pixels, grey.pixels)
    with pytest.warns(LossWarning):
        assert same(as_picture(torch.from_numpy(array)[None]), grey)


def test_booleans_are_black_and_white() -> None:
    array = np.array([[True, False, True]])
    picture = as_picture(array)
    assert same(picture, from_pil(Image.fromarray(array)))
    assert picture.pixels[0, :, 0].tolist() == [255, 0, 255]
    assert same(as_picture(torch.from_numpy(array)), picture)


def test_floats_span_zero_to_one_and_may_miss_it_by_rounding() -> None:
    values = [0, 0.5, 1, 1 + 9e-7, -9e-7]
    for dtype in (np.float32, np.float64):
        assert as_picture(np.array([values], dtype)).pixels[0, :, 0].tolist() == [0, 128, 255, 255, 0]
    tensor = torch.tensor([[[0, 0.5, 1]]], dtype=torch.bfloat16)
    assert as_picture(tensor).pixels[0, :, 0].tolist() == [0, 128, 255]


def test_integers_of_every_width_mean_the_same_as_bytes() -> None:
    for dtype in (np.int8, np.int16, np.int32, np.uint32, np.int64, np.uint64):
        assert as_picture(np.array([[0, 127]], dtype)).pixels[0, :, 0].tolist() == [0, 127]


def test_anything_that_gives_an_array_is_one(photo: Image.Image) -> None:
    class Frame:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.asarray(photo)

    assert same(as_picture(Frame()), from_pil(photo))


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_multiplied_alpha_is_divided_out(photo: Image.Image, mode: str) -> None:
    image = with_alpha(photo.convert("L") if mode == "La" else photo).convert(mode)
    picture = as_picture(image)
    assert picture.grey == (mode == "La")
    assert same(picture, from_pil(image.convert(mode.upper())))


def test_metadata_comes_with_files_and_may_be_given_with_anything(photo: Image.Image, tmp_path: Path) -> None:
    own = Metadata(rgb_profile(), camera_exif(None))
    path = tmp_path / "photo.png"
    photo.save(path, icc_profile=own.icc, exif=own.exif)
    assert as_picture(path).metadata == own
    assert as_picture(path.read_bytes()).metadata == own
    assert as_picture(np.asarray(photo)).metadata == Metadata()
    other = Metadata(xmp=XMP)
    for image in (path, path.read_bytes(), photo, from_pil(photo), np.asarray(photo), channels_first(photo)):
        assert as_picture(image, other).metadata == other
        assert as_picture(image, Metadata()).metadata == Metadata()


def test_the_orientation_of_given_metadata_turns_arrays_as_it_turns_images(photo: Image.Image) -> None:
    turned = Metadata(exif=camera_exif(6))
    expected = from_pil(photo, turned)
    assert expected.pixels.shape == (160, 107, 3)
    assert same(as_picture(np.asarray(photo), turned), expected)
    assert same(as_picture(encoded(photo), turned), expected)


def test_open_files_stay_open(photo: Image.Image) -> None:
    file = io.BytesIO(encoded(photo))
    as_picture(file)
    assert not file.closed


def test_the_types_have_names() -> None:
    assert bytes in vqcodec.ImageLike.__args__
    assert str in vqcodec.FileLike.__args__

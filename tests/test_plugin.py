"""`.vqc` files in Pillow behave as other formats do."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

import vqcodec.plugin
from tests.support.exif import camera_exif
from tests.support.icc import rgb_profile
from vqcodec.codec import default_codec
from vqcodec.errors import LossWarning, ModelError, TargetError

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "VQC", **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_file_comes_back_through_open_and_save(photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "photo.vqc"
    photo.save(path, quality=80)
    with Image.open(path) as image:
        assert (image.format, image.size, image.mode) == ("VQC", photo.size, "RGB")
        assert image.get_format_mimetype() == "image/x-vqc"
        assert np.array_equal(image, default_codec().decompress(path.read_bytes()))
    assert path.read_bytes() == default_codec().compress(photo, 80)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_modes_are_known_before_decoding(photo: Image.Image, mode: str) -> None:
    before = photo.convert(mode)
    if mode.endswith("A"):
        before.putalpha(100)  # alpha that is opaque everywhere is dropped
    image = opened(saved(before))
    assert image.mode == mode
    image.load()
    assert image.mode == mode


def test_opening_needs_neither_model_nor_torch(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "photo.vqc")
    code = (
        "import sys; import vqcodec.plugin; from PIL import Image; image = Image.open(sys.argv[1]);"
        "assert image.size == (160, 107); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "photo.vqc"], check=True)


def test_metadata_of_the_image_is_kept_and_may_be_replaced(photo: Image.Image) -> None:
    image = photo.copy()
    image.info = {"icc_profile": rgb_profile(), "exif": b"Exif\0\0" + camera_exif(None), "xmp": XMP}
    kept = opened(saved(image))
    assert {name: kept.info[name] for name in image.info} == image.info
    assert kept.getexif()[0x010F] == "Cameras & Sons"
    exif = Image.Exif()
    exif[0x010F] = "somebody else"
    replaced = opened(saved(image, icc_profile=None, exif=exif, xmp="<other/>"))
    assert "icc_profile" not in replaced.info
    assert dict(replaced.getexif()) == {0x010F: "somebody else"}
    assert replaced.info["xmp"] == b"<other/>"
    bare = opened(saved(image, icc_profile=b"", exif=b"", xmp=b""))
    assert not {"icc_profile", "exif", "xmp"} & set(bare.info)


def test_the_orientation_that_is_saved_is_applied(photo: Image.Image) -> None:
    assert opened(saved(photo, exif=camera_exif(6))).size == (107, 160)
    turned = photo.copy()
    turned.info["exif"] = camera_exif(8)
    assert opened(saved(turned)).size == (107, 160)
    assert opened(saved(turned, exif=b"")).size == (107, 160)
    assert opened(saved(turned, exif=camera_exif(None))).size == (160, 107)
    assert 0x0112 not in opened(saved(turned)).getexif()


def test_sizes_can_be_asked_for(photo: Image.Image) -> None:
    assert 0.97 * 600 <= len(saved(photo, size=600)) <= 600
    assert 8 * len(saved(photo, bpp=0.25)) <= 0.25 * 160 * 107
    with pytest.raises(TargetError):
        saved(photo, size=30)


def test_options_that_are_wrong_are_an_error(photo: Image.Image) -> None:
    with pytest.raises(ValueError, match="quality 101 is not between 0 and 100"):
        saved(photo, quality=101)
    with pytest.raises(ValueError, match="quality 'keep' is not a number between 0 and 100"):
        saved(photo, quality="keep")
    with pytest.raises(ValueError, match="bpp and size exclude each other"):
        saved(photo, bpp=0.1, size=600)
    with pytest.raises(ModelError, match="no such model"):
        saved(photo, model="nosuch")


# What programs pass to `save` whatever the format.
HARMLESS = [
    {"optimize": True, "progressive": True},
    {"dpi": (72, 72), "subsampling": 0, "qtables": "web_high", "keep_rgb": True},
    {"method": 6, "exact": True, "alpha_quality": 100, "lossless": False},
    {"compress_level": 9, "compress_type": 3, "bits": 8, "pnginfo": None},
    {"compression": "tiff_lzw", "resolution": 300, "tiffinfo": {}},
    {"speed": 6, "codec": "auto", "range": "full"},
    {"save_all": True, "append_images": [], "duration": 100, "loop": 0},
    {"save_all": False, "icc_profile": None, "exif": None, "xmp": None, "comment": None},
    {"quality": None, "bpp": None, "size": None, "model": None},
]


@pytest.mark.parametrize("options", HARMLESS)
def test_options_of_other_formats_change_nothing(photo: Image.Image, options: dict[str, object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert saved(photo, **options) == saved(photo)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lossless": True}, "lossless is ignored: every .vqc file is lossy"),
        ({"comment": "here"}, "comment is ignored: a .vqc file keeps ICC profile, EXIF and XMP"),
        (
            {"append_images": [Image.new("RGB", (4, 4))]},
            "append_images is ignored: a .vqc file holds one picture",
        ),
        (
            {"save_all": True, "append_images": [Image.new("RGB", (4, 4))]},
            "append_images is ignored: a .vqc file holds one picture",
        ),
        ({"transparency": 0}, "transparency is ignored: give the image an alpha channel"),
        ({"transparency": (1, 2, 3)}, "transparency is ignored: give the image an alpha channel"),
        ({"qualty": 90}, "qualty is ignored: no such option, did you mean quality?"),
        ({"sise": 600}, "sise is ignored: no such option, did you mean size?"),
        ({"metadata": None}, "metadata is ignored: no such option"),
    ],
)
def test_what_is_not_done_is_a_warning_at_the_line_that_saves(
    photo: Image.Image, options: dict[str, object], words: str
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert saved(photo, **options) == saved(photo)
    assert [str(warning.message) for warning in caught] == [words]
    for warning in caught:
        assert warning.category is LossWarning
        assert warning.filename == __file__


def test_of_several_frames_the_first_is_saved_with_a_warning(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "moving.gif", save_all=True, append_images=[photo.rotate(180)])
    for save_all in (True, False):
        expected = pytest.warns(LossWarning, match="only the first of several frames is kept")
        with Image.open(tmp_path / "moving.gif") as image, expected:
            saved(image, save_all=save_all)


@pytest.mark.parametrize("length", [3, 5, 19, 20, 25, 40])
def test_files_that_are_cut_short_are_errors_on_opening(photo: Image.Image, length: int) -> None:
    with pytest.raises(OSError, match=r"damaged .vqc file|cannot identify"):
        opened(saved(photo)[:length])


def test_truncated_files_load_only_when_asked_to(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(photo, quality=100)
    cut = data[: len(data) * 2 // 3]
    with pytest.raises(OSError, match="the file ends inside its payload"):
        opened(cut)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.warns(LossWarning, match="stages shown"):
        opened(cut).load()


def test_damage_is_found_by_loading_and_by_verifying(photo: Image.Image) -> None:
    data = bytearray(saved(photo))
    data[-6] ^= 1
    with pytest.raises(OSError, match="the checksum of chunk P is wrong"):
        opened(data).load()
    with pytest.raises(OSError, match="the checksum of chunk P is wrong"):
        opened(data).verify()
    opened(saved(photo)).verify()


def test_decompression_bombs_are_refused(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(photo)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 160 * 107 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        opened(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        opened(data)


def test_other_formats_are_left_alone(photo: Image.Image) -> None:
    file = io.BytesIO()
    photo.save(file, "PNG")
    assert Image.open(file).format == "PNG"
    assert not vqcodec.plugin.VqcImageFile.__module__.startswith("PIL")


def test_usual_operations_work(photo: Image.Image) -> None:
    data = saved(photo)
    image = opened(data)
    image.thumbnail((80, 80))
    assert image.size == (80, 54)
    assert opened(data).copy().tobytes() == opened(data).convert("RGB").tobytes()
    image = opened(data)
    image.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) == (1, 2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(data).resize((10, 10)).save(io.BytesIO(), "PNG")


def test_threads_may_share_an_image(photo: Image.Image) -> None:
    data = saved(photo)
    expected = opened(data).tobytes()
    image = opened(data)
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(image.tobytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_another_default_model_may_be_registered(photo: Image.Image, tmp_path: Path) -> None:
    data = saved(photo)
    try:
        vqcodec.plugin.register_vqc_opener(model=tmp_path / "nosuch.safetensors")
        with pytest.raises(ModelError):
            opened(data).load()
    finally:
        vqcodec.plugin.register_vqc_opener()
    opened(data).load()

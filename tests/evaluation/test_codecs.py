"""The codecs behind their interface, a codec of one's own, and the search for a file of a given size."""

import io
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin, features

import bitstream
import vqcodec
from tests.support.pictures import scene
from vqcodec.errors import ModelError, RequestError
from vqcodec.evaluation.codecs import BenchCodec, load_codec, quality_for_size

PEERS = [
    "jpeg",
    pytest.param("webp", marks=pytest.mark.skipif(not features.check("webp"), reason="Pillow without WebP")),
    pytest.param("avif", marks=pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")),
    pytest.param("jxl", marks=pytest.mark.skipif(not find_spec("pillow_jxl"), reason="no pillow-jxl-plugin")),
]


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_makes_whole_files_that_grow_with_quality(name: str) -> None:
    codec = load_codec(name)
    image = scene(96, 80)
    files = [codec.compress(image, quality) for quality in (codec.qualities[0], codec.qualities[-1])]
    assert len(files[0]) < len(files[1])
    with Image.open(io.BytesIO(files[0])) as opened:
        assert opened.size == image.size
    decoded = codec.decompress(files[1])
    assert decoded.mode == "RGB"
    assert decoded.size == image.size
    assert codec.settings


def test_the_codec_of_this_package_says_which_model_it_is(photo: Image.Image) -> None:
    try:
        codec = load_codec("vqcodec")
    except ModelError as error:
        pytest.skip(str(error))
    files = [codec.compress(photo, quality) for quality in (codec.qualities[0], codec.qualities[-1])]
    assert len(files[0]) < len(files[1])
    assert bitstream.read_header(files[0]).model_id.hex() in codec.settings
    decoded = codec.decompress(files[0])
    assert (decoded.mode, decoded.size) == ("RGB", photo.size)
    assert load_codec("vqcodec@photo").compress(photo, 50) == codec.compress(photo, 50)
    assert load_codec("vqcodec@photo").name == "vqcodec@photo"
    faithful = load_codec("vqcodec-faithful")
    assert faithful.settings.endswith("realism 0")
    assert faithful.compress(photo, 50) == codec.compress(photo, 50)
    expected = vqcodec.decompress(files[0], realism=0.0)
    assert np.array_equal(np.asarray(faithful.decompress(files[0])), np.asarray(expected))


MY_CODEC = """
from vqcodec.errors import ModelError, RequestError
from vqcodec.evaluation.codecs import BenchCodec
from PIL import Image

class Halver(BenchCodec):
    name = "halver"
    qualities = (1, 2)

    def compress(self, image, quality):
        return bytes([image.width, image.height]) + image.tobytes()

    def decompress(self, data):
        return Image.frombytes("RGB", (data[0], data[1]), data[2:])

class Unfinished:
    name = "unfinished"

class WithoutWeights(Halver):
    def __init__(self):
        open("weights.bin")
"""


def test_a_codec_of_ones_own_is_found_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halver_of_a_test.py").write_text(MY_CODEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    codec = load_codec("halver_of_a_test:Halver")
    image = scene(20, 10)
    assert codec.decompress(codec.compress(image, 1)).tobytes() == image.tobytes()
    with pytest.raises(RequestError, match="lacks qualities, compress, decompress"):
        load_codec("halver_of_a_test:Unfinished")
    with pytest.raises(RequestError, match=r"cannot be loaded: AttributeError: .*Missing"):
        load_codec("halver_of_a_test:Missing")
    with pytest.raises(RequestError, match=r"cannot be loaded: FileNotFoundError: .*weights\.bin"):
        load_codec("halver_of_a_test:WithoutWeights")


def test_the_codec_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    written = [line for line in source.splitlines() if line and "import" not in line]
    assert len(written) <= 10
    (tmp_path / "documented.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    codec = load_codec("documented:Jpeg444")
    image = scene(64, 48)
    files = [codec.compress(image, quality) for quality in codec.qualities]
    assert [len(file) for file in files] == sorted(len(file) for file in files)
    with Image.open(io.BytesIO(files[0])) as opened:
        assert JpegImagePlugin.get_sampling(opened) == 0
    assert codec.decompress(files[0]).size == image.size


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(RequestError, match="jpeg, webp, avif"):
        load_codec("gif")


class Steps(BenchCodec):
    """Files of 10, 20, 20, 40 and 80 bytes."""

    name = "steps"
    qualities = (1, 2, 3, 4, 5)

    def compress(self, image: Image.Image, quality: float) -> bytes:
        return bytes((10, 20, 20, 40, 80)[int(quality) - 1])

    def decompress(self, data: bytes) -> Image.Image:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("size", "above", "below"),
    [(5, 10, 10), (10, 10, 10), (11, 20, 10), (20, 20, 20), (39, 40, 20), (80, 80, 80), (99, 80, 80)],
)
def test_search_for_a_size(size: int, above: int, below: int) -> None:
    image = Image.new("RGB", (1, 1))
    assert len(quality_for_size(Steps(), image, size)[1]) == above
    assert len(quality_for_size(Steps(), image, size, at_least=False)[1]) == below

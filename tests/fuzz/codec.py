"""Damaged files through the model, to pictures: `BitstreamError`, `ModelError`, or a picture, and nothing else."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

import bitstream
import vqcodec.plugin  # noqa: F401 - registers the format
from tests.entropy.models import random_planes
from tests.fuzz.mutate import mutate
from tests.support.exif import camera_exif
from tests.support.icc import rgb_profile
from vqcodec.codec import Codec
from vqcodec.errors import LossWarning, ModelError
from vqcodec.geometry import Box

DATA = Path(__file__).parents[1] / "data"
MOST_PIXELS = 1 << 18


def seeds(codec: Codec) -> list[bytes]:
    """Intact files of small pictures: of each mode, with metadata, of many tiles, of one pixel, of noise."""
    with Image.open(DATA / "cat.jpg") as image:
        photo = image.resize((48, 40))
    clear = photo.convert("RGBA")
    clear.putalpha(photo.convert("L"))
    metadata = bitstream.Metadata(rgb_profile(), camera_exif(None), b"<x:xmpmeta/>")
    files = [
        codec.compress(photo, 30),
        codec.compress(photo, 100, metadata=metadata),
        codec.compress(clear, 60, metadata=metadata),
        codec.compress(photo.convert("LA"), 20),
        codec.compress(photo.resize((1, 1)).convert("L")),
        codec.compress(photo.resize((300, 1)), 80),
    ]
    config = codec.config
    for shape in ((1, 1), (5, 9)):
        noise = random_planes(config.layers, config.has_base, shape)
        header = bitstream.Header(
            config.downsampling * shape[1],
            config.downsampling * shape[0],
            codec.model_id,
            noise.stages,
            noise.rate,
            config.downsampling.bit_length() - 1,
            tile_log2=2,
        )
        parts = [noise.part(Box.of_tile(header.tile(number))) for number in range(header.tiles)]
        files.append(bitstream.write(header, codec.packing.coder.write(parts)))
    return files


def mutants(codec: Codec, seed: int) -> Iterator[tuple[bytes, int]]:
    """Damaged files, each with a number that chooses how to read it, without end."""
    rng = random.Random(seed)
    files = seeds(codec)
    while True:
        yield mutate(rng, rng.choice(files), rng.choice(files)), rng.randrange(5)


def exercise(codec: Codec, data: bytes, choice: int) -> str:
    """Decompress in one of five ways; returns the name of the error, or what kind of picture came out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            image = _opened(data) if choice == 3 else _decompressed(codec, data, choice)
        except (bitstream.BitstreamError, ModelError) as error:
            if not str(error) or "\n" in str(error):
                raise AssertionError(f"not one clear line: {error!r}") from error
            return type(error).__name__
        except (OSError, Image.DecompressionBombError) as error:
            if choice != 3:
                raise
            return type(error).__name__
    allowed = (LossWarning, Image.DecompressionBombWarning) if choice == 3 else LossWarning
    assert all(issubclass(warning.category, allowed) for warning in caught)
    assert image.width * image.height <= MOST_PIXELS
    image.tobytes()
    return "picture with a warning" if caught else "picture"


def _decompressed(codec: Codec, data: bytes, choice: int) -> Image.Image:
    options = {"max_pixels": MOST_PIXELS, "allow_truncated": choice != 0, "conceal": choice == 4}
    if choice == 2:
        header = bitstream.read_header(data)
        options |= {"region": (header.width // 16 * 8, 0, 1, min(header.height, 200)), "scale": 8}
    image = codec.decompress(data, **options)
    if choice != 2:
        header = bitstream.read_header(data)
        assert image.size == (header.width, header.height)
    return image


def _opened(data: bytes) -> Image.Image:
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return image
    finally:
        Image.MAX_IMAGE_PIXELS = before

"""What is timed: every stage of the codec by itself and as a whole, and the peers as a whole."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vqcodec.codec import Codec
from vqcodec.errors import ModelError
from vqcodec.evaluation.codecs import BenchCodec, load_codec
from vqcodec.evaluation.codecs.compressai import CompressAICodec
from vqcodec.extras import MissingExtraError
from vqcodec.rate import place_of, setting_at

SIZE = (768, 512)  # of the Kodak pictures
QUALITY = 50
# Qualities whose files of photographs are about as large as those of QUALITY, 0.1 to 0.25 bits per pixel.
PEER_QUALITIES = {"jpeg": 5, "webp": 5, "avif": 16, "jxl": 5}
NEURAL_PEERS = ("mbt2018-mean", "cheng2020-anchor")


@dataclass(frozen=True)
class Stage:
    """One thing to be timed.

    Attributes:
        codec: heading in the table.
        name: row in the table.
        prepare: loads and computes what the stage needs, and returns the stage as a function of no arguments.
    """

    codec: str
    name: str
    prepare: Callable[[], Callable[[], Any]]


class Unavailable(Exception):  # noqa: N818 - a reason to skip, not a fault
    """A codec cannot be timed here, and why."""


def picture() -> Image.Image:
    """A photograph of 768x512 pixels, from the tests' data; where there is none, a drawn scene."""
    photos = sorted((Path(__file__).parents[2] / "tests" / "data").glob("*.[jp][pn]g"))
    if not photos:
        y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] / 40.0
        waves = np.stack([np.sin(x) * np.cos(y), np.sin(x * y), np.cos(3 * x + y)], axis=2)
        noise = np.random.default_rng(0).normal(0, 6, waves.shape)
        return Image.fromarray((128 + 60 * waves + noise).clip(0, 255).astype(np.uint8))
    with Image.open(photos[0]) as photo:
        return ImageOps.fit(photo.convert("RGB"), SIZE, Image.Resampling.LANCZOS)


@cache
def _codec() -> Codec:
    try:
        return Codec.load(os.environ.get("VQCODEC_MODEL"))
    except ModelError as error:
        raise Unavailable(str(error)) from error


def _encode_network() -> Callable[[], Any]:
    pixels, planes = np.asarray(picture()), _codec().encode(picture(), QUALITY)
    return lambda: _codec().transform.latents(pixels, planes)


def _quantize() -> Callable[[], Any]:
    planes = _codec().encode(picture(), QUALITY)
    latents = _codec().transform.latents(np.asarray(picture()), planes)
    lmbda = setting_at(_codec().config, place_of(QUALITY)).lmbda
    return lambda: _codec().transform.quantize(latents, planes, lmbda)


def _pack() -> Callable[[], Any]:
    planes = _codec().encode(picture(), QUALITY)
    return lambda: _codec().pack(planes, SIZE)


def _unpack() -> Callable[[], Any]:
    data = _codec().compress(picture(), QUALITY)
    return lambda: _codec().unpack(data)


def _generator() -> Callable[[], Any]:
    planes = _codec().encode(picture(), QUALITY)
    return lambda: _codec().transform.render(planes)


def _compress() -> Callable[[], Any]:
    image = picture()
    return lambda: _codec().compress(image, QUALITY)


def _decompress() -> Callable[[], Any]:
    data = _codec().compress(picture(), QUALITY)
    return lambda: _codec().decompress(data)


class _Peer:
    """A whole codec of others, in one direction; a class, so that it can be sent to another process."""

    def __init__(self, name: str, decode: bool) -> None:
        self._name = name
        self._decode = decode

    def __call__(self) -> Callable[[], Any]:
        try:
            codec: BenchCodec = (
                CompressAICodec(self._name, random_weights=True)
                if self._name in NEURAL_PEERS
                else load_codec(self._name)
            )
        except MissingExtraError as error:
            raise Unavailable(str(error)) from error
        image = picture()
        quality = PEER_QUALITIES.get(self._name, 1)
        data = codec.compress(image, quality)
        return (lambda: codec.decompress(data)) if self._decode else (lambda: codec.compress(image, quality))


def _peers() -> Iterator[Stage]:
    for name in (*PEER_QUALITIES, *NEURAL_PEERS):
        heading = f"{name}, random weights" if name in NEURAL_PEERS else name
        yield Stage(heading, "compress", _Peer(name, decode=False))
        yield Stage(heading, "decompress", _Peer(name, decode=True))


STAGES = [
    Stage("vqcodec", "encode network", _encode_network),
    Stage("vqcodec", "quantize", _quantize),
    Stage("vqcodec", "context and coding, encode", _pack),
    Stage("vqcodec", "context and coding, decode", _unpack),
    Stage("vqcodec", "generator", _generator),
    Stage("vqcodec", "compress", _compress),
    Stage("vqcodec", "decompress", _decompress),
    *_peers(),
]

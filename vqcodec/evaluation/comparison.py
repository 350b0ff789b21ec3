"""One picture through several codecs at equal bytes, to be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from vqcodec.evaluation.codecs import Codec, quality_for_size
from vqcodec.evaluation.metrics import Scorer


@dataclass(frozen=True)
class Version:
    """A picture after one codec.

    Attributes:
        codec: name.
        quality: its setting.
        size: bytes of the whole file.
        image: decoded.
        metrics: against the original, by metric name.
    """

    codec: str
    quality: float
    size: int
    image: Image.Image
    metrics: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """A picture and its versions at about the same size.

    Attributes:
        name: of the picture.
        original: RGB.
        versions: the codec under test first.
    """

    name: str
    original: Image.Image
    versions: tuple[Version, ...]


def compare(name: str, image: Image.Image, codecs: Sequence[Codec], bpp: float, scorer: Scorer) -> Comparison:
    """Compress a picture to a rate with the first codec, and to no fewer bytes with each of the others.

    The first codec gets the largest file within the rate, or its smallest; each other one the smallest file
    that is not smaller than that, or its largest. So rounding of sizes is never in favour of the first.

    Args:
        name: of the picture.
        image: RGB.
        codecs: at least one.
        bpp: bits per pixel of the whole file.
        scorer: computes the metrics.
    """
    tested, *peers = codecs
    quality, data = quality_for_size(tested, image, int(bpp * image.width * image.height / 8), at_least=False)
    files = [(tested, quality, data)]
    files += [(peer, *quality_for_size(peer, image, len(data))) for peer in peers]
    reference = scorer.reference(image)
    versions = []
    for codec, quality, file in files:
        decoded = codec.decompress(file).convert("RGB")
        versions.append(Version(codec.name, quality, len(file), decoded, scorer.score(reference, decoded)))
    return Comparison(name, image, tuple(versions))

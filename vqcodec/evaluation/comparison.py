"""One picture through several codecs at equal bytes, to be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from vqcodec.evaluation.codecs import BenchCodec, load_codec, quality_for_size
from vqcodec.evaluation.metrics import Scorer
from vqcodec.evaluation.originals import Original, read_image
from vqcodec.evaluation.pool import in_processes

# Metrics of pictures that are looked at: without VGG16, which takes longer than all the rest.
BESIDE_PICTURES = ("psnr", "ms-ssim", "ssimulacra2", "st-lpips-alex")


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
        bpp: rate that was asked for.
        original: RGB.
        versions: the codec under test first.
    """

    name: str
    bpp: float
    original: Image.Image
    versions: tuple[Version, ...]


def compare(
    name: str, image: Image.Image, codecs: Sequence[BenchCodec], bpp: float, scorer: Scorer
) -> Comparison:
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
    return Comparison(name, bpp, image, tuple(versions))


@dataclass(frozen=True)
class ComparisonTask:
    """A comparison to be made: what `compare` takes, by names.

    Attributes:
        name: of the picture.
        path: of the picture.
        bpp: rate of the first codec.
        codecs: names for `load_codec`.
        metrics: names of metrics.
    """

    name: str
    path: Path
    bpp: float
    codecs: tuple[str, ...]
    metrics: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} at {self.bpp:g} bpp"


def spread(originals: Sequence[Original], count: int) -> list[Original]:
    """So many pictures at equal steps through a list: nobody chose them."""
    count = min(count, len(originals))
    return [originals[index * len(originals) // count] for index in range(count)]


def compare_all(tasks: Sequence[ComparisonTask], workers: int) -> list[Comparison]:
    """Make comparisons in several processes, with a progress bar.

    Raises:
        RequestError: a codec or metric does not exist.
        TaskError: a codec failed on a picture.
        MissingExtraError: a package that a codec or metric needs is not installed.
    """
    for task in tasks[:1]:
        # Says what is missing in words of its own, before a process finds out.
        for name in task.codecs:
            load_codec(name)
        Scorer(task.metrics)
    done = in_processes(_compare, tasks, workers)
    made = dict(tqdm(done, total=len(tasks), unit="picture"))
    return [made[task] for task in tasks]


_codec = lru_cache(load_codec)
_scorer = lru_cache(Scorer)


def _compare(task: ComparisonTask) -> Comparison:
    codecs = [_codec(name) for name in task.codecs]
    return compare(task.name, read_image(task.path), codecs, task.bpp, _scorer(task.metrics))

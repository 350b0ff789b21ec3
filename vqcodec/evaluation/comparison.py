"""One picture in several codecs at equal file size, for viewing."""

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

# Metrics shown beside pictures: without VGG16, which takes longer than all the others.
BESIDE_PICTURES = ("psnr", "ms-ssim", "ssimulacra2", "st-lpips-alex")


@dataclass(frozen=True)
class Version:
    """A picture after one codec.

    Attributes:
        codec: name of the codec.
        quality: setting of the codec.
        size: bytes of the whole file.
        image: decoded RGB.
        metrics: values against the original, by metric name.
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
        name: name of the picture.
        bpp: requested rate, in bits per pixel.
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
    """Compress a picture to a rate with the first codec, and to at least as many bytes with each other codec.

    The first codec gets the largest file within the rate, or else its smallest file. Each other codec gets
    the smallest file that is not smaller than that, or else its largest. So the granularity of file sizes
    never favours the first codec.

    Args:
        name: name of the picture.
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
    """A comparison to make: the arguments of `compare`, by name.

    Attributes:
        name: name of the picture.
        path: file of the picture.
        bpp: rate of the first codec, in bits per pixel.
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
    """Return `count` pictures at equal steps through a list, so that nobody hand-picks them."""
    count = min(count, len(originals))
    return [originals[index * len(originals) // count] for index in range(count)]


def compare_all(tasks: Sequence[ComparisonTask], workers: int) -> list[Comparison]:
    """Make comparisons in several processes, with a progress bar; return them in the order of the tasks.

    Raises:
        RequestError: a codec or metric does not exist.
        TaskError: a codec failed on a picture.
        MissingExtraError: a package that a codec or metric needs is not installed.
    """
    for task in tasks[:1]:
        # Report missing packages before the processes start.
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

"""Interface of a codec to measure. You can implement it for your own codec.

`docs/evaluation.md` shows one of ten lines.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from PIL import Image


class BenchCodec(ABC):
    """A codec with a quality setting.

    Attributes:
        name: name in tables, plots and file names.
        qualities: settings of a sweep, worst first.
        fine_qualities: settings to choose from for a given file size, worst first. If empty, the sweep is
            used.
        settings: versions and fixed options. Results with other settings are never reused.
    """

    name: str
    qualities: Sequence[float]
    fine_qualities: Sequence[float] = ()
    settings: str = ""

    @abstractmethod
    def compress(self, image: Image.Image, quality: float) -> bytes:
        """Compress an RGB image to a complete file. All of its bytes count."""

    @abstractmethod
    def decompress(self, data: bytes) -> Image.Image:
        """Decode a file from `compress` to an RGB image, from the file alone."""


def quality_for_size(
    codec: BenchCodec, image: Image.Image, size: int, at_least: bool = True
) -> tuple[float, bytes]:
    """Find the file whose size is nearest to a given one from above, or from below.

    Sizes are assumed to grow with quality. A binary search over `fine_qualities` finds the file.

    Args:
        codec: any codec.
        image: RGB.
        size: size in bytes.
        at_least: whether the file must not be smaller than `size`; otherwise it must not be larger.

    Returns:
        the quality and the file. If no file qualifies, it is the largest one (or the smallest one).
    """
    choices = list(codec.fine_qualities or codec.qualities)
    files: dict[int, bytes] = {}

    def file_at(index: int) -> bytes:
        if index not in files:
            files[index] = codec.compress(image, choices[index])
        return files[index]

    low, high = 0, len(choices) - 1
    while low < high:
        if at_least:
            middle = (low + high) // 2
            low, high = (low, middle) if len(file_at(middle)) >= size else (middle + 1, high)
        else:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if len(file_at(middle)) <= size else (low, middle - 1)
    return choices[low], file_at(low)

"""The interface of a codec that is measured; anybody's codec can implement it.

`docs/evaluation.md` shows one of ten lines.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from PIL import Image


class BenchCodec(ABC):
    """A codec with a quality setting.

    Attributes:
        name: what tables, plots and file names call it.
        qualities: the settings of a sweep, worst first.
        fine_qualities: settings to choose from when a file has to have a certain size, worst first;
            the sweep itself where a codec has none.
        settings: versions and fixed options; results made with other settings are never reused.
    """

    name: str
    qualities: Sequence[float]
    fine_qualities: Sequence[float] = ()
    settings: str = ""

    @abstractmethod
    def compress(self, image: Image.Image, quality: float) -> bytes:
        """A whole file of an RGB image; every byte of it counts."""

    @abstractmethod
    def decompress(self, data: bytes) -> Image.Image:
        """The RGB image of a file from `compress`, decoded from the file alone."""


def quality_for_size(
    codec: BenchCodec, image: Image.Image, size: int, at_least: bool = True
) -> tuple[float, bytes]:
    """The file whose size is nearest to a given one from above, or from below.

    Sizes are taken to grow with quality, so a binary search over `fine_qualities` finds it.

    Args:
        codec: any codec.
        image: RGB.
        size: bytes.
        at_least: whether the file may not be smaller than `size`; otherwise it may not be larger.

    Returns:
        the quality and the file; where no file qualifies, the largest (or smallest) there is.
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

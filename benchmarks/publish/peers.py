"""Peers in other settings than those of `vqcodec.evaluation.codecs.base`."""

from typing import Any, ClassVar

from vqcodec.evaluation.codecs.classical import Avif


class AvifLikePublished(Avif):
    """AVIF as near as Pillow can bring it to CompressAI's published AV1: slowest, tuned for PSNR, 4:4:4."""

    name = "avif-like-published"
    options: ClassVar[dict[str, Any]] = {"speed": 0, "subsampling": "4:4:4", "advanced": {"tune": "psnr"}}
    qualities = (5, 20)

    def __init__(self) -> None:
        super().__init__()
        self.settings = self.settings.replace("speed 4", "speed 0, 4:4:4, tune=psnr")

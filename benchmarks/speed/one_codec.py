"""Times one codec on one picture: `python -m benchmarks.speed.one_codec NAME PICTURE QUALITY ROUNDS`.

Prints JSON: median seconds to compress and to decompress, kMAC per pixel of networks, bytes, and the peak memory of the
whole process in MB. Runs in any environment that has the codec: CompressAI needs another one than the rest.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from vqcodec.evaluation.codecs import BenchCodec, load_codec
from vqcodec.evaluation.codecs.compressai import CompressAICodec

NEURAL_PEERS = ("mbt2018-mean", "cheng2020-anchor")
# Size of the part that multiplications are counted on, which also warms up.
_PART = (768, 512)


def main(name: str, path: str, quality: str, rounds: str) -> None:
    """Measure and print."""
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as file:
        image = file.convert("RGB")
    codec: BenchCodec = (
        CompressAICodec(name, random_weights=True) if name in NEURAL_PEERS else load_codec(name)
    )
    part = image.crop((0, 0, *_PART))
    small, compress_macs = _counted(lambda: codec.compress(part, float(quality)))
    _, decompress_macs = _counted(lambda: codec.decompress(small))
    data, compress = _timed(lambda: codec.compress(image, float(quality)), int(rounds))
    _, decompress = _timed(lambda: codec.decompress(data), int(rounds))
    result = {
        "settings": codec.settings,
        "bytes": len(data),
        "compress": compress,
        "decompress": decompress,
        "kmac compress": compress_macs,
        "kmac decompress": decompress_macs,
        "memory": _peak_memory(),
    }
    json.dump(result, sys.stdout)


def _timed(function: Callable[[], Any], rounds: int) -> tuple[Any, float]:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def _counted(function: Callable[[], Any]) -> tuple[Any, float]:
    """Result, and thousands of multiplications per pixel of the part."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten._int_mm: _integer_product}) as counter:
        result = function()
    return result, counter.get_total_flops() / 2 / 1000 / (_PART[0] * _PART[1])


def _peak_memory() -> float:
    """In MB, since this program was started; Linux only. (`getrusage` begins with that of the parent process.)"""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _integer_product(left: torch.Size, right: torch.Size, **_: Any) -> int:
    return 2 * left[0] * left[1] * right[1]


if __name__ == "__main__":
    main(*sys.argv[1:])

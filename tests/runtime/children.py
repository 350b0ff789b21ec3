"""Compresses in the children of a process that has compressed before, with two torch threads.

Usage: python -m tests.runtime.children WAY

WAY is the name of one of the functions below. Prints "same" if every child makes the files that its parent makes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import vqcodec
from vqcodec.codec import Codec
from vqcodec.errors import RequestError

DATA = Path(__file__).parents[1] / "data"
QUALITIES = [20, 50, 80]


def photograph(width: int) -> Image.Image:
    with Image.open(DATA / "temple.jpg") as image:
        return image.resize((width, 2 * width // 3))


def there_and_back(codec: Codec, image: Image.Image, quality: float = 50) -> tuple[bytes, tuple[int, int]]:
    data = codec.compress(image, quality)
    return data, codec.decompress(data).size


def succeeds_in_fork(work: Callable[[], object]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def fork() -> bool:
    same = True
    for dtype, width in ((torch.float32, 200), (torch.bfloat16, 200), (torch.float32, 1500)):
        codec, image = Codec.load(dtype=dtype), photograph(width)
        expected = there_and_back(codec, image)

        def work(codec: Codec = codec, image: Image.Image = image, expected: tuple = expected) -> bool:
            return there_and_back(codec, image) == expected

        same &= succeeds_in_fork(work)
    return same


def fork_with_more_threads() -> bool:
    """A server may set the number of threads in its children, and a child may fork again."""
    codec, image = Codec.load(), photograph(300)
    expected = there_and_back(codec, image)

    def work() -> bool:
        torch.set_num_threads(2)
        one = there_and_back(codec, image) == expected
        torch.set_num_threads(2)
        many = [*codec.compress_many([image, image], workers=1), *codec.compress_many([image, image])]
        torch.set_num_threads(2)
        again = there_and_back(Codec.load(), image) == expected
        torch.set_num_threads(2)
        below = succeeds_in_fork(lambda: there_and_back(codec, image) == expected)
        return one and again and below and many == 4 * [expected[0]]

    return succeeds_in_fork(work)


def fork_with_onnx() -> bool:
    """Sessions of ONNX Runtime stay behind with their threads. Children make new ones, and so do theirs."""
    codec = Codec.load(runtime="onnx")
    for width in (200, 1500):
        image = photograph(width)
        expected = there_and_back(codec, image)

        def work(image: Image.Image = image, expected: tuple = expected) -> bool:
            same = there_and_back(codec, image) == expected
            return same and succeeds_in_fork(lambda: there_and_back(codec, image) == expected)

        if not succeeds_in_fork(work) or there_and_back(codec, image) != expected:
            return False
    return True


def fork_during_onnx() -> bool:
    """As `fork_during_work`, with ONNX Runtime."""
    codec = Codec.load(runtime="onnx")
    return _fork_during(codec.compress)


def fork_during_work() -> bool:
    """Children are forked while other threads load and compress."""
    return _fork_during(vqcodec.compress)


def _fork_during(compress: Callable[[Image.Image], bytes]) -> bool:
    image = photograph(160)
    expected = compress(image)
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            compress(image)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    same = True
    for _ in range(8):
        time.sleep(0.05)
        same &= succeeds_in_fork(lambda: compress(image) == expected)
    stopping.set()
    for thread in threads:
        thread.join()
    return same


def fork_with_another_device() -> bool:
    """Devices stay behind. That is told at once. The device "meta" stands for one that may not be here."""
    codec, image = Codec.load(device="meta"), photograph(96)

    def work() -> bool:
        try:
            codec.compress(image)
        except RequestError as error:
            advised = "start processes with 'spawn' or 'forkserver'" in str(error)
        return advised and bool(Codec.load().compress(image))

    return succeeds_in_fork(work)


def threads() -> bool:
    codec, image = Codec.load(), photograph(200)
    expected = [there_and_back(codec, image, quality) for quality in QUALITIES]
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda quality: there_and_back(codec, image, quality), QUALITIES)) == expected


def _pool(method: str) -> bool:
    """The codec goes to the children as an argument."""
    codec, image = Codec.load(), photograph(200)
    expected = [there_and_back(codec, image, quality) for quality in QUALITIES]
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.starmap(there_and_back, [(codec, image, quality) for quality in QUALITIES]) == expected


def pool_by_fork() -> bool:
    return _pool("fork")


def pool_by_spawn() -> bool:
    return _pool("spawn")


def pool_by_forkserver() -> bool:
    return _pool("forkserver")


class Files(Dataset):
    """A data set that compresses what it reads."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    def __len__(self) -> int:
        return len(QUALITIES)

    def __getitem__(self, number: int) -> bytes:
        return self.codec.compress(photograph(200), QUALITIES[number])


def data_loader() -> bool:
    files = Files(Codec.load())
    expected = [files[number] for number in range(len(files))]
    return list(DataLoader(files, batch_size=None, num_workers=2)) == expected


if __name__ == "__main__":
    torch.set_num_threads(2)
    print("same" if globals()[sys.argv[1]]() else "different")

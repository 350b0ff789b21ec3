"""Many pictures at once come out as one by one."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bitstream
from vqcodec.codec import Codec, default_codec
from vqcodec.errors import ImageError
from vqcodec.runtime.threads import in_parallel

DATA = Path(__file__).parents[1] / "data"
NAMES = ["temple.jpg", "cat.jpg", "coffee.jpg"]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    pictures = []
    for name in NAMES:
        with Image.open(DATA / name) as image:
            pictures.append(image.convert("RGB").reduce(3))
    return pictures


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_with_their_faults(workers: int) -> None:
    gates = [threading.Event() for _ in range(8)]
    gates[7].set()

    def call(number: int) -> int:
        if workers > 1 and number == 1:
            gates[1].wait(10)
        if number == 2:
            gates[1].set()
            raise KeyError("two")
        return number * number

    found = list(in_parallel(call, range(8), workers))
    assert [item for item, _ in found] == list(range(8))
    assert [future.result() for _, future in found if not future.exception()] == [0, 1, 9, 16, 25, 36, 49]
    assert isinstance(found[2][1].exception(), KeyError)


@pytest.mark.parametrize("workers", [1, 3])
def test_items_are_taken_as_they_are_needed_and_no_more_after_the_end(workers: int) -> None:
    taken: list[int] = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    stopping = threading.Event()
    results = in_parallel(lambda number: number, items(), workers, stopping)
    for _ in range(5):
        next(results)
    assert len(taken) <= 5 + workers
    results.close()
    assert len(taken) <= 5 + workers
    assert workers == 1 or stopping.is_set()


def test_many_files_are_those_made_one_by_one(codec: Codec, photographs: list[Image.Image]) -> None:
    threads = torch.get_num_threads()
    expected = [codec.compress(image, 40) for image in photographs]
    assert list(codec.compress_many(photographs, quality=40)) == expected
    pictures = list(codec.decompress_many(iter(expected), workers=2, scale=2))
    for data, picture in zip(expected, pictures, strict=True):
        alone = np.asarray(codec.decompress(data, scale=2), int)
        # The network's sums may be in another order with another number of threads.
        assert np.abs(np.asarray(picture, int) - alone).max() <= 1
    assert torch.get_num_threads() == threads


def test_files_are_read_by_path_and_faults_name_them(codec: Codec, tmp_path: Path) -> None:
    with Image.open(DATA / "cat.jpg") as image:
        expected = codec.compress(image)
    results = codec.compress_many([str(DATA / "cat.jpg"), tmp_path / "missing.jpg"])
    assert next(results) == expected
    with pytest.raises(ImageError, match=r"missing\.jpg: No such file or directory"):
        next(results)
    with pytest.raises(bitstream.BitstreamError):
        list(codec.decompress_many([expected, b"nothing"]))


def test_one_codec_serves_several_threads(codec: Codec, photographs: list[Image.Image]) -> None:
    """Four threads, each with all pictures, in another order and at several qualities."""
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        jobs = [(image, quality) for image in photographs for quality in (10, 90)]
        expected = [codec.compress(image, quality) for image, quality in jobs]
        pictures = [codec.decompress(data).tobytes() for data in expected]
        faults: list[str] = []

        def work(shift: int) -> None:
            for number in [(shift + step) % len(jobs) for step in range(len(jobs))]:
                data = codec.compress(*jobs[number])
                if data != expected[number]:
                    faults.append(f"thread {shift}: file {number} differs")
                if codec.decompress(data).tobytes() != pictures[number]:
                    faults.append(f"thread {shift}: picture {number} differs")

        threads = [threading.Thread(target=work, args=(shift,)) for shift in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
    finally:
        torch.set_num_threads(torch_threads)

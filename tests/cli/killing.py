"""Compresses pictures in child processes and kills each with SIGKILL at a random moment.

Usage: python -m tests.cli.killing DIRECTORY COUNT

After every kill, each file under its final name must be whole, the source as it was. Prints how many children were
killed and how many had finished.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from PIL import Image

from vqcodec.cli.jobs import Compression
from vqcodec.cli.plan import Task
from vqcodec.codec import Codec

DATA = Path(__file__).parents[1] / "data"


def main(directory: Path, count: int) -> None:
    # Children are forked, and a fork does not take other threads along.
    torch.set_num_threads(1)
    rng = random.Random(0)
    codec = Codec.load()
    work = Compression(quality=50, overwrite=True)
    source, target, whole = directory / "photo.png", directory / "photo.vqc", directory / "whole.vqc"
    with Image.open(DATA / "cat.jpg") as image:
        image.resize((160, 107)).save(source)
    original = source.read_bytes()
    start = time.monotonic()
    work.run(codec, Task(source, whole))
    usual = time.monotonic() - start
    expected = whole.read_bytes()

    killed = finished = 0
    for _ in range(count):
        if rng.random() < 0.5:
            target.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            work.run(codec, Task(source, target))
            os._exit(0)
        time.sleep(rng.uniform(0, 1.2 * usual))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        finished += not os.WIFSIGNALED(status)
        assert source.read_bytes() == original, "the source has changed"
        if target.exists():
            assert target.read_bytes() == expected, "a partial file has the final name"
    assert killed, "no child was killed"
    work.run(codec, Task(source, target))
    assert target.read_bytes() == expected
    print(f"{killed} killed, {finished} finished")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

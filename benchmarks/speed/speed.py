"""Where the time goes on photographs of 0.4 to 50 megapixels, and how long other codecs take.

    python -m benchmarks.speed.speed PHOTO KODAK_PICTURE --compressai PYTHON

Writes `results/speed`: the time of every stage, of whole processes, and of other codecs on the same photograph, and
what they have to show (`bars.csv`). PHOTO has 12 megapixels or more, and is scaled to the other sizes. PYTHON is the
interpreter of an environment with CompressAI, whose torch does not go with the tested one.
"""

import csv
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.one_codec import NEURAL_PEERS
from vqcodec.codec import Codec
from vqcodec.evaluation.environment import write_environment
from vqcodec.geometry import Box
from vqcodec.image.picture import read
from vqcodec.image.save import write_image
from vqcodec.rate import place_of, setting_at

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "speed"
MEGAPIXELS = (0.4, 2, 4, 12, 50)
HUGE = 100
QUALITY = 100
# At which the share of the context model is measured, on so many megapixels.
SHARE_QUALITIES, SHARE_SIZE = (0, 25, 50, 75, 100), 4
# Qualities and rounds. Files of the classical codecs are as large or smaller, which takes them less time.
PEERS = {
    "vqcodec": (QUALITY, 5),
    "jpeg": (5, 3),
    "webp": (5, 3),
    "avif": (16, 1),
    "jxl": (5, 1),
    "mbt2018-mean": (1, 1),
}
Rows = list[dict[str, Any]]


@click.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("kodak", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--compressai", type=click.Path(exists=True), metavar="PYTHON", help="Measures that peer too.")
@click.option("--only", type=click.Choice(["stages", "shares", "rates", "processes", "peers"]), multiple=True)
def main(photo: Path, kodak: Path, compressai: str | None, only: tuple[str, ...]) -> None:
    """Measure on a photograph PHOTO of 12 megapixels or more, and a picture KODAK of 0.4."""
    Image.MAX_IMAGE_PIXELS = None
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], Rows]] = {
            "stages": lambda: measure_stages(photo),
            "shares": lambda: measure_shares(scaled(photo, SHARE_SIZE, folder)),
            "rates": measure_rates,
            "processes": lambda: measure_processes(
                scaled(photo, 12, folder), scaled(photo, HUGE, folder), kodak, folder
            ),
            "peers": lambda: measure_peers(scaled(photo, 12, folder), compressai),
        }
        for part in only or parts:
            _write(RESULTS / f"{part}.csv", parts[part]())
            threads = {"torch threads": str(torch.get_num_threads())}
            write_environment(RESULTS / f"{part}.json", threads)
    if all((RESULTS / f"{part}.csv").exists() for part in parts):
        _write(RESULTS / "bars.csv", bars())


def scaled(photo: Path, megapixels: float, folder: Path) -> Path:
    """A JPEG file of the photograph at another size."""
    with Image.open(photo) as file:
        image = file.convert("RGB")
    factor = (1e6 * megapixels / (image.width * image.height)) ** 0.5
    size = round(factor * image.width), round(factor * image.height)
    path = folder / f"{megapixels}.jpg"
    image.resize(size, Image.Resampling.LANCZOS).save(path, quality=92)
    return path


def measure_stages(photo: Path) -> Rows:
    """Milliseconds of each stage at each size, in one process."""
    codec = Codec.load()
    rows = []
    for megapixels in MEGAPIXELS:
        with tempfile.TemporaryDirectory() as folder:
            source = scaled(photo, megapixels, Path(folder)).read_bytes()
        rounds = 5 if megapixels < 10 else 3 if megapixels < 50 else 1
        times: dict[str, float] = {}

        def timed(
            stage: str, function: Callable[[], Any], times: dict[str, float] = times, rounds: int = rounds
        ) -> Any:
            seconds = []
            # Where a round takes long, nothing is left to warm up.
            for _ in range(rounds + (rounds > 1)):
                start = time.perf_counter()
                result = function()
                seconds.append(time.perf_counter() - start)
            times[stage] = statistics.median(seconds[rounds > 1 :])
            return result

        picture = timed("read JPEG", lambda source=source: read(io.BytesIO(source)))
        size = picture.pixels.shape[1::-1]
        planes = codec.encode(picture, QUALITY)
        latents = timed(
            "encoder", lambda picture=picture, planes=planes: codec.transform.latents(picture.pixels, planes)
        )
        lmbda = setting_at(codec.config, place_of(QUALITY)).lmbda
        planes = timed(
            "quantizer",
            lambda latents=latents, planes=planes, lmbda=lmbda: codec.transform.quantize(
                latents, planes, lmbda
            ),
        )
        data = timed("context and coder, encode", lambda planes=planes, size=size: codec.pack(planes, size))
        timed("compress, in all", lambda picture=picture: codec.compress(picture, QUALITY))
        timed("context and coder, decode", lambda data=data: codec.unpack(data))
        timed("generator, to pixels", lambda planes=planes: codec.transform.render(planes))
        image = timed("decompress, in all", lambda data=data: codec.decompress(data))
        timed("write PNG", lambda image=image: write_image(image, io.BytesIO(), "PNG"))
        exact = size[0] * size[1] / 1e6
        for stage, seconds in times.items():
            rows.append(
                {
                    "megapixels": f"{exact:.2f}",
                    "stage": stage,
                    "milliseconds": f"{1000 * seconds:.1f}",
                    "megapixels per second": f"{exact / seconds:.1f}",
                }
            )
    return rows


def measure_shares(photo: Path) -> Rows:
    """Milliseconds of decompression, and of context model and coder in it, at several qualities."""
    codec = Codec.load()
    picture = read(photo)
    pixels = picture.pixels.shape[0] * picture.pixels.shape[1]
    rows = []
    for quality in SHARE_QUALITIES:
        data = codec.compress(picture, quality)
        context, whole = (
            _median(lambda work=work, data=data: work(data)) for work in (codec.unpack, codec.decompress)
        )
        rows.append(
            {
                "quality": quality,
                "bits per pixel": f"{8 * len(data) / pixels:.3f}",
                "context and coder, milliseconds": f"{1000 * context:.1f}",
                "decompress, milliseconds": f"{1000 * whole:.1f}",
                "share": f"{context / whole:.3f}",
            }
        )
    return rows


def measure_rates() -> Rows:
    """Products per second of the generator, and of a plain 3x3 convolution of its main shape, on large pictures."""
    codec = Codec.load(runtime="torch")
    networks = codec.transform.networks
    width, columns = codec.config.generator_widths[0] // 2, 256
    rows = networks.model.strip_area // columns
    dtype = networks.dtype
    layer = torch.nn.Conv2d(width, width, 3).to(dtype, memory_format=torch.channels_last)
    x = torch.randn(1, width, rows + 2, columns + 2).to(dtype, memory_format=torch.channels_last)
    noise = np.random.default_rng(0).integers(0, 256, (16 * 8 * rows, 16 * columns, 3), np.uint8)
    planes = codec.encode(noise, 100)
    with torch.inference_mode():
        plain = _median(lambda: [layer(x) for _ in range(50)]) / 50
    with FlopCounterMode(display=False) as counter:
        codec.transform.render(planes.part(Box(0, 0, columns, rows)))
    per_position = counter.get_total_flops() / 2 / (rows * columns)
    generator = _median(lambda: codec.transform.render(planes))
    rates = {
        f"plain convolution, 3x3, {width} to {width} channels": width**2 * 9 * rows * columns / plain,
        "generator, from indices to pixels": per_position * 8 * rows * columns / generator,
    }
    return [
        {
            "what": what,
            "type": str(dtype).removeprefix("torch."),
            "billion products per second": f"{rate / 1e9:.0f}",
        }
        for what, rate in rates.items()
    ]


def measure_processes(photo: Path, huge: Path, kodak: Path, folder: Path) -> Rows:
    """Seconds and peak memory of whole processes, on photographs of 12 and of 100 megapixels."""
    small, large, larger = (folder / f"{name}.vqc" for name in ("small", "large", "larger"))
    vqcodec = [sys.executable, "-m", "vqcodec"]
    compress = [*vqcodec, "compress", "--quiet", "-f"]
    decompress = [*vqcodec, "decompress", "--quiet", "-f", "-o", str(folder / "out.png")]
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "import vqcodec.codec": [sys.executable, "-c", "import vqcodec.codec"],
        "load the model": [sys.executable, "-c", "from vqcodec import Codec; Codec.load()"],
        "vqcodec compress, Kodak": [*compress, str(kodak), "-o", str(small)],
        "vqcodec decompress, Kodak": [*decompress, str(small)],
        "vqcodec compress, 12 megapixels": [*compress, "-q", str(QUALITY), str(photo), "-o", str(large)],
        "vqcodec decompress, 12 megapixels": [*decompress, str(large)],
        "vqcodec compress, 100 megapixels": [*compress, str(huge), "-o", str(larger)],
        "vqcodec decompress, 100 megapixels": [*decompress, str(larger)],
    }
    rows = []
    for what, command in commands.items():
        runs = [_run(command) for _ in range(1 if f"{HUGE} mega" in what else 3)]
        seconds = statistics.median(seconds for seconds, _ in runs)
        memory = max(memory for _, memory in runs)
        rows.append({"process": what, "seconds": f"{seconds:.2f}", "peak memory in MB": f"{memory:.0f}"})
    return rows


# A process starts with the peak of the one that it comes from, so it has to come from a small one.
_LAUNCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds = time.perf_counter() - start
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of a command."""
    launch = [sys.executable, "-S", "-c", _LAUNCH, *command]
    return tuple(json.loads(subprocess.run(launch, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout))


def measure_peers(photo: Path, compressai: str | None) -> Rows:
    """Megapixels per second of codecs on one photograph, each in a process of its own."""
    rows = []
    with Image.open(photo) as image:
        pixels = image.width * image.height
    for name, (quality, rounds) in PEERS.items():
        python = compressai if name in NEURAL_PEERS else sys.executable
        if python is None:
            continue
        command = [python, "-m", "benchmarks.speed.one_codec", name, str(photo), str(quality), str(rounds)]
        found = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
        row = {
            "codec": f"{name}, random weights" if name in NEURAL_PEERS else name,
            "settings": f"{found['settings']}, quality {quality}",
            "bits per pixel": f"{8 * found['bytes'] / pixels:.3f}",
        }
        for verb in ("compress", "decompress"):
            row[f"{verb}, megapixels per second"] = f"{pixels / 1e6 / found[verb]:.2f}"
            macs = found[f"kmac {verb}"]
            row[f"{verb}, kMAC per pixel"] = f"{macs:.1f}" if macs else ""
        rows.append(row | {"peak memory in MB": f"{found['memory']:.0f}"})
    return rows


def bars() -> Rows:
    """What the measurements have to show, and whether they do."""
    stages = {(float(row["megapixels"]), row["stage"]): float(row["milliseconds"]) for row in _read("stages")}
    rates = [float(row["billion products per second"]) for row in _read("rates")]
    processes = {row["process"]: row for row in _read("processes")}
    peers = {row["codec"].partition(",")[0]: row for row in _read("peers")}

    def stage(name: str, about: float) -> tuple[float, float]:
        exact = min((size for size, _ in stages), key=lambda size: abs(size - about))
        return exact, stages[exact, name]

    def speed(codec: str, verb: str) -> float:
        return float(peers[codec][f"{verb}, megapixels per second"])

    checks = []

    def check(what: str, measured: float, limit: float, least: bool) -> None:
        holds = measured >= limit if least else measured <= limit
        checks.append(
            {
                "what": what,
                "measured": f"{measured:.2f}",
                "limit": f"{'at least' if least else 'at most'} {limit:.4g}",
                "holds": "yes" if holds else "no",
            }
        )

    seconds = {what: float(row["seconds"]) for what, row in processes.items()}
    check(
        "whole process that decompresses a Kodak picture, over import torch",
        seconds["vqcodec decompress, Kodak"] / seconds["import torch"],
        3,
        least=False,
    )
    exact, milliseconds = stage("decompress, in all", 12)
    what = "decompress, in all, 12 megapixels, quality 100, MP/s"
    check(what, 1000 * exact / milliseconds, 5, least=True)
    for row in _read("shares"):
        what = (
            f"context model and coder over decompression, {SHARE_SIZE} megapixels, quality {row['quality']}"
        )
        check(what, float(row["share"]), 1 / 3, least=False)
    check("generator over plain convolution, products per second", rates[1] / rates[0], 0.7, least=True)
    if "mbt2018-mean" in peers:
        for verb, limit in (("decompress", 8), ("compress", 4)):
            ratio = speed("vqcodec", verb) / speed("mbt2018-mean", verb)
            check(f"{verb}: times as fast as mbt2018-mean of CompressAI", ratio, limit, least=True)
    ratio = speed("vqcodec", "compress") / speed("avif", "compress")
    check("compress: times as fast as AVIF at speed 4", ratio, 1, least=True)
    for verb, size, limit in (("decompress", 12, 1000), ("compress", HUGE, 2000), ("decompress", HUGE, 2000)):
        memory = float(processes[f"vqcodec {verb}, {size} megapixels"]["peak memory in MB"])
        check(f"peak memory of a process that {verb}es {size} megapixels, MB", memory, limit, least=False)
    return checks


def _median(function: Callable[[], Any]) -> float:
    """Seconds of a call, the first left out."""
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _read(part: str) -> Rows:
    with (RESULTS / f"{part}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()

"""Speed of every stage on one 768x512 photograph; run with `pytest benchmarks`.

Beside the times of pytest-benchmark, each result carries megapixels per second, kMAC per pixel (convolutions
and matrix products; none for codecs that are not networks) and peak memory.
"""

import os

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.memory import peak_memory
from benchmarks.speed.stages import SIZE, STAGES, Stage, Unavailable

PIXELS = SIZE[0] * SIZE[1]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage.codec}, {stage.name}")
def test_speed(benchmark, stage: Stage) -> None:
    """Time one stage, or skip it where it cannot be."""
    try:
        function = stage.prepare()
        with FlopCounterMode(display=False) as counter:
            function()
    except Unavailable as reason:
        pytest.skip(str(reason))
    benchmark.pedantic(function, rounds=int(os.environ.get("VQCODEC_BENCH_ROUNDS", "7")), warmup_rounds=1)
    operations = counter.get_total_flops() / 2
    benchmark.extra_info.update(
        codec=stage.codec,
        stage=stage.name,
        megapixels_per_second=PIXELS / 1e6 / benchmark.stats.stats.median,
        kmac_per_pixel=operations / PIXELS / 1000 if operations else None,
        peak_memory_mb=peak_memory(stage),
        torch_threads=torch.get_num_threads(),
    )

import numpy as np
import pytest

from benchmarks.studies.grid import repeating_variance


@pytest.mark.parametrize("period", [4, 8, 16])
def test_a_grid_keeps_its_variance_when_cells_are_averaged(period):
    cell = np.random.default_rng(0).integers(0, 256, (period, period, 3), np.uint8)
    grid = np.tile(cell, (256 // period, 320 // period, 1))
    assert repeating_variance(grid, period) == pytest.approx(cell.var((0, 1)).mean())
    assert repeating_variance(grid, period + 1) < 0.3 * cell.var((0, 1)).mean()


def test_noise_keeps_a_sixteenth():
    noise = np.random.default_rng(0).normal(0, 10, (512, 512, 3))
    assert repeating_variance(noise, 8) == pytest.approx(100 / 16, rel=0.1)

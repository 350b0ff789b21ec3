"""Windows fade into each other, and where they agree give what they agree on."""

import pytest
import torch

from vqcodec.geometry import Box
from vqcodec.runtime.windows import stitch

AREA, HALO = 256, 4


def gathered(compute, rows: int, columns: int, step: int) -> torch.Tensor:
    """The stitched output, checked to be covered exactly once."""
    out = torch.full((step * rows, step * columns), float("nan"))
    for top, left, part in stitch(compute, rows, columns, AREA, HALO, step):
        place = out[top : top + part.shape[0], left : left + part.shape[1]]
        assert place.isnan().all()
        place.copy_(part[:, :, 0])
    assert not out.isnan().any()
    return out


@pytest.mark.parametrize("grid", [(1, 1), (7, 300), (300, 7), (37, 41), (64, 64), (100, 3)])
def test_a_local_map_comes_back_as_it_was(grid: tuple[int, int]) -> None:
    rows, columns = grid
    truth = torch.rand(1, 1, 4 * rows, 4 * columns)

    def compute(box: Box) -> torch.Tensor:
        assert (box.bottom - box.top) * (box.right - box.left) <= (16 + 8) * (16 + 8) * 4
        return truth[:, :, 4 * box.top : 4 * box.bottom, 4 * box.left : 4 * box.right]

    assert torch.allclose(gathered(compute, rows, columns, 4), truth[0, 0], atol=1e-6)


def test_windows_that_disagree_are_faded_without_a_step() -> None:
    values = iter(torch.linspace(0, 1, 9).tolist())

    def compute(box: Box) -> torch.Tensor:
        return torch.full((1, 1, 4 * (box.bottom - box.top), 4 * (box.right - box.left)), next(values))

    out = gathered(compute, 48, 48, 4)
    assert out.min() == 0
    assert out.max() == 1
    # The largest difference between neighbouring windows is 3/8, and a zone is 32 positions wide.
    assert max(out.diff(dim=0).abs().max(), out.diff(dim=1).abs().max()) < 3 / 8 / 32 + 1e-5

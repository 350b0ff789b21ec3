"""Window by window gives what the whole picture gives, or fades from one window to the next."""

from dataclasses import dataclass

import pytest
import torch

from vqcodec.model import VQGAN, ModelConfig
from vqcodec.windows import Box, stitch


@dataclass
class Rules:
    window_area: int
    halo: int
    blends: bool


def gathered(compute, rows: int, columns: int, rules: Rules, step: int) -> torch.Tensor:
    """The stitched output, checked to be covered exactly once."""
    out = torch.full((step * rows, step * columns), float("nan"))
    for top, left, part in stitch(compute, rows, columns, rules, step):
        place = out[top : top + part.shape[0], left : left + part.shape[1]]
        assert place.isnan().all()
        place.copy_(part[:, :, 0])
    assert not out.isnan().any()
    return out


@pytest.mark.parametrize("grid", [(1, 1), (7, 300), (300, 7), (37, 41), (64, 64), (100, 3)])
@pytest.mark.parametrize("rules", [Rules(256, 4, False), Rules(256, 4, True)])
def test_a_local_map_comes_back_as_it_was(grid: tuple[int, int], rules: Rules) -> None:
    rows, columns = grid
    truth = torch.rand(1, 1, 4 * rows, 4 * columns)

    def compute(box: Box) -> torch.Tensor:
        assert (box.bottom - box.top) * (box.right - box.left) <= (16 + 8) * (16 + 8) * 4
        return truth[:, :, 4 * box.top : 4 * box.bottom, 4 * box.left : 4 * box.right]

    assert torch.allclose(gathered(compute, rows, columns, rules, 4), truth[0, 0], atol=1e-6)


def test_windows_that_disagree_are_faded_without_a_step() -> None:
    values = iter(torch.linspace(0, 1, 9).tolist())

    def compute(box: Box) -> torch.Tensor:
        return torch.full((1, 1, 4 * (box.bottom - box.top), 4 * (box.right - box.left)), next(values))

    out = gathered(compute, 48, 48, Rules(256, 4, True), 4)
    assert out.min() == 0
    assert out.max() == 1
    # The largest difference between neighbouring windows is 3/8, and a zone is 32 positions wide.
    assert max(out.diff(dim=0).abs().max(), out.diff(dim=1).abs().max()) < 3 / 8 / 32 + 1e-5


def test_the_halo_of_the_residual_family_covers_its_receptive_fields() -> None:
    blocks = ModelConfig().encoder_blocks, ModelConfig().generator_blocks
    config = ModelConfig(1, 16, 8, (8, 8, 8), blocks[0], (8, 8, 8), blocks[1])
    torch.manual_seed(0)
    model = VQGAN(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    grid = 3 * VQGAN.halo
    stages = torch.ones(1, dtype=torch.int64)
    networks = [(model.encode, (3, 16), 1), (lambda latents: model.decode(latents, stages), (8, 1), 16)]
    for network, (channels, density), step in networks:
        before = torch.rand(1, channels, density * grid, density * grid)
        after = before.clone()
        after[:, :, -density:] = 1
        with torch.no_grad():
            difference = network(before) - network(after)
        reached = difference.abs().amax((0, 1, 3)).nonzero().min()
        assert step * (grid - 1 - VQGAN.halo) <= reached < step * (grid - 1)

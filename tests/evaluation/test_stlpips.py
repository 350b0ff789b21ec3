"""ST-LPIPS equals the authors' implementation (stlpips-pytorch 0.0.2), which gave the pinned values."""

from importlib.util import find_spec

import pytest
import torch

if find_spec("stlpips_pytorch") is None:
    pytest.skip("stlpips-pytorch, which holds the weights, is not installed", allow_module_level=True)

from vqcodec.evaluation.metrics.stlpips import STLPIPS


def waves() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(67.0), torch.arange(81.0), indexing="ij")
    return torch.stack([torch.sin(x / 7) * torch.cos(y / 5), x / 40 - 1, torch.sin(x * y / 300)])[None]


@pytest.fixture(scope="module", params=["alex", "vgg"])
def metric(request: pytest.FixtureRequest) -> STLPIPS:
    return STLPIPS(request.param)


EXPECTED = {5: 0.017751218751072884, 13: 0.08695750683546066}  # by number of convolutions: AlexNet, VGG16


def test_agrees_with_the_authors_implementation(metric: STLPIPS) -> None:
    image = waves()
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in metric.modules())
    distance = metric(image, (image * 6).round() / 6)
    assert distance.shape == (1,)
    assert distance.item() == pytest.approx(EXPECTED[convolutions], rel=1e-4)


def test_equal_images_have_distance_zero_and_more_damage_more_distance(metric: STLPIPS) -> None:
    image = waves()
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    damaged = torch.cat([image, image + 0.05 * noise, image + 0.3 * noise])
    distances = metric(image.expand_as(damaged), damaged)
    assert distances[0] == 0
    assert distances[0] < distances[1] < distances[2]


def test_features_of_one_reference_serve_many_images(metric: STLPIPS) -> None:
    image = waves()
    others = torch.cat([image.flip(3), image * 0.5])
    cached = metric.distance(metric.features(image), metric.features(others))
    torch.testing.assert_close(cached, metric(image.expand_as(others), others))


@pytest.mark.parametrize("shape", [(419, 333), (160, 500)])
def test_windows_give_the_distance_of_the_whole(metric: STLPIPS, shape: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    torch.testing.assert_close(
        metric.in_windows(image, blurred, 64), metric(image, blurred), rtol=1e-5, atol=0
    )


def test_too_small_an_image_is_refused(metric: STLPIPS) -> None:
    with pytest.raises(ValueError, match="sides from 32"):
        metric(torch.zeros(1, 3, 31, 64), torch.zeros(1, 3, 31, 64))
    assert metric(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)) > 0

"""The scorer: every metric moves the right way, small pictures have fewer of them, gaps are named."""

from importlib.util import find_spec

import pytest
import torch
from PIL import Image

from tests.support.pictures import scene
from vqcodec.errors import RequestError
from vqcodec.evaluation.metrics import METRICS, Scorer, to_tensor
from vqcodec.evaluation.metrics.stlpips import STLPIPS
from vqcodec.extras import MissingExtraError, require

NEEDED = {
    "psnr": "torch",
    "ms-ssim": "pytorch_msssim",
    "ssimulacra2": "ssimulacra2",
    "st-lpips-alex": "stlpips_pytorch",
}
NAMES = [name for name, package in NEEDED.items() if find_spec(package)]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(NAMES)


def test_more_damage_is_worse_in_every_metric(scorer: Scorer) -> None:
    image = scene(192, 176)
    reference = scorer.reference(image)
    scores = [scorer.score(reference, image.reduce(n).resize(image.size)) for n in (1, 2, 4)]
    assert set(scores[0]) == set(NAMES)
    for name in NAMES:
        values = [score[name] for score in scores]
        assert values == sorted(values, reverse=METRICS[name].higher_is_better), name
        assert len(set(values)) == 3


def test_a_small_picture_has_the_metrics_that_its_size_allows(scorer: Scorer) -> None:
    small = scene(40, 100)
    assert set(scorer.score(scorer.reference(small), small)) == set(NAMES) - {"ms-ssim"}
    tiny = scene(7, 7)
    assert set(scorer.score(scorer.reference(tiny), tiny)) == {"psnr"}


def test_a_decoded_picture_of_another_size_is_an_error(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match=r"\(40, 100\), the original \(100, 40\)"):
        scorer.score(scorer.reference(scene(100, 40)), scene(40, 100))


@pytest.mark.skipif("st-lpips-alex" not in NAMES, reason="stlpips-pytorch is not installed")
def test_the_fast_path_agrees_with_float32(scorer: Scorer) -> None:
    image = scene(160, 128)
    blurred = image.reduce(2).resize(image.size)
    exact = STLPIPS("alex")(to_tensor(image), to_tensor(blurred)).item()
    fast = scorer.score(scorer.reference(image), blurred)["st-lpips-alex"]
    assert fast == pytest.approx(exact, rel=5e-3)


def test_grey_and_palette_pictures_are_compared_as_rgb(scorer: Scorer) -> None:
    grey = Image.new("L", (8, 8), 50)
    assert to_tensor(grey).shape == (1, 3, 8, 8)
    assert torch.all(to_tensor(grey) == 50 / 127.5 - 1)


def test_names_that_do_not_exist_and_packages_that_are_missing() -> None:
    with pytest.raises(RequestError, match="no metric 'vmaf', only psnr"):
        Scorer(["psnr", "vmaf"])
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_module", "no-such-package", "metric x")
    message = str(caught.value)
    assert "no-such-package" in message
    assert "pip install 'vqcodec[bench]'" in message
    assert "\n" not in message

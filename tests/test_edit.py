"""Pictures changed in index space, and the examples that show how."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor
from torch import Tensor

from tests.support.planes import differs
from vqcodec.codec import Codec, default_codec
from vqcodec.edit import optimise_latents, transplant
from vqcodec.entropy.base import quantized
from vqcodec.geometry import Box
from vqcodec.planes import Planes
from vqcodec.runtime.pixels import block_means

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"


SCALES = (1, 1, 2)


def numbered(grid: tuple[int, int], layers: int, start: int, step: int) -> Planes:
    """Planes in which every index is another one."""
    planes = Planes.empty(grid, SCALES[:layers], has_base=True)
    planes.base[0] = np.arange(planes.base[0].size).reshape(grid) // step
    planes.steps[:] = step
    for plane in planes.layers:
        plane.flat = start + np.arange(plane.size)
        start += plane.size
    return planes


def test_a_region_is_taken_over() -> None:
    target, donor = numbered((4, 5), 3, 0, 2), numbered((6, 6), 2, 1000, 4)
    out = transplant(target, donor, Box(2, 1, 5, 3), donor_at=(0, 4))
    for number in (0, 1):
        assert np.array_equal(out.layers[number][1:3, 2:5], donor.layers[number][4:6, 0:3])
    # The donor has no third layer: nothing is added there.
    assert not out.layers[2][2:6, 4:10].any()
    # Colours are the same, in steps of the target.
    assert np.array_equal(2 * out.base[0, 1:3, 2:5], 4 * donor.base[0, 4:6, 0:3])
    assert np.array_equal(out.steps, target.steps)
    inside = np.zeros((4, 5), bool)
    inside[1:3, 2:5] = True
    changed = differs(out, target)
    assert not changed[:, ~inside].any()
    assert target.layers[2][2, 4] > 0


def test_a_donor_with_more_layers_brings_them_along() -> None:
    target, donor = numbered((3, 3), 1, 0, 1), numbered((3, 3), 3, 500, 1)
    out = transplant(target, donor, Box(0, 0, 2, 1))
    assert len(out.layers) == 3
    assert np.array_equal(out.layers[2][:2, :4], donor.layers[2][:2, :4])
    assert not out.layers[2][2:].any()
    assert not out.layers[2][:, 4:].any()


@pytest.mark.parametrize(
    ("region", "donor_at"),
    [
        (Box(0, 0, 2, 5), None),
        (Box(0, -1, 2, 2), None),
        (Box(0, 2, 2, 2), None),
        (Box(0, 0, 2, 2), (0, 3)),
        (Box(0, 0, 4, 4), None),
    ],
)
def test_regions_outside_are_refused(region: Box, donor_at: tuple[int, int] | None) -> None:
    with pytest.raises(ValueError, match="not inside"):
        transplant(numbered((4, 4), 1, 0, 1), numbered((4, 3), 1, 0, 1), region, donor_at)


@pytest.mark.parametrize("step", [2, 5, 10, 20])
@pytest.mark.parametrize("colour", ["white", "blue", "#ffff00", "#ff8000", "#00ff80"])
def test_extreme_colours_stay_in_the_range_of_files(codec: Codec, step: int, colour: str) -> None:
    """Rounded to a coarse step, they may lie beyond what a fine step allows."""
    target, donor = (Planes.empty((4, 4), [], has_base=True) for _ in range(2))
    donor.steps[:] = step
    pixels = np.full((64, 64, 3), ImageColor.getrgb(colour), np.uint8)
    donor.base[:] = quantized(block_means(pixels), step)
    out = transplant(target, donor, Box(0, 0, 4, 4))
    assert codec.unpack(codec.pack(out, (64, 64))) == out
    assert np.abs(np.asarray(codec.decode(out)).astype(int) - pixels).max() <= 2 * step + 1


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


def crop(name: str, width: int = 160, height: int = 128) -> Image.Image:
    return Image.open(DATA / name).crop((100, 100, 100 + width, 100 + height))


def test_latents_render_as_their_indices_do(codec: Codec) -> None:
    planes = codec.encode(crop("temple.jpg"), quality=40)
    picture = codec.transform.render_latents(codec.transform.dequantize(planes), planes)
    pixels = ((picture + 1) * 127.5).round().clip(0, 255)
    assert np.abs(pixels - np.asarray(codec.decode(planes))).max() <= 1


def test_a_colour_is_reached_and_survives_quantization(codec: Codec) -> None:
    image = crop("cat.jpg")
    wanted = torch.tensor([-0.5, -0.2, 0.6])

    def colour(picture: Tensor) -> Tensor:
        return (picture.mean((0, 2, 3)) - wanted).square().sum()

    before = codec.encode(image, quality=100)
    latents, start = optimise_latents(codec, image, colour, steps=120)
    after = codec.transform.quantize(latents, start, 0.01)
    distances = [
        float(np.linalg.norm(np.asarray(codec.decode(planes)).mean((0, 1)) / 127.5 - 1 - wanted.numpy()))
        for planes in (before, after)
    ]
    assert distances[1] < 0.85 * distances[0]


def test_an_edge_is_drawn(codec: Codec) -> None:
    planes = codec.encode(Image.new("RGB", (96, 96), (120, 120, 120)), quality=100)

    def step_in_the_middle(picture: Tensor) -> Tensor:
        grey = picture.mean((0, 1))
        return (grey[:, 40:48].mean() + 0.5).square() + (grey[:, 48:56].mean() - 0.5).square()

    seen = []

    def watched(picture: Tensor) -> Tensor:
        seen.append(picture.detach())
        return step_in_the_middle(picture)

    latents, start = optimise_latents(codec, planes, watched, steps=60)
    picture = codec.transform.render_latents(latents, start)
    pixels = picture.mean((0, 2))
    assert pixels[48:56].mean() - pixels[40:48].mean() > 0.5
    # What was optimised is what is rendered, though its planes have no layers.
    assert np.abs(picture.transpose(2, 0, 1) - seen[-1][0].numpy()).mean() < 0.01


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_transplanting_example(codec: Codec, tmp_path: Path) -> None:
    ground, sky = crop("temple.jpg", 160, 320), crop("coffee.jpg", 160, 300)
    ground.save(tmp_path / "ground.png")
    sky.save(tmp_path / "sky.png")
    example("transplant").main(*(str(tmp_path / name) for name in ("ground.png", "sky.png", "out.vqc")))
    joined = np.asarray(codec.decompress((tmp_path / "out.vqc").read_bytes()), np.float32)
    assert joined.shape == (320, 160, 3)
    # Farther from the seam than the generator looks, each half is that of its own picture.
    below = np.asarray(codec.decompress(codec.compress(ground)), np.float32)
    above = np.asarray(codec.decompress(codec.compress(sky.resize((160, 320)))), np.float32)
    assert np.abs(joined[-1] - below[-1]).mean() < 3
    assert np.abs(joined[0] - above[0]).mean() < 3
    assert np.abs(above[0] - below[0]).mean() > 20


def test_the_recolouring_example(codec: Codec, tmp_path: Path) -> None:
    module = example("recolour")
    image, other = crop("temple.jpg", 96, 80), crop("coffee.jpg", 96, 80)
    image.save(tmp_path / "image.png")
    other.save(tmp_path / "other.png")
    module.main(*(str(tmp_path / name) for name in ("image.png", "other.png", "out.vqc")))
    result = module.pixels_of(codec.decompress((tmp_path / "out.vqc").read_bytes()))
    plain = module.pixels_of(codec.decompress(codec.compress(image, quality=80)))
    wanted = module.colours(module.pixels_of(other))
    assert (module.colours(result) - wanted).norm() < 0.6 * (module.colours(plain) - wanted).norm()
    kept = [
        float((module.edges(x) - module.edges(module.pixels_of(image))).abs().mean())
        for x in (result, module.pixels_of(other))
    ]
    assert kept[0] < 0.8 * kept[1]


def test_the_text_example(codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mechanism, with weights of CLIP that have learned nothing: those that have would have to be downloaded."""
    pytest.importorskip("open_clip", reason="needs open_clip_torch")
    torch.manual_seed(0)
    module = example("text")
    monkeypatch.setattr(module, "STEPS", 2)
    image = crop("temple.jpg", 96, 80)
    image.save(tmp_path / "image.png")
    module.main(str(tmp_path / "image.png"), "a harbour", str(tmp_path / "out.vqc"), "RN50", "")
    picture = codec.decompress((tmp_path / "out.vqc").read_bytes())
    assert picture.size == (96, 80)
    assert not np.array_equal(picture, codec.decompress(codec.compress(image, quality=80)))

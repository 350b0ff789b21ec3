"""Indices drawn from the context model: what is known stays, what is drawn is what the model foresees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.planes import differs
from tests.test_edit import crop, example
from vqcodec.codec import Codec, default_codec
from vqcodec.entropy.coders import TableCoder
from vqcodec.errors import ModelError
from vqcodec.generate.inpaint import complete, sample
from vqcodec.generate.spread import continued
from vqcodec.planes import Planes
from vqcodec.weights import load_model


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


@pytest.fixture(scope="module")
def planes(codec: Codec) -> Planes:
    return codec.encode(crop("temple.jpg", 240, 208))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def hole(planes: Planes) -> np.ndarray:
    mask = np.zeros(planes.grid, bool)
    mask[4:9, 3:10] = True
    return mask


def test_only_what_is_masked_is_drawn(codec: Codec, planes: Planes) -> None:
    mask, before = hole(planes), planes.copy()
    out = complete(codec.prior, planes, mask, rng=rng())
    out.check(codec.config)
    changed = differs(out, planes)
    assert not changed[:, ~mask].any()
    assert changed[1, mask].mean() > 0.3
    assert planes == before
    assert complete(codec.prior, planes, mask & False) == planes


def test_what_stands_in_the_hole_does_not_matter(codec: Codec, planes: Planes) -> None:
    mask = hole(planes)
    other = planes.copy()
    other.base[:, mask] = 3
    for number, plane in enumerate(other.layers):
        scale = other.scale(number)
        plane[mask.repeat(scale, 0).repeat(scale, 1)] = 7
    assert complete(codec.prior, planes, mask, rng=rng()) == complete(codec.prior, other, mask, rng=rng())


def test_the_seed_decides(codec: Codec, planes: Planes) -> None:
    mask = hole(planes)
    first, again, other = (complete(codec.prior, planes, mask, 1.0, rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    likely = [complete(codec.prior, planes, mask, 0.0, rng(seed)) for seed in (1, 2)]
    assert likely[0] == likely[1]


def test_draws_are_as_frequent_as_the_model_says(codec: Codec) -> None:
    """Drawn indices take about as many bits as the model expects, and the bits expected are its entropy."""
    start = codec.encode(crop("coffee.jpg", 320, 320), quality=40)
    drawn = sample(codec.prior, start, 1.0, rng())
    bits = sum(float(cost.sum()) for cost in codec.packing.bits(drawn))
    assert bits == pytest.approx(entropy(codec, drawn), rel=0.1)


def entropy(codec: Codec, planes: Planes) -> float:
    """Entropies of all symbols, in bits, each given all that is coded before."""
    model, total = codec.packing.context, 0.0
    state = model.start(1, *planes.grid, planes.rate, planes.base[None], planes.steps[None, 0, 0])
    for layer, plane in enumerate(planes.layers):
        flat = plane.reshape(-1).astype(np.int64)
        state.begin(layer)
        for _ in range(state.passes()):
            positions, _ = state.next_pass()
            first, _ = model.symbols(layer, torch.from_numpy(flat[positions]))
            for table in (state.group_frequencies(), state.member_frequencies(first.numpy())):
                share = table / table.sum(1, keepdims=True)
                total -= float((share * np.log2(share)).sum())
            state.update(flat[positions])
        state.end()
    return total


def test_detail_is_drawn_over_a_base(codec: Codec) -> None:
    start = codec.encode(crop("coffee.jpg", 192, 144), quality=40)
    planes = sample(codec.prior, start, 1.0, rng())
    planes.check(codec.config)
    assert len(planes.layers) == len(codec.config.layers)
    assert np.array_equal(planes.base, start.base)
    assert planes == sample(codec.prior, start, 1.0, rng())
    assert codec.decode(planes).size == (192, 144)
    cool = sample(codec.prior, start, 0.6, rng())
    bits = [sum(float(cost.sum()) for cost in codec.packing.bits(drawn)) for drawn in (cool, planes)]
    assert bits[0] < 0.9 * bits[1]
    data = codec.pack(planes, (192, 144))
    assert codec.unpack(data) == planes


def test_a_base_is_continued_smoothly(codec: Codec) -> None:
    row = np.linspace(20, 230, 320)
    image = Image.fromarray(np.tile(row[None, :, None], (240, 1, 3)).round().astype(np.uint8))
    planes = codec.encode(image)
    mask = np.zeros(planes.grid, bool)
    mask[5:10, 8:13] = True
    out = complete(codec.prior, planes, mask, 0.0)
    levels = out.base[0] * out.steps.astype(int)
    wanted = planes.base[0] * planes.steps.astype(int)
    assert np.abs(levels - wanted).max() < 30


def test_white_is_continued_into_finer_steps(codec: Codec) -> None:
    planes = Planes.empty((8, 8), [], has_base=True)
    planes.base[0], planes.steps[:] = 13, 20
    mask = np.zeros(planes.grid, bool)
    mask[:, 3:] = True
    planes.steps[mask] = 1
    out = complete(codec.prior, planes, mask)
    assert (out.base[0][mask] == 255).all()


@pytest.mark.parametrize("where", ["stages", "type", "shape", "temperature"])
def test_what_makes_no_sense_is_refused(codec: Codec, planes: Planes, where: str) -> None:
    mask, temperature = np.zeros((planes.stages, *planes.grid), bool), 1.0
    if where == "stages":
        mask[0, 0, 0] = True
    elif where == "type":
        mask = mask.astype(int)
    elif where == "shape":
        mask = mask[:, 1:]
    else:
        temperature = -1.0
    with pytest.raises(ValueError, match=r"mask|temperature|broadcast|shape"):
        complete(codec.prior, planes, mask, temperature)


def test_without_a_context_model_nothing_is_added(planes: Planes) -> None:
    codec = Codec(replace(load_model(), context=None))
    assert isinstance(codec.packing.coder, TableCoder)
    mask = hole(planes)
    out = complete(codec.prior, planes, mask)
    assert not differs(out, planes)[:, ~mask].any()
    for number, plane in enumerate(out.layers):
        scale = out.scale(number)
        assert not plane[mask.repeat(scale, 0).repeat(scale, 1)].any()
    with pytest.raises(ModelError, match="no context model"):
        sample(codec.prior, planes)


def test_a_continuation_is_smooth_and_keeps_what_is_known() -> None:
    values = np.broadcast_to(np.linspace(0, 1, 21, dtype=np.float32)[None, :, None], (13, 21, 2))
    known = np.ones((13, 21), bool)
    known[2:11, 5:15] = False
    out = continued(values * known[..., None], known)
    assert np.array_equal(out[known], values[known])
    assert np.abs(out - values).max() < 0.1
    assert np.abs(np.diff(out, axis=1)).max() < 0.15
    known[:] = False
    known[3, 7] = True
    assert np.allclose(continued(values * known[..., None], known), values[3, 7])


def test_the_completing_example(codec: Codec, tmp_path: Path) -> None:
    image = crop("temple.jpg", 480, 112)
    image.save(tmp_path / "image.png")
    example("complete").main(str(tmp_path / "image.png"), "20,30,40,20", str(tmp_path / "out.vqc"))
    data = (tmp_path / "out.vqc").read_bytes()
    # Pixels 20 to 59 and 30 to 49 are in columns 1 to 3 and rows 1 to 3.
    mask = np.zeros((7, 30), bool)
    mask[1:4, 1:4] = True
    changed = differs(codec.unpack(data), codec.encode(image))
    assert not changed[:, ~mask].any()
    assert changed[:, mask].any()
    assert codec.decompress(data).size == (480, 112)


def test_the_sampling_example(codec: Codec, tmp_path: Path) -> None:
    crop("coffee.jpg", 100, 60).save(tmp_path / "image.png")
    for name, seed in (("one.vqc", "1"), ("same.vqc", "1"), ("other.vqc", "2")):
        example("sample").main(str(tmp_path / "image.png"), "50", "0.9", str(tmp_path / name), seed)
    one, same, other = ((tmp_path / name).read_bytes() for name in ("one.vqc", "same.vqc", "other.vqc"))
    assert one == same != other
    picture = codec.decompress(one)
    assert picture.size == (100, 60)
    assert np.asarray(picture, float).std() > 5

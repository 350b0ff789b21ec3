"""Indices drawn from the context model: what is known stays, what is drawn is what the model foresees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.test_edit import crop, example
from vqcodec.codec import Codec, default_codec
from vqcodec.entropy.coders import ContextCoder, TableCoder
from vqcodec.errors import ModelError
from vqcodec.generate import inpaint
from vqcodec.generate.inpaint import complete, sample
from vqcodec.generate.spread import spread
from vqcodec.weights import load_model


@pytest.fixture(scope="module")
def codec() -> Codec:
    return default_codec()


@pytest.fixture(scope="module")
def planes(codec: Codec) -> np.ndarray:
    return codec.encode(crop("temple.jpg", 240, 208))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def hole(planes: np.ndarray) -> np.ndarray:
    mask = np.zeros(planes.shape[1:], bool)
    mask[4:9, 3:10] = True
    return mask


def test_only_what_is_masked_is_drawn(codec: Codec, planes: np.ndarray) -> None:
    mask, before = hole(planes), planes.copy()
    out = complete(codec.prior, planes, mask, rng=rng())
    assert out.dtype == planes.dtype
    assert out.max() < codec.config.codebook_size
    assert np.array_equal(out[:, ~mask], planes[:, ~mask])
    assert (out[0, mask] != planes[0, mask]).mean() > 0.5
    assert np.array_equal(planes, before)
    assert np.array_equal(complete(codec.prior, planes, mask & False), planes)


def test_what_stands_in_the_hole_does_not_matter(codec: Codec, planes: np.ndarray) -> None:
    mask = hole(planes)
    other = planes.copy()
    other[:, mask] = 7
    assert np.array_equal(
        complete(codec.prior, planes, mask, rng=rng()), complete(codec.prior, other, mask, rng=rng())
    )


def test_the_seed_decides(codec: Codec, planes: np.ndarray) -> None:
    mask = hole(planes)
    first, again, other = (complete(codec.prior, planes, mask, 1.0, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    likely = [complete(codec.prior, planes, mask, 0.0, rng(seed)) for seed in (1, 2)]
    assert np.array_equal(*likely)


def test_a_stage_is_drawn_as_the_coder_foresees_it(codec: Codec, planes: np.ndarray) -> None:
    """The most likely indices of the last stage are those of the largest frequencies when coding."""
    assert isinstance(codec.packing.coder, ContextCoder)
    mask = np.zeros(planes.shape, bool)
    mask[-1] = True
    likely = complete(codec.prior, planes, mask, 0.0)
    assert np.array_equal(likely[:-1], planes[:-1])
    state = codec.packing.coder.model.start(1, *planes.shape[1:])
    for plane in planes[:-1]:
        for positions in state.passes:
            state.update(plane.reshape(-1)[positions.numpy()])
    for positions in state.passes:
        groups = state.group_frequencies().argmax(1)
        members = state.member_frequencies(groups).argmax(1)
        expected = groups * codec.packing.coder.model.members + members
        assert np.array_equal(likely[-1].reshape(-1)[positions.numpy()], expected)
        state.update(expected)


def test_draws_are_as_frequent_as_the_model_says(codec: Codec) -> None:
    """Drawn indices take about as many bits as the model expects, and the bits expected are its entropy."""
    start = codec.encode(crop("coffee.jpg", 320, 320), quality=40)
    mask = np.zeros(start.shape, bool)
    mask[1:] = True
    drawn = complete(codec.prior, start, mask, 1.0, rng())
    assert codec.packing.bits(drawn)[1:].sum() == pytest.approx(entropy(codec, drawn)[1:].sum(), rel=0.1)


def entropy(codec: Codec, planes: np.ndarray) -> np.ndarray:
    """Entropies of groups and members, in bits, (s, h * w), given all that is coded before."""
    assert isinstance(codec.packing.coder, ContextCoder)
    out = np.zeros((len(planes), planes[0].size))
    state = codec.packing.coder.model.start(1, *planes.shape[1:])
    for stage, plane in enumerate(planes.reshape(len(planes), -1).astype(np.int64)):
        for positions in state.passes:
            chosen = plane[positions.numpy()]
            for table in (
                state.group_frequencies(),
                state.member_frequencies(chosen // codec.packing.coder.model.members),
            ):
                share = table / table.sum(1, keepdims=True)
                out[stage, positions.numpy()] -= (share * np.log2(share)).sum(1)
            state.update(chosen)
    return out


def test_whole_pictures_are_drawn(codec: Codec) -> None:
    planes = sample(codec.prior, 9, 12, 1.0, rng())
    assert planes.shape == (codec.config.stages, 9, 12)
    assert planes.dtype == np.uint16
    assert np.array_equal(planes, sample(codec.prior, 9, 12, 1.0, rng()))
    assert codec.decode(planes).size == (192, 144)
    noise = rng().integers(0, codec.config.codebook_size, planes.shape).astype(np.uint16)
    cool = sample(codec.prior, 9, 12, 0.6, rng())
    bits = [codec.packing.bits(drawn).sum() for drawn in (cool, planes, noise)]
    assert bits[0] < 0.9 * bits[1]
    assert bits[1] < 0.9 * bits[2]


@pytest.mark.parametrize("where", ["stages", "type", "shape", "temperature"])
def test_what_makes_no_sense_is_refused(codec: Codec, planes: np.ndarray, where: str) -> None:
    mask, temperature = np.zeros(planes.shape, bool), 1.0
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


def test_without_a_context_model_surroundings_are_continued(planes: np.ndarray) -> None:
    codec = Codec(replace(load_model(), context=None))
    assert isinstance(codec.packing.coder, TableCoder)
    mask = hole(planes)
    out = complete(codec.prior, planes, mask)
    assert np.array_equal(out[:, ~mask], planes[:, ~mask])
    quantizer = codec.model.quantizer
    first = torch.from_numpy(planes[:, 0, 0].astype(np.int64))
    nearest = quantizer.quantize(quantizer.dequantize(first[None])).indices[0]
    plain = np.empty_like(planes)
    plain[:] = nearest.numpy()[:, None, None]
    assert (codec.decode(complete(codec.prior, plain, mask)).getextrema()) == codec.decode(plain).getextrema()
    later = np.broadcast_to(mask, planes.shape).copy()
    later[:2] = False
    coarser = complete(codec.prior, planes, later)
    assert np.array_equal(coarser[:2], planes[:2])
    assert not coarser[later].any()
    with pytest.raises(ModelError, match="no context model"):
        sample(codec.prior, 4, 4)


def test_holes_may_be_large(codec: Codec, planes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = hole(planes)
    likely = complete(codec.prior, planes, mask, 0.0)
    monkeypatch.setattr(inpaint, "BLOCK", 3)
    assert np.array_equal(complete(codec.prior, planes, mask, 0.0), likely)


def test_a_continuation_is_smooth_and_keeps_what_is_known() -> None:
    values = torch.linspace(0, 1, 21)[None, :, None].expand(13, 21, 2).contiguous()
    known = torch.ones(13, 21, dtype=torch.bool)
    known[2:11, 5:15] = False
    out = spread(values * known[..., None], known)
    assert torch.equal(out[known], values[known])
    assert (out - values).abs().max() < 0.1
    assert out.diff(dim=1).abs().max() < 0.15
    known[:] = False
    known[3, 7] = True
    assert torch.allclose(spread(values * known[..., None], known), values[3, 7])


def test_the_completing_example(codec: Codec, tmp_path: Path) -> None:
    image = crop("temple.jpg", 480, 112)
    image.save(tmp_path / "image.png")
    example("complete").main(str(tmp_path / "image.png"), "20,30,40,20", str(tmp_path / "out.vqc"))
    data = (tmp_path / "out.vqc").read_bytes()
    # Pixels 20 to 59 and 30 to 49 are in columns 1 to 3 and rows 1 to 3.
    mask = np.zeros((7, 30), bool)
    mask[1:4, 1:4] = True
    planes, before = codec.unpack(data), codec.encode(image)
    assert np.array_equal(planes[:, ~mask], before[:, ~mask])
    assert (planes[:, mask] != before[:, mask]).any()
    assert codec.decompress(data).size == (480, 112)


def test_the_sampling_example(codec: Codec, tmp_path: Path) -> None:
    for name, seed in (("one.vqc", "1"), ("same.vqc", "1"), ("other.vqc", "2")):
        example("sample").main("100x60", "0.9", str(tmp_path / name), seed)
    one, same, other = ((tmp_path / name).read_bytes() for name in ("one.vqc", "same.vqc", "other.vqc"))
    assert one == same != other
    picture = codec.decompress(one)
    assert picture.size == (100, 60)
    assert np.asarray(picture, float).std() > 5

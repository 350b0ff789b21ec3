"""The codebook page: what it says is so, and it shows all of it in a real browser without network."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.support.pictures import scene
from tests.support.webdriver import BROWSER, DRIVER, Browser
from vqcodec.codec import Codec
from vqcodec.errors import ImageError
from vqcodec.image.find import pictures_below
from vqcodec.image.picture import from_pil
from vqcodec.model import VQGAN, ModelConfig, TamingConfig, TamingVQGAN
from vqcodec.rate import lmbda_of
from vqcodec.tools.atlas import stages as atlas
from vqcodec.tools.atlas.command import codebook_command
from vqcodec.tools.atlas.picture import dissect
from vqcodec.tools.atlas.stages import examine, usage_entropy
from vqcodec.tools.usage import count_planes, count_usage
from vqcodec.weights import frequencies, save_model

STAGES, CODEWORDS = 3, 48


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of which the last ten codewords of the last stage are out of reach."""
    torch.manual_seed(0)
    network = VQGAN(ModelConfig(STAGES, CODEWORDS, 6, (8, 8, 8), (1, 1, 1), (8, 8, 8), (1, 1, 1)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    network.quantizer.codebooks[2, -10:] += 100
    tables = frequencies(np.random.default_rng(0).exponential(size=(STAGES, 2, CODEWORDS)))
    network.quantizer.bits.copy_(16 - torch.from_numpy(tables.astype(np.float32)).log2())
    path = tmp_path_factory.mktemp("models") / "small & new.safetensors"
    save_model(path, network, tables)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(2):
        scene(150, 100, seed).save(folder / f"{seed}.png")
    return folder


def test_counts_are_those_of_the_planes() -> None:
    planes = np.array([[[0, 2, 2]], [[1, 0, 1]], [[3, 3, 0]]], np.uint16)
    counts = count_planes(planes, 4)
    # The third stage follows codeword 0 of the second at one of the positions.
    assert counts.tolist() == [
        [[1, 0, 2, 0], [0, 0, 0, 0]],
        [[1, 2, 0, 0], [0, 0, 0, 0]],
        [[1, 0, 0, 1], [0, 0, 0, 1]],
    ]


def test_every_codebook_is_examined(model: Path, photographs: Path) -> None:
    codec = Codec.load(model)
    counts = count_usage(codec, pictures_below(photographs), lmbda_of(50))
    assert counts.sum((1, 2)).tolist() == [2 * 10 * 7] * STAGES
    stages = examine(codec, counts)
    assert [stage.number for stage in stages] == [1, 2, 3]
    for number, stage in enumerate(stages):
        assert sorted(stage.shown) == list(range(CODEWORDS))
        assert (np.diff(stage.counts[stage.shown]) <= 0).all()
        assert set(stage.dead) == set(np.flatnonzero(counts[number].sum(0) == 0))
        assert stage.patches.shape == (CODEWORDS, 32, 32, 3)
        words = codec.model.quantizer.codebooks[number].double()
        distances = (words[:, None] - words).square().sum(2)
        nearest = distances.fill_diagonal_(torch.inf).argmin(1)
        assert np.array_equal(stage.neighbours[:, 0], nearest[stage.shown.copy()])
    assert set(range(CODEWORDS - 10, CODEWORDS)) <= set(stages[2].dead)


def test_a_patch_shows_its_codeword(model: Path) -> None:
    codec = Codec.load(model)
    stage = examine(codec)[0]
    assert stage.dead is None
    assert (np.diff(stage.bits[stage.shown]) >= 0).all()
    # Of some whole pictures of one codeword each, a patch is most like that of its own.
    places = range(0, CODEWORDS, 6)
    pictures = [
        codec.transform.render(np.full((1, 5, 5), stage.shown[place], np.uint16))[24:56, 24:56]
        for place in places
    ]
    for number, place in enumerate(places):
        patch = stage.patches[place].astype(np.int64)
        differences = [np.abs(patch - picture).mean() for picture in pictures]
        assert np.argmin(differences) == number


def test_only_the_most_used_of_many_codewords_are_shown(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "MOST_SHOWN", 20)
    counts = np.arange(STAGES * 2 * CODEWORDS).reshape(STAGES, 2, CODEWORDS)
    for stage in examine(Codec.load(model), counts):
        assert stage.shown.tolist() == list(range(CODEWORDS - 1, CODEWORDS - 21, -1))
        assert len(stage.patches) == len(stage.neighbours) == 20


def test_a_picture_is_taken_apart(model: Path) -> None:
    codec = Codec.load(model)
    picture = from_pil(scene(150, 100))
    part = dissect(codec, "scene", picture, 50)
    assert part.planes.shape == part.bits.shape
    assert len(part.partial) == len(part.planes)
    assert all(pixels.shape == (100, 150, 3) for pixels in part.partial)
    assert part.size == pytest.approx(part.bits.sum() / 8, abs=60)
    assert part.size == len(codec.compress(picture, 50))
    assert np.array_equal(part.partial[-1], np.asarray(codec.decode(part.planes, (150, 100))))


def test_entropy() -> None:
    assert usage_entropy(np.array([4, 4, 0, 4, 4])) == 2
    assert usage_entropy(np.array([7, 0])) == 0
    assert usage_entropy(np.zeros(3)) == 0


def page_of(model: Path, out: Path, *options: str) -> str:
    result = CliRunner().invoke(
        codebook_command, [str(model), *options, "-o", str(out)], catch_exceptions=False
    )
    assert result.exit_code == 0
    return out.read_text(encoding="utf-8")


def test_the_page_refers_to_nothing_outside(model: Path, tmp_path: Path) -> None:
    page = page_of(model, tmp_path / "page.html")
    assert all(source.startswith(("data:", "#")) for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert "url(" not in page
    assert "small &amp; new" in page
    assert "not counted" in page


def test_a_picture_that_is_none_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    arguments = [str(model), "--image", str(tmp_path / "text.png"), "-o", str(tmp_path / "page.html")]
    result = CliRunner().invoke(codebook_command, arguments)
    assert isinstance(result.exception, ImageError)
    assert "text.png" in str(result.exception)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Chromium (Debian: chromium chromium-driver)")
def test_the_page_works_in_a_browser(model: Path, photographs: Path, tmp_path: Path) -> None:
    scene(150, 100, 5).save(tmp_path / "<scene>.png")
    picture = str(tmp_path / "<scene>.png")
    out = tmp_path / "page.html"
    page_of(model, out, "--image", picture, "--data", str(photographs))
    taming = TamingVQGAN(TamingConfig(32, (1, 1, 1), 1, (), 4, 4, 64))
    save_model(tmp_path / "imported.safetensors", taming, frequencies(np.ones((1, 2, 64))))
    other = tmp_path / "other.html"
    page_of(tmp_path / "imported.safetensors", other, "--image", picture)
    with Browser() as browser:
        browser.open(other)
        assert browser.run("return document.querySelectorAll('.codebook .large').length") == 1
        browser.open(out)
        widths = browser.run("return [...document.images].map(image => image.complete && image.naturalWidth)")
        # Three of the whole picture, three per stage, and a sheet per stage.
        assert len(widths) == 3 + 3 * STAGES + STAGES
        assert all(widths)
        facts = browser.run("return document.querySelector('dl').textContent")
        assert "counted on 2 photographs at quality 50" in facts
        headings = browser.run("return [...document.querySelectorAll('h2, h3')].map(h => h.textContent)")
        assert headings == ["<scene>.png", "Codewords", "Stage 1", "Stage 2", "Stage 3"]
        maps = browser.run("return [...document.querySelectorAll('img.map')].map(i => i.naturalWidth)")
        assert maps == [10] * (1 + 2 * STAGES)

        details = "return [...document.querySelectorAll('.detail .large + div')].map(d => d.textContent)"
        stages = examine(
            Codec.load(model), count_usage(Codec.load(model), pictures_below(photographs), lmbda_of(50))
        )
        assert browser.run(details) == [f"codeword {stage.shown[0]}" for stage in stages]
        # The patch in the second row, third column.
        browser.run(
            "const atlas = document.querySelectorAll('.atlas')[1]; atlas.scrollIntoView();"
            "const box = atlas.querySelector('img').getBoundingClientRect();"
            "atlas.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX: box.left + box.width * 2.5 / 32,"
            " clientY: box.top + box.height * 0.75}))"
        )
        assert browser.run(details)[1] == f"codeword {stages[1].shown[34]}"
        # Its nearest neighbour.
        browser.run("document.querySelectorAll('.codebook')[1].querySelector('.near button').click()")
        assert browser.run(details)[1] == f"codeword {stages[1].neighbours[34][0]}"
        dead = browser.run(
            "return document.querySelectorAll('.codebook')[2].querySelector('.dead').textContent"
        )
        assert dead.endswith(", ".join(map(str, stages[2].dead)))
        assert browser.log() == []

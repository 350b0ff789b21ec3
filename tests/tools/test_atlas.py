"""The codebook page: what it says is so, and it shows all of it in a real browser without network."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tests.entropy.models import random_tables
from tests.support.pictures import scene
from tests.support.planes import TOY
from tests.support.webdriver import BROWSER, DRIVER, Browser
from vqcodec.codec import Codec
from vqcodec.config import Layer, TamingConfig
from vqcodec.errors import ImageError
from vqcodec.image.find import pictures_below
from vqcodec.image.picture import from_pil
from vqcodec.model import VQGAN, TamingVQGAN
from vqcodec.planes import Planes
from vqcodec.tools.atlas import stages as atlas
from vqcodec.tools.atlas.command import codebook_command
from vqcodec.tools.atlas.picture import dissect
from vqcodec.tools.atlas.stages import examine, usage_entropy
from vqcodec.tools.usage import count_planes, count_usage
from vqcodec.weights import frequencies, save_model

CODEWORDS = 16
LAYERS = len(TOY.layers)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of which the last three codewords of the last layer are out of reach."""
    torch.manual_seed(0)
    network = VQGAN(TOY)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    network.quantizers[1].codebooks[1, -3:] += 100
    rng = np.random.default_rng(0)
    tables = [frequencies(rng.exponential(size=CODEWORDS)) for _ in TOY.layers]
    path = tmp_path_factory.mktemp("models") / "small & new.safetensors"
    save_model(path, network, tables, base_tables=random_tables())
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(2):
        scene(150, 100, seed).save(folder / f"{seed}.png")
    return folder


def test_counts_are_those_of_the_planes() -> None:
    planes = Planes([np.array([[0, 2, 2]], np.uint16), np.array([[0, 0, 1]], np.uint16)])
    layers = (Layer(0, 0, 1, 4, True), Layer(0, 1, 1, 4, True))
    # The first position has ended before the second layer.
    assert [counts.tolist() for counts in count_planes(planes, layers)] == [[1, 0, 2, 0], [1, 1, 0, 0]]


def test_every_codebook_is_examined(model: Path, photographs: Path) -> None:
    codec = Codec.load(model)
    counts = count_usage(codec, pictures_below(photographs), 50)
    assert counts[0].sum() == 2 * 10 * 7
    stages = examine(codec, counts)
    assert [stage.number for stage in stages] == list(range(1, LAYERS + 1))
    for number, (stage, layer) in enumerate(zip(stages, TOY.layers, strict=True)):
        assert sorted(stage.shown) == list(range(CODEWORDS))
        assert (np.diff(stage.counts[stage.shown]) <= 0).all()
        assert set(stage.dead) == set(np.flatnonzero(counts[number] == 0))
        assert stage.side == 16 // layer.scale
        assert stage.patches.shape == (CODEWORDS, 2 * stage.side, 2 * stage.side, 3)
        words = torch.from_numpy(codec.prior.codebooks[number]).double()
        distances = (words[:, None] - words).square().sum(2)
        nearest = distances.fill_diagonal_(torch.inf).argmin(1)
        assert np.array_equal(stage.neighbours[:, 0], nearest[stage.shown.copy()])
    assert set(range(CODEWORDS - 3, CODEWORDS)) <= set(stages[-1].dead)


@pytest.mark.parametrize("number", [0, 2])
def test_a_patch_shows_its_codeword(model: Path, number: int) -> None:
    codec = Codec.load(model)
    stage = examine(codec)[number]
    assert stage.dead is None
    assert (np.diff(stage.bits[stage.shown]) >= 0).all()
    # Of some pictures of one codeword each, a patch is most like that of its own.
    pictures = []
    for word in stage.shown:
        planes = Planes.empty((5, 5), [layer.scale for layer in TOY.layers], has_base=True, rate=128)
        planes.layers[number][:] = word
        half = stage.side
        middle = 32 + half // 2
        pictures.append(
            codec.transform.render(planes)[middle - half : middle + half, middle - half : middle + half]
        )
    right = 0
    for place in range(CODEWORDS):
        patch = stage.patches[place].astype(np.int64) - stage.patches.mean((0, 1, 2))
        off = [np.corrcoef(patch.ravel(), (picture - 128.0).ravel())[0, 1] for picture in pictures]
        right += int(np.nanargmax(off)) == place
    assert right > 0.4 * CODEWORDS


def test_only_the_most_used_of_many_codewords_are_shown(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "MOST_SHOWN", 10)
    counts = [np.arange(CODEWORDS) for _ in range(LAYERS)]
    for stage in examine(Codec.load(model), counts):
        assert stage.shown.tolist() == list(range(CODEWORDS - 1, CODEWORDS - 11, -1))
        assert len(stage.patches) == len(stage.neighbours) == 10


def test_a_picture_is_taken_apart(model: Path) -> None:
    codec = Codec.load(model)
    picture = from_pil(scene(150, 100))
    part = dissect(codec, "scene", picture, 50)
    assert [bits.shape for bits in part.bits] == [plane.shape for plane in part.planes.layers]
    assert len(part.partial) == part.planes.stages
    assert all(pixels.shape == (100, 150, 3) for pixels in part.partial)
    bits = part.base_bits + sum(float(bits.sum()) for bits in part.bits)
    assert part.size == pytest.approx(bits / 8, abs=60)
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
    scene(150, 100, 5).save(tmp_path / "scene.png")
    page = page_of(model, tmp_path / "page.html", "--image", str(tmp_path / "scene.png"))
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
    save_model(tmp_path / "imported.safetensors", taming, [frequencies(np.ones(64))])
    other = tmp_path / "other.html"
    page_of(tmp_path / "imported.safetensors", other, "--image", picture)
    with Browser() as browser:
        browser.open(other)
        assert browser.run("return document.querySelectorAll('.codebook .large').length") == 1
        browser.open(out)
        widths = browser.run("return [...document.images].map(image => image.complete && image.naturalWidth)")
        # Three of the whole picture, the base, three per layer in the file, and a sheet per layer.
        there = len(Codec.load(model).encode(scene(150, 100, 5)).layers)
        assert len(widths) == 3 + 1 + 3 * there + LAYERS
        assert all(widths)
        facts = browser.run("return document.querySelector('dl').textContent")
        assert "counted on 2 photographs at quality 50" in facts
        headings = browser.run("return [...document.querySelectorAll('h2, h3')].map(h => h.textContent)")
        assert headings == ["<scene>.png", "Codewords", *(f"Layer {number + 1}" for number in range(LAYERS))]
        maps = browser.run("return [...document.querySelectorAll('img.map')].map(i => i.naturalWidth)")
        scales = [layer.scale for layer in TOY.layers[:there]]
        assert maps == [10, *(10 * scale for scale in scales for _ in range(2))]

        details = "return [...document.querySelectorAll('.detail .large + div')].map(d => d.textContent)"
        stages = examine(Codec.load(model), count_usage(Codec.load(model), pictures_below(photographs), 50))
        assert browser.run(details) == [f"codeword {stage.shown[0]}" for stage in stages]
        # The third patch.
        browser.run(
            "const atlas = document.querySelectorAll('.atlas')[1]; atlas.scrollIntoView();"
            "const box = atlas.querySelector('img').getBoundingClientRect();"
            "atlas.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX: box.left + box.width * 2.5 / 32,"
            " clientY: box.top + box.height * 0.5}))"
        )
        assert browser.run(details)[1] == f"codeword {stages[1].shown[2]}"
        # Its nearest neighbour.
        browser.run("document.querySelectorAll('.codebook')[1].querySelector('.near button').click()")
        assert browser.run(details)[1] == f"codeword {stages[1].neighbours[2][0]}"
        dead = browser.run(
            "return document.querySelectorAll('.codebook')[3].querySelector('.dead').textContent"
        )
        assert dead.endswith(", ".join(map(str, stages[3].dead)))
        assert browser.log() == []

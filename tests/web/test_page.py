"""Pages in a headless browser without network: they decode by themselves, and what they show is the picture."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import bitstream
from tests.support.icc import rgb_profile
from tests.support.webdriver import BROWSER, DRIVER, Browser
from vqcodec.cli.main import cli, main
from vqcodec.codec import Codec
from vqcodec.image.label import label_of
from vqcodec.web.page import packed_model, page_of
from vqcodec.web.server import ViewServer
from vqcodec.weights import load_model

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"

needs_browser = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="needs Chromium and its WebDriver"
)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load(runtime="onnx")


@pytest.fixture(scope="module")
def data(codec: Codec) -> bytes:
    return codec.compress(DATA / "cat.jpg", quality=70)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as one:
        yield one


def shown(browser: Browser, what: str = "shown") -> dict[str, str]:
    """What the page says of itself, once it shows something new."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        said: dict[str, str] = json.loads(browser.run("return JSON.stringify(document.body.dataset)"))
        if what in said or "fault" in said:
            return said
        time.sleep(0.1)
    raise AssertionError("the page shows nothing")


def pixels_of(browser: Browser) -> np.ndarray:
    """The picture that the page shows, RGBA."""
    text = browser.run("return document.getElementById('canvas').toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGBA"), int)


def forget(browser: Browser) -> None:
    browser.run("delete document.body.dataset.shown; delete document.body.dataset.fault")


@needs_browser
def test_a_page_shows_its_picture_from_a_file(
    browser: Browser, codec: Codec, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / "cat & co.vqc").write_bytes(data)
    result = CliRunner().invoke(cli, ["page", str(tmp_path / "cat & co.vqc")], catch_exceptions=False)
    assert result.exit_code == 0
    page = tmp_path / "cat & co.html"
    assert page.stat().st_size < 25e6
    browser.log()
    browser.open(page)
    said = shown(browser)
    assert "fault" not in said
    assert browser.log() == []
    print(f"base after {said['base']} s, picture after {said['shown'].split()[1]} s")
    wanted = np.asarray(codec.decompress(data), int)
    found = pixels_of(browser)
    assert np.abs(found[..., :3] - wanted).mean() < 0.6
    assert np.abs(found[..., :3] - wanted).max() <= 2
    assert browser.run("return document.getElementById('name').textContent") == "cat & co.vqc"
    facts = browser.run("return document.getElementById('facts').textContent")
    assert facts.startswith(f"451 × 300, {len(data):,} bytes, ")
    assert codec.model_id.hex() in facts

    # Fewer stages and less realism are drawn as in Python.
    forget(browser)
    browser.run(
        "document.getElementById('stages').value = 4; document.getElementById('realism').value = 0;"
        "document.getElementById('stages').dispatchEvent(new Event('input'))"
    )
    shown(browser)
    wanted = np.asarray(codec.decompress(data, stages=4, realism=0.0), int)
    assert np.abs(pixels_of(browser)[..., :3] - wanted).max() <= 2


@needs_browser
def test_colours_and_alpha_are_kept(browser: Browser, codec: Codec, tmp_path: Path) -> None:
    with Image.open(DATA / "temple.jpg") as image:
        image = image.convert("RGB").crop((0, 0, 150, 100))
    image.putalpha(Image.linear_gradient("L").resize((150, 100)))
    metadata = bitstream.Metadata(icc=rgb_profile())
    data = codec.compress(image, metadata=metadata)
    (tmp_path / "page.html").write_text(page_of(load_model(), data, "a.vqc"), encoding="utf-8")
    browser.open(tmp_path / "page.html")
    assert "fault" not in shown(browser)
    # With a profile, it is a PNG that the browser converts: the very file that is saved.
    assert browser.run("return document.getElementById('image').naturalWidth") == 150
    png = saved_png(browser)
    with Image.open(io.BytesIO(png)) as found:
        assert found.mode == "RGBA"
        assert found.info["icc_profile"] == rgb_profile()
        label = label_of(found)
        assert label is not None
        assert label.model == codec.model_id.hex()
        decoded = np.asarray(codec.decompress(data), int)
        assert np.abs(np.asarray(found, int) - decoded).max() <= 2
        assert np.array_equal(np.asarray(found)[..., 3], decoded[..., 3])


def saved_png(browser: Browser) -> bytes:
    """What is saved when asked for."""
    browser.run(
        "URL.createObjectURL = (blob) => { blob.arrayBuffer().then((bytes) => {"
        "  let text = ''; for (const byte of new Uint8Array(bytes)) text += String.fromCharCode(byte);"
        "  window.saved = btoa(text) }); return 'data:,' };"
        "document.getElementById('save').click()"
    )
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if text := browser.run("return window.saved || ''"):
            return base64.b64decode(text)
        time.sleep(0.1)
    raise AssertionError("nothing is saved")


@pytest.fixture
def server(data: bytes) -> Iterator[ViewServer]:
    with ViewServer(load_model(), picture=("cat.vqc", data)) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@needs_browser
def test_files_are_dropped_on_a_served_page(
    browser: Browser, codec: Codec, data: bytes, server: ViewServer, tmp_path: Path
) -> None:
    browser.log()
    browser.go(server.url)
    assert "fault" not in shown(browser)
    wanted = np.asarray(codec.decompress(data), int)
    assert np.abs(pixels_of(browser)[..., :3] - wanted).max() <= 2

    other = codec.compress(Image.new("L", (70, 50), 90))
    (tmp_path / "grey.vqc").write_bytes(other)
    forget(browser)
    browser.type_into("#file", str(tmp_path / "grey.vqc"))
    assert "fault" not in shown(browser)
    found = pixels_of(browser)
    assert found.shape == (50, 70, 4)
    assert (found[..., :3] == np.asarray(codec.decompress(other), int)[..., None]).all()

    (tmp_path / "damaged.vqc").write_bytes(data[:300] + bytes(9) + data[309:])
    forget(browser)
    browser.type_into("#file", str(tmp_path / "damaged.vqc"))
    assert shown(browser, "fault")["fault"] == "damaged.vqc: the checksum of chunk P is wrong"
    # Chromium remarks that there is no graphics processor.
    assert [entry for entry in browser.log() if "No available adapters" not in entry["message"]] == []


def answer(url: str, **headers: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as found:
            return found.status, found.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def test_only_this_machine_is_served_and_only_the_page(server: ViewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    status, headers = answer(server.url)
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    worker = next(path for path in server.contents if path.startswith("/worker"))
    status, headers = answer(server.url + worker[1:])
    assert status == 200
    assert "immutable" in headers["Cache-Control"]
    assert answer(server.url + "../setup.cfg")[0] == 404
    assert answer(server.url + "etc/passwd")[0] == 404
    # A name of elsewhere that points to this machine is refused.
    assert answer(server.url, Host="example.org:80")[0] == 403


def test_the_model_of_a_page_lacks_what_decoding_does_not_need() -> None:
    file = load_model()
    assert file.path is not None
    assert len(packed_model(file)) < 0.8 * file.path.stat().st_size


def other_model() -> bytes:
    header = bitstream.Header(16, 16, b"\1\2\3\4", 1)
    return bitstream.write(header, [bitstream.TileStream((b"",), (0,))])


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, 3, "No such file or directory"),
        (b"no", 4, "not a .vqc file"),
        (other_model(), 5, "made with model 01020304, but the model at hand is"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    tmp_path: Path, content: bytes | None, code: int, message: str, capfd: pytest.CaptureFixture
) -> None:
    path = tmp_path / "a.vqc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as left:
        main(["page", str(path)])
    assert left.value.code == code
    said = capfd.readouterr().err
    assert said.startswith(f"vqcodec: {path}: ")
    assert message in said
    assert said.count("\n") == 1
    assert not path.with_suffix(".html").exists()

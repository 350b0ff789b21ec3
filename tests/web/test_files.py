"""The decoder for browsers, in Node: the same numbers and the same errors as in Python."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitstream import read
from tests.bitstream.test_vectors import MALFORMED, STAGES, VALID, VECTORS, load
from tests.support.webdriver import BROWSER, DRIVER, Browser
from vqcodec.codec import default_codec
from vqcodec.weights import find_model

ROOT = Path(__file__).parents[2]
GOLDEN = sorted((ROOT / "tests" / "golden").glob("*/*.vqc"))
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js")


def looked_at(questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the decoder makes of files."""
    assert NODE is not None
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    result = subprocess.run(
        [NODE, str(Path(__file__).with_name("files.mjs"))],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return [json.loads(line) for line in result.stdout.splitlines()]


def in_words(stages: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"scale": scale, "table": np.asarray(table).tolist(), "before": before}
        for scale, table, before in stages
    ]


def test_malformed_files_are_refused_with_the_same_words() -> None:
    stages = in_words(STAGES)
    paths = [VECTORS / "malformed" / f"{name}.vqc" for name in MALFORMED]
    answers = looked_at([{"file": str(path), "stages": stages} for path in paths])
    for (name, (kind, message)), answer in zip(MALFORMED.items(), answers, strict=True):
        assert answer == {"kind": kind.__name__, "message": message}, name


def test_valid_files_hold_the_same() -> None:
    files = [load(name) for name in VALID]
    questions = [
        {"file": str(VECTORS / "valid" / f"{name}.vqc"), "stages": in_words(stages)}
        for name, (_, _, stages, _) in zip(VALID, files, strict=True)
    ]
    for (data, planes, _, content), answer in zip(files, looked_at(questions), strict=True):
        header = read(data).header
        assert (answer["header"]["width"], answer["header"]["height"]) == (header.width, header.height)
        assert answer["header"]["grey"] == header.grey
        assert answer["header"]["rate"] == header.rate
        kept = {name: content[name].tobytes().hex() for name in ("icc", "exif", "xmp") if name in content}
        assert answer["metadata"] == kept
        assert answer["alpha"] == (zlib.crc32(content["alpha"].tobytes()) if "alpha" in content else None)
        # The checks of the file say that the planes are right; there has to be one for every stage.
        assert [len(tile) for tile in answer["tiles"]] == header.tiles * [len(planes)]


def test_golden_files_decode_to_the_same_planes() -> None:
    model = str(find_model())
    answers = looked_at([{"file": str(path), "model": model} for path in GOLDEN])
    assert GOLDEN
    for path, answer in zip(GOLDEN, answers, strict=True):
        planes = default_codec().unpack(path.read_bytes())
        assert planes.base is not None
        assert planes.steps is not None
        assert answer["base"] == planes.base.ravel().tolist()
        assert answer["steps"] == planes.steps.ravel().tolist()
        assert answer["layers"] == [plane.ravel().tolist() for plane in planes.layers]


def test_mutated_files_give_planes_or_an_error(tmp_path: Path) -> None:
    paths = []
    for number, image in enumerate(some_pictures()):
        paths.append(tmp_path / f"{number}.vqc")
        paths[-1].write_bytes(default_codec().compress(image, quality=(20, 60, 90)[number]))
    script = Path(__file__).with_name("fuzz.mjs")
    assert NODE is not None
    command = [NODE, str(script), str(find_model()), "400", "1", *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)["found"]
    assert set(found) >= {"picture", "IndexMismatch", "CorruptChunk", "Truncated"}


def some_pictures() -> list[Image.Image]:
    with Image.open(ROOT / "tests" / "data" / "cat.jpg") as image:
        image = image.convert("RGB")
    translucent = image.crop((100, 100, 164, 132))
    translucent.putalpha(Image.linear_gradient("L").resize((64, 32)))
    # Two tiles; a plain one; alpha.
    return [image.convert("L").resize((1100, 40)), image.crop((100, 100, 196, 164)), translucent]


IN_CHROMIUM = """<!doctype html><meta charset="utf-8">
<script type="text/plain" id="program">{program}</script>
<script type="text/plain" id="model">{model}</script>
<script type="application/json" id="files">{files}</script>
<script>
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const told = (id) => document.getElementById(id).textContent;
const program = new Blob([bytes(told("program"))], {{ type: "text/javascript" }});
import(URL.createObjectURL(program)).then(({{ Model, decode }}) => {{
  const model = new Model(bytes(told("model")));
  window.answer = JSON.stringify(JSON.parse(told("files")).map((file) => {{
    const {{ base, layers }} = decode(bytes(file), model);
    return [[...base.planes], [...base.steps], ...layers.map(({{ plane }}) => [...plane])];
  }}));
}}).catch((error) => {{ window.answer = JSON.stringify(String(error)); }});
</script>"""


@pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="needs Chromium and its WebDriver")
def test_golden_files_decode_to_the_same_planes_in_a_browser(tmp_path: Path) -> None:
    def text(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    program = ROOT / "vqcodec" / "web" / "dist" / "index.mjs"
    files = json.dumps([text(path) for path in GOLDEN])
    page = IN_CHROMIUM.format(program=text(program), model=text(find_model()), files=files)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    answer = None
    with Browser() as browser:
        browser.open(tmp_path / "page.html")
        end = time.monotonic() + 60
        while not answer and time.monotonic() < end:
            answer = browser.run("return window.answer || ''")
    assert answer
    for path, found in zip(GOLDEN, json.loads(answer), strict=True):
        planes = default_codec().unpack(path.read_bytes())
        assert planes.base is not None
        assert planes.steps is not None
        assert found == [plane.ravel().tolist() for plane in (planes.base, planes.steps, *planes.layers)]

"""Make pages that decode `.vqc` files by themselves."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

from vqcodec import __version__
from vqcodec.errors import RequestError
from vqcodec.weights import ModelFile, graph_files

# Weights that decoding does not need.
_UNUSED = ("encoder.", "table.")
# Names of the parts of a page; what is packed is gzip.
_PACKED = ("model", "wasm", "gpu_wasm")
# Those that a page which holds everything has.
_INSIDE = ("worker", "model", "graph", "wasm")


@dataclass(frozen=True)
class Parts:
    """What a page needs beside its own text.

    Attributes:
        worker: program that decodes and renders.
        model: the model file without the weights that decoding does not need, packed with gzip.
        graph: the generator as ONNX, whose weights are in the model file.
        wasm: ONNX Runtime, packed with gzip.
        gpu_worker, gpu_wasm: the same two for graphics processors.
    """

    worker: bytes
    model: bytes
    graph: bytes
    wasm: bytes
    gpu_worker: bytes
    gpu_wasm: bytes

    @classmethod
    def of(cls, file: ModelFile) -> Parts:
        """The parts for files of a model.

        Raises:
            vqcodec.errors.RequestError: the model has no graphs, or the programs of the page are not built.
        """
        graphs = graph_files(file)
        if not graphs or file.path is None:
            raise RequestError(
                f"{file.path}: the page needs the model as ONNX (`vqcodec export-onnx` writes that)"
            )
        return cls(
            _built("worker.js"),
            packed_model(file),
            graphs["generator"].read_bytes(),
            _built("ort.wasm.gz"),
            _built("worker.gpu.js"),
            _built("ort.gpu.wasm.gz"),
        )


def page_of(file: ModelFile, data: bytes, name: str) -> str:
    """Return a page that shows a `.vqc` file, and needs nothing else.

    Args:
        file: the model that the file was made with.
        data: contents of the file.
        name: name of the file.

    Raises:
        vqcodec.errors.RequestError: see `Parts.of`.
    """
    parts = Parts.of(file)
    blocks = {part: getattr(parts, part) for part in _INSIDE} | {"picture": data}
    body = "\n".join(_block(part, content, part in _PACKED) for part, content in blocks.items())
    return _page(name, _settings(file, name), body, "'none'")


def served_page(file: ModelFile, addresses: dict[str, str], picture: tuple[str, bytes] | None = None) -> str:
    """Return a page on which files are dropped, and that fetches its parts from where it was served.

    Args:
        file: the model of the files.
        addresses: of the parts, by name.
        picture: name and contents of a file that is shown first.
    """
    name, data = picture or ("vqcodec", b"")
    settings = _settings(file, name) | {"parts": addresses, "packed": _PACKED}
    return _page(name, settings, _block("picture", data, False) if picture else "", "'self'")


@cache
def _built(name: str) -> bytes:
    """A program that the build in this folder made."""
    path = files("vqcodec.web") / "dist" / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(
            "the programs of the page are not there: run `npm ci && npm run build` in vqcodec/web"
        ) from error


def packed_model(file: ModelFile) -> bytes:
    """A model file in gzip, with zeros in place of the weights that decoding does not need.

    What is left stays where it is, because graphs refer to it by place.
    """
    assert file.path is not None  # graphs are beside a file
    content = bytearray(file.path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    for name, entry in json.loads(content[8 : 8 + length]).items():
        if name.startswith(_UNUSED):
            first, end = (8 + length + offset for offset in entry["data_offsets"])
            content[first:end] = bytes(end - first)
    return gzip.compress(content, 6, mtime=0)


def _settings(file: ModelFile, name: str) -> dict[str, object]:
    assert file.path is not None  # graphs are beside a file
    return {"path": file.path.name, "id": file.model_id.hex(), "version": __version__, "name": name}


def _block(name: str, content: bytes, packed: bool) -> str:
    kind = ' data-packed="gzip"' if packed else ""
    return f'<script type="text/plain" id="{name}"{kind}>{base64.b64encode(content).decode()}</script>'


def _page(title: str, settings: dict[str, object], blocks: str, connect: str) -> str:
    """Fill the template. The policy allows just the style and the program of the page, and WebAssembly."""
    web = files("vqcodec.web")
    style = web.joinpath("page.css").read_text(encoding="utf-8")
    script = _built("page.js").decode()
    policy = {
        "default-src": "'none'",
        "script-src": f"{_hash(script)} 'wasm-unsafe-eval'",
        "style-src": _hash(style),
        "worker-src": "blob:",
        "img-src": "blob: data:",
        "connect-src": connect,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # JSON in a script must not end it.
    said = json.dumps(settings).replace("<", "\\u003c")
    filled = {
        "policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "title": escape(title),
        "style": style,
        "script": script,
        "data": f'<script type="application/json" id="settings">{said}</script>\n{blocks}',
    }
    page = web.joinpath("page.html").read_text(encoding="utf-8")
    head, *rest = page.split("{{")
    # Values are put in once: what they hold is not filled in again.
    return head + "".join(filled[key] + text for key, text in (part.split("}}", 1) for part in rest))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

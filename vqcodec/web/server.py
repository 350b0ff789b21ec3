"""Serve a page on which `.vqc` files are dropped, to this machine alone."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from vqcodec.web.page import Parts, served_page
from vqcodec.weights import ModelFile

ADDRESS = "127.0.0.1"
_FOREVER = "public, max-age=31536000, immutable"


class ViewServer(ThreadingHTTPServer):
    """Server of the page, and of its parts, which browsers keep. It serves nothing else.

    Args:
        file: the model of the files.
        port: to listen on; 0 for a free one.
        picture: name and contents of a file that is shown first.
    """

    daemon_threads = True

    def __init__(self, file: ModelFile, port: int = 0, picture: tuple[str, bytes] | None = None) -> None:
        parts = asdict(Parts.of(file))
        addresses = {
            name: f"/{name}-{hashlib.sha256(content).hexdigest()[:16]}" for name, content in parts.items()
        }
        page = served_page(file, addresses, picture).encode()
        self.contents = {"/": ("text/html; charset=utf-8", "no-store", page)}
        for name, content in parts.items():
            self.contents[addresses[name]] = ("application/octet-stream", _FOREVER, content)
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: ViewServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def _answer(self, body: bool) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0]
        # A page from elsewhere may have its own name point to this machine.
        if host not in (ADDRESS, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        if self.path not in self.server.contents:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind, caching, content = self.server.contents[self.path]
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", caching)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""

"""A few words of the W3C WebDriver protocol, enough to open a page in headless Chromium and to act on it."""

import base64
import io
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


class Browser:
    """A headless browser without network, to be used in a `with` statement."""

    def __enter__(self) -> "Browser":
        self._process = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
        for line in self._process.stdout:
            if match := re.search(r"started successfully on port (\d+)", line):
                break
        else:
            raise RuntimeError("chromedriver did not start")
        self._url = f"http://127.0.0.1:{match[1]}/session"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1000,900"]
        arguments += [
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--disable-dev-shm-usage",
            "--disable-quic",
        ]
        arguments += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
        arguments += ["--disable-sync"]
        wanted = {
            "goog:chromeOptions": {"binary": BROWSER, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        session = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._url += f"/{session['sessionId']}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._call("DELETE", "")
        finally:
            self._process.terminate()
            self._process.wait()
            self._process.stdout.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._url + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, path: Path) -> None:
        self.go(path.as_uri())

    def go(self, url: str) -> None:
        """Open an address; none but that of this machine is there."""
        self._call("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        """What a script `return`s."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def log(self) -> list[dict[str, Any]]:
        """Everything on the console since the last call."""
        return self._call("POST", "/se/log", {"type": "browser"})

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at a point of the window, move, and release."""

        def move(point: tuple[float, float]) -> dict[str, Any]:
            return {"type": "pointerMove", "x": int(point[0]), "y": int(point[1]), "duration": 0}

        steps = [
            move(start),
            {"type": "pointerDown", "button": 0},
            move(end),
            {"type": "pointerUp", "button": 0},
        ]
        self._call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": steps}]})

    def type_into(self, selector: str, text: str) -> None:
        element = self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]
        self._call("POST", f"/element/{element}/value", {"text": text})

    def screenshot(self, selector: str) -> Image.Image:
        element = self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]
        png = self._call("GET", f"/element/{element}/screenshot")
        return Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")

"""A headless Chromium for tests of pages, driven through chromedriver by the WebDriver protocol (W3C), and a server."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element's reference, as the standard fixes it."""
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"),
)
"""WebGPU is computed by SwiftShader, on the CPU."""


def missing() -> str | None:
    """Why there is no browser; None: there is one."""
    programs = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(programs)} not installed" if programs else None


class Browser:
    """One window of a session."""

    def __init__(self, address: str, downloads: Path) -> None:
        self._session = address
        options = {"args": list(_OPTIONS), "binary": shutil.which("chromium")}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        made = self._call("POST", "/session", {"capabilities": wanted})
        self._session = f"{address}/session/{made['sessionId']}"
        self._call("POST", "/timeouts", {"script": 120_000, "pageLoad": 120_000})
        self.downloads = downloads
        self.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a script's promise, or of its `return`."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, condition: str, seconds: float = 45) -> Any:
        """The value of a JavaScript expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(f"return {condition}")):
            if time.monotonic() > end:
                shown = self.run("return document.body.innerText")
                raise AssertionError(f"{condition} is not true after {seconds} s:\n{shown}\n{self.logged()}")
            time.sleep(0.1)
        return value

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in a file input, as a person does."""
        self._element(selector, "/value", {"text": "\n".join(str(path) for path in files)})

    def press(self, selector: str, keys: str) -> None:
        self._element(selector, "/value", {"text": keys})

    def click(self, selector: str) -> None:
        self._element(selector, "/click", {})

    def downloaded(self, selector: str) -> Path:
        """Click, and wait for the file that the page makes."""
        before = set(self.downloads.iterdir())
        self.click(selector)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            new = [path for path in set(self.downloads.iterdir()) - before if path.suffix != ".crdownload"]
            if new and not new[0].name.startswith("."):
                return new[0]
            time.sleep(0.1)
        raise AssertionError(f"nothing was downloaded; {self.logged()}")

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """The size of the page, in CSS pixels, and its colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Of the whole page."""
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def devtools(self, method: str, **parameters: object) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": method, "params": parameters})

    def logged(self) -> list[str]:
        """Messages of the console since the last call."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def close(self) -> None:
        self._call("DELETE", "")

    def _element(self, selector: str, action: str, body: dict[str, object]) -> None:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", f"/element/{found[_ELEMENT]}{action}", body)

    def _call(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._session}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=150) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from error


@contextmanager
def browser(downloads: Path) -> Iterator[Browser]:
    """A Chromium of its own, which is closed at the end."""
    port = _free_port()
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_listening(port)
        window = Browser(f"http://127.0.0.1:{port}", downloads)
        try:
            yield window
        finally:
            window.close()
    finally:
        driver.terminate()
        driver.wait(30)


@contextmanager
def served(directory: Path, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a directory, as any server of static files would serve it, with more headers if wanted."""
    handler = partial(_Handler, directory=str(directory), headers=headers or {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, headers: Mapping[str, str], **options: Any) -> None:
        self._more = headers
        super().__init__(*arguments, **options)

    def end_headers(self) -> None:
        for name, value in self._more.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Not into the output of the tests."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_listening(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("chromedriver does not start")

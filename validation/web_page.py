"""Take pictures of the page of `toolkit web`, in headless Chromium: on a desktop, and on a phone in dark mode.

    python validation/web_page.py

Writes docs/images/web_desktop.jpg and docs/images/web_phone.jpg. The picture on the page is the demonstration's. The
frame times are those of the machine that took the pictures. Needs chromium, chromedriver and npm.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from toolkit.demonstration.demo import SCALE, picture
from toolkit.deployment.web.site import write_site
from toolkit.graph.export import export
from toolkit.network.bundled import bundled_checkpoint

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser import Browser, browser, served  # noqa: E402

OUT = ROOT / "docs" / "images"


def take(window: Browser, path: Path) -> None:
    """A screenshot as a JPEG file, which is smaller."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        window.screenshot(Path(file.name))
        with Image.open(file.name) as image:
            image.convert("RGB").save(path, quality=85, optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source = home / "astronaut.png"
        Image.fromarray(picture()).save(source)
        write_site(export(bundled_checkpoint(SCALE), directory=home), home / "site")
        with served(home / "site") as address, browser(home) as window:
            window.resize(1280, 900)
            window.open(f"{address}/?provider=wasm")
            window.wait("!document.getElementById('application').hidden")
            window.choose("#file", source)
            window.wait("!document.getElementById('result').hidden")
            take(window, OUT / "web_desktop.jpg")
            window.resize(390, 844, dark=True)
            take(window, OUT / "web_phone.jpg")


if __name__ == "__main__":
    main()

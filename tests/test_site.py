"""The documentation as a site: it is complete, its links lead somewhere, and a browser loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import msgspec
import pytest

import toolkit
from toolkit.cli import _COMMANDS

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs/site"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_formats_are_those_of_the_types() -> None:
    formats = module("formats")
    page: str = formats.formats()
    titles = re.findall(r"^##+ (\w+)$", page, re.M)
    assert not [title for title, count in Counter(titles).items() if count > 1], "two headings, one anchor"
    assert set(re.findall(r"\]\(#(\w+)\)", page)) <= {title.lower() for title in titles}
    for kind in formats.FORMATS:
        table = page.partition(f"## {kind.__name__}\n")[2].partition("\n#")[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (\S.*?) \| .*\|$", table, re.M))
        assert list(rows) == list(kind.__struct_encode_fields__)
        required = {name for name, text in rows.items() if text == "required"}
        assert required == {item.encode_name for item in msgspec.structs.fields(kind) if item.required}
    manifest = page.partition("## Manifest\n")[2].partition("\n#")[0]
    assert "| `shape` | [integer, integer] or null | required | height and width" in manifest


class Elements(HTMLParser):
    """What a page loads, where its links lead, and which anchors it has."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.loaded += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]
        if tag == "link" and given.get("rel") != "canonical":
            self.loaded.append(given.get("href", ""))
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        if "style" in given:
            self.loaded += re.findall(r"url\(([^)]*)\)", given["style"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` builds it: a link or anchor that leads nowhere fails the build."""
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason=f"{name} is not installed (extra docs)")
    directory = tmp_path_factory.mktemp("site")
    run = "import sys; from mkdocs.__main__ import cli; sys.argv[0] = 'mkdocs'; cli()"
    command = [sys.executable, "-c", run, "build", "--strict", "-f", str(SITE / "mkdocs.yml"), "-d", str(directory)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "not included in the nav" not in done.stderr
    return directory


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Elements]:
    return {page: Elements(page) for page in sorted(site.rglob("*.html"))}


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Elements]) -> None:
    for page, elements in pages.items():
        for address in elements.loaded:
            split = urlsplit(address)
            assert split.scheme in ("", "data") and not split.netloc, f"{page.name} loads {address}"
            if split.path and not split.scheme and page.name != "404.html":  # which a server shows at any address
                assert (page.parent / unquote(split.path)).exists(), f"{page.name} loads {address}"
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )['\"]?(?:https?:)?//[^)'\"]*", sheet.read_text()), sheet.name


def missing(pages: dict[Path, Elements]) -> Iterator[str]:
    for page, elements in pages.items():
        for link in elements.links:
            split = urlsplit(link)
            if split.scheme or split.netloc or page.name == "404.html":
                continue
            target = (page.parent / unquote(split.path)).resolve() if split.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{page.name}: {link}"
            elif split.fragment and target in pages and unquote(split.fragment) not in pages[target].anchors:
                yield f"{page.name}: {link} (anchor)"


@pytest.mark.slow
def test_links_lead_somewhere(pages: dict[Path, Elements]) -> None:
    assert not list(missing(pages))


@pytest.mark.slow
def test_every_page_command_and_public_name_is_there(site: Path, pages: dict[Path, Elements]) -> None:
    sources = [path for path in (ROOT / "docs").rglob("*.md") if SITE not in path.parents]
    assert len(sources) >= 20
    for source in sources:
        assert (site / source.relative_to(ROOT / "docs").with_suffix(".html")).is_file()
    commands = (site / "reference/cli.html").read_text()
    for names in _COMMANDS.values():
        for name in names:
            assert f'<h3 id="{name}">' in commands
            assert re.search(rf"toolkit {name} ", commands), "the usage of the command"
    names = pages[site / "reference/python.html"].anchors
    assert {f"{where}.{name}" for name, where in toolkit._modules().items()} <= names

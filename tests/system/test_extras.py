"""Remedies that name an extra: it exists, and pip finds the package."""

import re
import tomllib
from pathlib import Path

import toolkit
from toolkit.system.extras import how_to_install

PACKAGE = Path(toolkit.__file__).parent
EXTRAS = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SOURCES = {path: path.read_text() for path in PACKAGE.rglob("*.py")}


def test_an_extra_is_installed_from_the_source_folder() -> None:
    assert how_to_install("cpu").startswith('pip install ".[cpu]"')


def test_every_extra_that_is_named_exists() -> None:
    named = {name for text in SOURCES.values() for name in re.findall(r"how_to_install\([\"'](\w+)", text)}
    assert {"cpu", "video", "images", "architectures"} <= named <= set(EXTRAS)


def test_no_remedy_names_a_package_that_no_index_has() -> None:
    assert not [path for path, text in SOURCES.items() if "rt4ksr-toolkit[" in text]

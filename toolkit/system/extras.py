"""How the toolkit's optional dependencies are installed."""

from __future__ import annotations


def how_to_install(extra: str) -> str:
    """A remedy that installs an extra of `pyproject.toml`. No package index has the toolkit: see docs/install.md."""
    return f"""pip install ".[{extra}]" in the toolkit's source folder"""

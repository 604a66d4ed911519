"""Writes reports as HTML and Markdown files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolkit.pages.writing import write_either
from toolkit.profiling.reporting.markdown import markdown
from toolkit.profiling.reporting.page import page
from toolkit.profiling.reporting.side_by_side import TitledReport


def write_pages(
    reports: Sequence[TitledReport], html: Path | None = None, text: Path | None = None, *, overwrite: bool = False
) -> None:
    """Write an HTML page, a Markdown file, or both, of one report or of several side by side.

    Raises:
        InputError: a file cannot be written.
        OutputExists: a file exists, and `overwrite` is false; then neither is written.
    """
    write_either(html, lambda: page(reports), text, lambda: markdown(reports), overwrite=overwrite)

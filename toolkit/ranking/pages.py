"""Writes rankings as HTML and Markdown files."""

from __future__ import annotations

from pathlib import Path

from toolkit.pages.writing import write_either
from toolkit.ranking.markdown import markdown
from toolkit.ranking.page import page
from toolkit.ranking.report import RankingReport


def write_pages(
    report: RankingReport, html: Path | None = None, text: Path | None = None, *, overwrite: bool = False
) -> None:
    """Write an HTML page, a Markdown file, or both.

    Raises:
        InputError: a file cannot be written.
        OutputExists: a file exists, and `overwrite` is false; then neither is written.
    """
    write_either(html, lambda: page(report), text, lambda: markdown(report), overwrite=overwrite)

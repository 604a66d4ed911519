"""Writes rankings as HTML and Markdown files."""

from __future__ import annotations

from pathlib import Path

from toolkit.ranking.markdown import markdown
from toolkit.ranking.page import page
from toolkit.ranking.report import RankingReport
from toolkit.system.atomic import check_outputs, write_bytes


def write_pages(
    report: RankingReport, html: Path | None = None, text: Path | None = None, *, overwrite: bool = False
) -> None:
    """Write an HTML page, a Markdown file, or both.

    Raises:
        InputError: a file cannot be written.
        OutputExists: a file exists, and `overwrite` is false; then neither is written.
    """
    check_outputs(html, text, overwrite=overwrite)
    if html is not None:
        write_bytes(html, page(report).encode(), overwrite=overwrite)
    if text is not None:
        write_bytes(text, markdown(report).encode(), overwrite=overwrite)

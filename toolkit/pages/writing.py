"""Writes what is reported as an HTML page, a Markdown file, or both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolkit.system.atomic import check_outputs, write_bytes


def write_either(
    html: Path | None, page: Callable[[], str], text: Path | None, markdown: Callable[[], str], *, overwrite: bool
) -> None:
    """Write an HTML page, a Markdown file, or both; what is not written is not made.

    Raises:
        InputError: a file cannot be written.
        OutputExists: a file exists, and `overwrite` is false; then neither is written.
    """
    check_outputs(html, text, overwrite=overwrite)
    for path, content in ((html, page), (text, markdown)):
        if path is not None:
            write_bytes(path, content().encode(), overwrite=overwrite)

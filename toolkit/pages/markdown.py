"""Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int) -> list[str]:
    """Lines of a table.

    Args:
        header, rows: cells, which must be valid Markdown already: quote text with `quoting.markdown`.
        texts: the first `texts` columns are left-aligned text, the others right-aligned numbers.
    """
    rule = "|".join(" --- " if index < texts else " ---: " for index in range(len(header)))
    return [f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]

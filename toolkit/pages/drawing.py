"""Charts, drawn by matplotlib if it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.errors import InputError, Unavailable
from toolkit.system.atomic import check_outputs, new_file
from toolkit.system.extras import how_to_install


@contextmanager
def drawn(path: Path, width: float = 7.0, height: float = 4.5, *, overwrite: bool = False) -> Iterator[Any]:
    """Axes to draw on; the chart is written when the block ends.

    Args:
        path: of the file, whose suffix chooses the format: PNG, SVG or PDF.
        width, height: in inches.
        overwrite: whether an existing file may be replaced.

    Raises:
        Unavailable: matplotlib is not installed.
        InputError: the file cannot be written.
        OutputExists: the file exists, and `overwrite` is false.
    """
    check_outputs(path, overwrite=overwrite)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unavailable(f"charts need matplotlib: {error}", how_to_install("plot")) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure.subplots()
    try:
        with new_file(path, overwrite=overwrite) as temporary:
            figure.savefig(temporary, format=path.suffix[1:])
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {path}: {error}", "Give a .png, .svg or .pdf file.") from error

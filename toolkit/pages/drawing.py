"""Pictures of curves, by matplotlib where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.errors import InputError, OutputExists, Unavailable
from toolkit.system.atomic import check_outputs, publish


@contextmanager
def drawn(path: Path, width: float = 7.0, height: float = 4.5, *, overwrite: bool = False) -> Iterator[Any]:
    """Axes to draw on; the picture is written when the block ends (PNG, SVG or PDF by the file's name).

    Args:
        path: of the picture.
        width, height: in inches.
        overwrite: whether a file of that name may be replaced.

    Raises:
        Unavailable: matplotlib is not installed.
        InputError: the file cannot be written.
        OutputExists: it exists, and `overwrite` is false.
    """
    check_outputs(path, overwrite=overwrite)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unavailable(f"pictures need matplotlib: {error}", 'pip install "rt4ksr-toolkit[plot]"') from error
    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure.subplots()
    temporary = path.with_name(f".{path.name}.tmp{path.suffix}")
    try:
        figure.savefig(temporary)
        publish(temporary, path, overwrite=overwrite)
    except OutputExists:
        temporary.unlink(missing_ok=True)
        raise
    except (OSError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error}", "Name a .png, .svg or .pdf file.") from error

"""The boundary to other libraries: whatever they raise about a file becomes one error that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.errors import ArtifactError, ToolkitError

_LONGEST = 300


@contextmanager
def foreign(what: str, remedy: str = "", kind: type[ToolkitError] = ArtifactError) -> Iterator[None]:
    """Raise `kind` with `what` and the library's own first line, where a library raises anything.

    ONNX, onnx_ir, ONNX Runtime, OpenVINO and NumPy have dozens of exception types for graphs that they cannot handle,
    from KeyError to classes of their own. The original exception is kept as the cause.

    Args:
        what: the sentence that begins the message, for instance `OpenVINO cannot run x.onnx`.
        remedy: what the reader can do.
        kind: of error.
    """
    try:
        yield
    except ToolkitError:
        raise
    except Exception as error:
        raise kind(f"{what}: {first_line(error)}", remedy) from error


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[0].strip()[:_LONGEST]
    # `KeyError: 'x'` and the like say too little without their type.
    return text if len(text.split()) > 1 else f"{type(error).__name__} {text}".strip()

"""The boundary to other libraries: whatever they raise about a file becomes one error that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.errors import ArtifactError, ToolkitError

_LONGEST = 300


@contextmanager
def foreign(what: str, remedy: str = "", kind: type[ToolkitError] = ArtifactError) -> Iterator[None]:
    """Report any exception of a library as an error of one kind.

    ONNX, onnx_ir, ONNX Runtime, OpenVINO and NumPy have dozens of exception types for graphs that they cannot handle,
    from KeyError to classes of their own. The original exception is kept as the cause.

    Args:
        what: start of the message, for instance `OpenVINO cannot run x.onnx`; the first line of the library's own
            message follows.
        remedy: what the user can do.
        kind: type of the error.

    Raises:
        kind: in place of the library's exception.
    """
    try:
        yield
    except ToolkitError:
        raise
    except Exception as error:
        raise kind(f"{what}: {first_line(error)}", remedy) from error


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type if it has no message."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[0].strip()[:_LONGEST]
    # A single word, as in `KeyError: 'x'`, is not understood without the type.
    return text if len(text.split()) > 1 else f"{type(error).__name__} {text}".strip()

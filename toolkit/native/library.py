"""Python binding of an engine's shared object."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError, Unavailable
from toolkit.native.interface import symbol
from toolkit.workloads import Shape

_REASONS = {
    1: "the size or the range of rows is not supported",
    2: "an argument is missing or negative",
    3: "out of memory, or no thread could be created",
    4: "this CPU lacks instructions that the engine was compiled for",
}


class Library:
    """A loaded shared object. `name` is the artifact's name, the prefix of its functions."""

    def __init__(self, path: Path, name: str) -> None:
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise Unavailable(f"{path} cannot be loaded: {error}", "Build the engine again.") from error
        self._prefix = symbol(name)
        self._function("create").argtypes = [ctypes.POINTER(ctypes.c_void_p), *[ctypes.c_int] * 3]
        self._function("destroy").argtypes = [ctypes.c_void_p]
        self._function("run").argtypes = [ctypes.c_void_p] * 3
        self._function("run_rows").argtypes = [*[ctypes.c_void_p] * 3, *[ctypes.c_int] * 2]
        self._function("working_bytes").argtypes = [ctypes.c_void_p]
        self._function("working_bytes").restype = ctypes.c_size_t
        self._function("executed").restype = ctypes.c_char_p

    def executed(self) -> dict[str, str]:
        """Precision of every graph node, as reported by the shared object."""
        found: dict[str, str] = json.loads(self._function("executed")().decode())
        return found

    def engine(self, height: int, width: int, threads: int) -> LoadedEngine:
        """Create an engine for frames of this size in pixels."""
        handle = ctypes.c_void_p()
        code = self._function("create")(ctypes.byref(handle), height, width, threads)
        if code == 1:
            raise InputError(f"this engine does not support the input size {Shape(height, width)}")
        if code:
            raise Unavailable(f"the engine cannot start: {_REASONS[code]}")
        return LoadedEngine(self, handle)

    def _function(self, name: str) -> ctypes._NamedFuncPointer:
        function: ctypes._NamedFuncPointer = getattr(self._library, f"{self._prefix}_{name}")
        return function


class LoadedEngine:
    """An engine for one input size.

    Frames must be contiguous and match the artifact's ports; this is not checked here.
    """

    def __init__(self, library: Library, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    def __del__(self) -> None:
        self._library._function("destroy")(self._handle)

    @property
    def working_bytes(self) -> int:
        """Bytes of line buffers per thread."""
        return int(self._library._function("working_bytes")(self._handle))

    def run(self, frame: NDArray[np.generic], output: NDArray[np.generic]) -> None:
        """Compute the whole frame into `output`."""
        _check(self._library._function("run")(self._handle, frame.ctypes.data, output.ctypes.data))

    def run_rows(self, frame: NDArray[np.generic], output: NDArray[np.generic], first: int, count: int) -> None:
        """Compute the output of `count` input rows from row `first` on, in the calling thread."""
        run = self._library._function("run_rows")
        _check(run(self._handle, frame.ctypes.data, output.ctypes.data, first, count))


def _check(code: int) -> None:
    if code:
        raise InputError(f"the native engine: {_REASONS[code]}")

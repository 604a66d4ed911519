"""Python binding of an engine's shared object."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError, Unavailable
from toolkit.native.interface import symbol
from toolkit.native.yuv420 import CYuv420, Yuv420
from toolkit.workloads import Shape

_BAD_SIZE = 1


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
        self._function("run_yuv420").argtypes = [
            ctypes.c_void_p,
            *[ctypes.POINTER(CYuv420)] * 2,
            *[ctypes.c_int] * 2,
        ]
        self._function("run_rows").argtypes = [*[ctypes.c_void_p] * 3, *[ctypes.c_int] * 2]
        self._function("shape").argtypes = [ctypes.c_void_p] + [ctypes.POINTER(ctypes.c_int)] * 4
        self._function("working_bytes").argtypes = [ctypes.c_void_p]
        self._function("working_bytes").restype = ctypes.c_size_t
        for text in ("executed", "error"):
            self._function(text).restype = ctypes.c_char_p

    def executed(self) -> dict[str, str]:
        """Precision of every graph node, as reported by the shared object."""
        found: dict[str, str] = json.loads(self._function("executed")().decode())
        return found

    def error(self, code: int) -> str:
        """What a code of its functions means."""
        return str(self._function("error")(code).decode())

    def engine(self, height: int, width: int, threads: int) -> LoadedEngine:
        """Create an engine for frames of this size in pixels.

        Raises:
            InputError: it does not take this size.
            Unavailable: the CPU lacks instructions, or there is not enough memory.
        """
        handle = ctypes.c_void_p()
        code = self._function("create")(ctypes.byref(handle), height, width, threads)
        if code == _BAD_SIZE:
            raise InputError(f"this engine does not take the input size {Shape(height, width)}: {self.error(code)}")
        if code:
            raise Unavailable(f"the engine cannot start: {self.error(code)}")
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
        self._check(self._library._function("run")(self._handle, frame.ctypes.data, output.ctypes.data))

    def run_rows(self, frame: NDArray[np.generic], output: NDArray[np.generic], first: int, count: int) -> None:
        """Compute the output of `count` input rows from row `first` on, in the calling thread."""
        run = self._library._function("run_rows")
        self._check(run(self._handle, frame.ctypes.data, output.ctypes.data, first, count))

    def run_yuv420(self, frame: Yuv420, output: Yuv420, rows: tuple[int, int] | None = None) -> None:
        """Compute a video frame into the memory of `output`.

        Args:
            frame: of the engine's size.
            output: `scale` times as large, or only its luma.
            rows: begin and end of the input rows whose result is computed; None: all.

        Raises:
            InputError: the sizes or rows are not even or not those of the engine, or the network takes luma.
        """
        sides = [ctypes.c_int() for _ in range(4)]
        self._library._function("shape")(self._handle, *map(ctypes.byref, sides))
        in_height, in_width, out_height, out_width = (side.value for side in sides)
        given = frame.described(Shape(in_height, in_width))
        made = output.described(Shape(out_height, out_width))
        first, last = rows or (0, in_height)
        ends = ctypes.byref(given), ctypes.byref(made)
        self._check(self._library._function("run_yuv420")(self._handle, *ends, first, last - first))

    def _check(self, code: int) -> None:
        if code:
            raise InputError(f"the native engine: {self._library.error(code)}")

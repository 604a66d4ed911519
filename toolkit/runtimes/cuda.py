"""The few calls of the CUDA driver that a session needs: memory, one stream, events, a graph.

Through the driver's own library, so that no CUDA toolkit has to be installed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from toolkit.errors import Unavailable
from toolkit.runtimes.hardware import CUDA_DRIVER

_CAPTURE_RELAXED = 2
_EVENT_DEFAULT = 0


class Cuda:
    """The first device's primary context, made current, and one stream in it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(CUDA_DRIVER)
        self.call("cuInit", 0)
        device, self._context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self.call("cuCtxSetCurrent", self._context)
        self._stream = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(self._stream), 0)

    @property
    def stream(self) -> int:
        """The stream as other libraries take it."""
        return self._stream.value or 0

    def call(self, name: str, *arguments: Any) -> None:
        """A driver function.

        Raises:
            Unavailable: it returned an error.
        """
        if code := getattr(self._library, name)(*arguments):
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            reason = text.value.decode() if text.value else "unknown error"
            raise Unavailable(f"the CUDA driver's {name} failed: {reason} ({code})")

    def device_memory(self, size: int) -> int:
        """Address of `size` new bytes on the device."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def pinned_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in page-locked host memory, which the device copies from and to at full speed."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        pointer = ctypes.c_void_p()
        self.call("cuMemHostAlloc", ctypes.byref(pointer), ctypes.c_size_t(size), 0)
        memory = memoryview((ctypes.c_uint8 * size).from_address(pointer.value or 0))
        array: NDArray[Any] = np.frombuffer(memory, kind).reshape(shape)
        return array

    def free(self, device: int, pinned: NDArray[Any]) -> None:
        """Give back a device address and a pinned array."""
        self.call("cuMemFree_v2", ctypes.c_uint64(device))
        self.call("cuMemFreeHost", ctypes.c_void_p(pinned.ctypes.data))

    def upload(self, device: int, array: NDArray[Any]) -> None:
        """Start a copy to the device."""
        target, source = ctypes.c_uint64(device), ctypes.c_void_p(array.ctypes.data)
        self.call("cuMemcpyHtoDAsync_v2", target, source, ctypes.c_size_t(array.nbytes), self._stream)

    def download(self, array: NDArray[Any], device: int) -> None:
        """Start a copy from the device."""
        target, source = ctypes.c_void_p(array.ctypes.data), ctypes.c_uint64(device)
        self.call("cuMemcpyDtoHAsync_v2", target, source, ctypes.c_size_t(array.nbytes), self._stream)

    def synchronise(self) -> None:
        """Wait for the stream."""
        self.call("cuStreamSynchronize", self._stream)

    def event(self) -> ctypes.c_void_p:
        """A new event, for timing."""
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), _EVENT_DEFAULT)
        return event

    def record(self, event: ctypes.c_void_p) -> None:
        """Mark this point of the stream."""
        self.call("cuEventRecord", event, self._stream)

    def seconds_between(self, begin: ctypes.c_void_p, end: ctypes.c_void_p) -> float:
        """Device time between two events that have passed."""
        milliseconds = ctypes.c_float()
        self.call("cuEventElapsedTime", ctypes.byref(milliseconds), begin, end)
        return milliseconds.value / 1000

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` starts on the stream as a graph; returns what launches it."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuStreamBeginCapture_v2", self._stream, _CAPTURE_RELAXED)
        try:
            work()
        finally:
            self.call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_uint64(0))
        return lambda: self.call("cuGraphLaunch", executable, self._stream)

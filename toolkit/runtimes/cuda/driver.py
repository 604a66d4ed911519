"""Calls of the NVIDIA driver's own library through ctypes: devices, memory, one stream, events, graphs.

No CUDA toolkit has to be installed. All calls of the driver are in this module.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from toolkit.errors import Unavailable

CUDA_DRIVER = "libcuda.so.1"

# Constants of cuda.h.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_CAPTURE_RELAXED = 2
_EVENT_DEFAULT = 0


class Driver:
    """The driver's library, initialised, and what it reports about devices."""

    def __init__(self) -> None:
        """
        Raises:
            Unavailable: there is no driver, or it does not start.
        """
        try:
            self._library = ctypes.CDLL(CUDA_DRIVER)
        except OSError as error:
            raise Unavailable(f"there is no NVIDIA driver ({CUDA_DRIVER})") from error
        if code := self._library.cuInit(0):
            raise Unavailable(f"the NVIDIA driver is installed, but cuInit fails with code {code}")

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the driver.

        Raises:
            Unavailable: it returned an error.
        """
        if code := getattr(self._library, name)(*arguments):
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            reason = text.value.decode() if text.value else "unknown error"
            raise Unavailable(f"the CUDA driver's {name} failed: {reason} ({code})")

    def device_names(self) -> list[str]:
        """Names of all devices; empty without one."""
        count = ctypes.c_int()
        self._library.cuDeviceGetCount(ctypes.byref(count))  # an error, too, means that there is none
        names = []
        for index in range(count.value):
            name = ctypes.create_string_buffer(256)
            self.call("cuDeviceGetName", name, len(name), self._device(index))
            names.append(name.value.decode())
        return names

    def compute_capability(self) -> tuple[int, int]:
        """Major and minor number of the first device."""
        device, number, numbers = self._device(0), ctypes.c_int(), []
        for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
            self.call("cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
            numbers.append(number.value)
        return numbers[0], numbers[1]

    def cuda_version(self) -> tuple[int, int]:
        """Major and minor number of the newest CUDA version that the driver supports."""
        number = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(number))
        return number.value // 1000, number.value % 1000 // 10

    def _device(self, index: int) -> ctypes.c_int:
        device = ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(device), index)
        return device


class Cuda(Driver):
    """The first device's primary context, made current, and one stream in it."""

    def __init__(self) -> None:
        """
        Raises:
            Unavailable: there is no driver, or no device.
        """
        super().__init__()
        self._context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device(0))
        self.make_current()
        self._stream = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(self._stream), 0)

    @property
    def stream(self) -> int:
        """The stream's handle, as other libraries take it."""
        return self._stream.value or 0

    def make_current(self) -> None:
        """Make the context current on the calling thread."""
        self.call("cuCtxSetCurrent", self._context)

    def device_memory(self, size: int) -> int:
        """Allocate `size` bytes on the device, and return the address."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def free(self, address: int) -> None:
        """Free device memory, on any thread."""
        self.make_current()
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def pinned_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in page-locked host memory, which the device copies from and to at full speed.

        The memory is freed with the last array that is a view of it.
        """
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        pointer = ctypes.c_void_p()
        self.call("cuMemHostAlloc", ctypes.byref(pointer), ctypes.c_size_t(size), 0)
        memory = (ctypes.c_uint8 * size).from_address(pointer.value or 0)
        # Not at exit, where the driver may have shut down already.
        weakref.finalize(memory, self._free_pinned, pointer).atexit = False
        array: NDArray[Any] = np.frombuffer(memoryview(memory), kind).reshape(shape)
        return array

    def _free_pinned(self, pointer: ctypes.c_void_p) -> None:
        self.make_current()
        self.call("cuMemFreeHost", pointer)

    def upload(self, device: int, array: NDArray[Any]) -> None:
        """Start a copy of an array to an address on the device."""
        target, source = ctypes.c_uint64(device), ctypes.c_void_p(array.ctypes.data)
        self.call("cuMemcpyHtoDAsync_v2", target, source, ctypes.c_size_t(array.nbytes), self._stream)

    def download(self, array: NDArray[Any], device: int) -> None:
        """Start a copy from an address on the device to an array."""
        target, source = ctypes.c_void_p(array.ctypes.data), ctypes.c_uint64(device)
        self.call("cuMemcpyDtoHAsync_v2", target, source, ctypes.c_size_t(array.nbytes), self._stream)

    def synchronise(self) -> None:
        """Wait until all work on the stream is done."""
        self.call("cuStreamSynchronize", self._stream)

    def event(self) -> ctypes.c_void_p:
        """Create an event for timing."""
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), _EVENT_DEFAULT)
        return event

    def record(self, event: ctypes.c_void_p) -> None:
        """Record an event at this point of the stream."""
        self.call("cuEventRecord", event, self._stream)

    def seconds_between(self, begin: ctypes.c_void_p, end: ctypes.c_void_p) -> float:
        """Device time in seconds between two events that have passed."""
        milliseconds = ctypes.c_float()
        self.call("cuEventElapsedTime", ctypes.byref(milliseconds), begin, end)
        return milliseconds.value / 1000

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        """Record what `work` starts on the stream as a graph, without running it."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuStreamBeginCapture_v2", self._stream, _CAPTURE_RELAXED)
        try:
            try:
                work()
            finally:
                self.call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_uint64(0))
        finally:
            if graph:
                self.call("cuGraphDestroy", graph)
        return CudaGraph(self, executable)


class CudaGraph:
    """Work that was captured from a stream, started with one call."""

    def __init__(self, cuda: Cuda, executable: ctypes.c_void_p) -> None:
        self._cuda, self._executable = cuda, executable
        weakref.finalize(self, self._destroy, cuda, executable).atexit = False

    def launch(self) -> None:
        """Start the work on the stream."""
        self._cuda.call("cuGraphLaunch", self._executable, ctypes.c_void_p(self._cuda.stream))

    @staticmethod
    def _destroy(cuda: Cuda, executable: ctypes.c_void_p) -> None:
        cuda.make_current()
        cuda.call("cuGraphExecDestroy", executable)

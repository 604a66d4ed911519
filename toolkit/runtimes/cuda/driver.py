"""The few calls of the CUDA driver that a session needs: memory, one stream, events, a graph.

Through the driver's own library, so that no CUDA toolkit has to be installed.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from toolkit.errors import Unavailable
from toolkit.runtimes.protocol import Stages
from toolkit.system.hardware import CUDA_DRIVER

_CAPTURE_RELAXED = 2
_EVENT_DEFAULT = 0


class Cuda:
    """The first device's primary context, made current, and one stream in it."""

    def __init__(self) -> None:
        """
        Raises:
            Unavailable: there is no driver, or no device.
        """
        try:
            self._library = ctypes.CDLL(CUDA_DRIVER)
        except OSError as error:
            raise Unavailable(f"there is no NVIDIA driver ({CUDA_DRIVER})") from error
        self.call("cuInit", 0)
        device, self._context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self.make_current()
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

    def make_current(self) -> None:
        """Make the context current on the calling thread."""
        self.call("cuCtxSetCurrent", self._context)

    def device_memory(self, size: int) -> int:
        """Address of `size` new bytes on the device."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def free(self, address: int) -> None:
        """Give device memory back, on whatever thread."""
        self.make_current()
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def pinned_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in page-locked host memory, which the device copies from and to at full speed.

        The memory is given back when the last array that looks into it is gone.
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

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        """Record what `work` starts on the stream, instead of running it."""
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
    """Work that was captured from a stream, and is started with one call."""

    def __init__(self, cuda: Cuda, executable: ctypes.c_void_p) -> None:
        self._cuda, self._executable = cuda, executable
        weakref.finalize(self, self._destroy, cuda, executable).atexit = False

    def launch(self) -> None:
        """Start it on the stream."""
        self._cuda.call("cuGraphLaunch", self._executable, ctypes.c_void_p(self._cuda.stream))

    @staticmethod
    def _destroy(cuda: Cuda, executable: ctypes.c_void_p) -> None:
        cuda.make_current()
        cuda.call("cuGraphExecDestroy", executable)


class DeviceFrames:
    """An input and an output frame on the device, and the pinned arrays that they are copied from and to.

    All memory is allocated here, none per frame.
    """

    def __init__(self, cuda: Cuda, given: NDArray[Any], returned: NDArray[Any]) -> None:
        """
        Args:
            given: pinned array for the input.
            returned: pinned array for the output.
        """
        self._cuda, self.given, self.returned = cuda, given, returned
        self.started, self.finished = cuda.event(), cuda.event()
        """Before the copy to the device, and after the copy back."""
        self.input_address = self._allocate(given.nbytes)
        self.output_address = self._allocate(returned.nbytes)

    def upload(self, frame: NDArray[Any]) -> None:
        """Start to copy a frame to the device."""
        np.copyto(self.given, frame)
        self._cuda.record(self.started)
        self._cuda.upload(self.input_address, self.given)

    def download(self) -> NDArray[Any]:
        """The result, when all that was started on the stream is done. The next call overwrites it."""
        self._cuda.download(self.returned, self.output_address)
        self._cuda.record(self.finished)
        self._cuda.synchronise()
        return self.returned

    def stages(self, begin: ctypes.c_void_p, end: ctypes.c_void_p) -> Stages:
        """Device time of the last frame's copies, and of what was done between two events of its user."""
        between = self._cuda.seconds_between
        return Stages(between(self.started, begin), between(begin, end), between(end, self.finished))

    def _allocate(self, size: int) -> int:
        address = self._cuda.device_memory(size)
        weakref.finalize(self, self._cuda.free, address).atexit = False
        return address

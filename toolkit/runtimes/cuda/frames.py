"""Frames in page-locked host memory and on an NVIDIA GPU."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.runtimes.cuda.driver import Cuda
from toolkit.runtimes.reported import Stages


class DeviceFrames:
    """An input and an output frame on the device, and the page-locked arrays that they are copied from and to.

    All memory is allocated when the object is created, none per frame.
    """

    def __init__(self, cuda: Cuda, given: NDArray[Any], returned: NDArray[Any]) -> None:
        """
        Args:
            given: page-locked array for the input.
            returned: page-locked array for the output.
        """
        self._cuda, self.given, self.returned = cuda, given, returned
        self.started, self.finished = cuda.event(), cuda.event()
        """Before the copy to the device, and after the copy back."""
        self.input_address = self._allocate(given.nbytes)
        self.output_address = self._allocate(returned.nbytes)

    def upload(self, frame: NDArray[Any]) -> None:
        """Start the copy of a frame to the device."""
        np.copyto(self.given, frame)
        self._cuda.record(self.started)
        self._cuda.upload(self.input_address, self.given)

    def download(self) -> NDArray[Any]:
        """Wait for the stream and return the output frame. The next call overwrites it."""
        self._cuda.download(self.returned, self.output_address)
        self._cuda.record(self.finished)
        self._cuda.synchronise()
        return self.returned

    def stages(self, begin: ctypes.c_void_p, end: ctypes.c_void_p) -> Stages:
        """Device times of the last frame's copies, and of the work between two events of the caller."""
        between = self._cuda.seconds_between
        return Stages(between(self.started, begin), between(begin, end), between(end, self.finished))

    def _allocate(self, size: int) -> int:
        address = self._cuda.device_memory(size)
        weakref.finalize(self, self._cuda.free, address).atexit = False
        return address

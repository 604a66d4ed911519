"""Video frames as an engine's `run_yuv420` takes them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.workloads import Shape

Plane = NDArray[np.uint8] | NDArray[np.uint16]


class CYuv420(ctypes.Structure):
    """`rt4ksr_yuv420` of `c/yuv420.h`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("luma", "cb", "cr")),
        *((name, ctypes.c_ssize_t) for name in ("luma_stride", "chroma_stride")),
        *((name, ctypes.c_int) for name in ("chroma_step", "bits", "matrix", "full_range", "location")),
    )


@dataclass(frozen=True)
class Yuv420:
    """A video frame with one chroma sample per 2x2 pixels, as views of its memory.

    Attributes:
        luma: (H, W) with even sides, uint8; or uint16, with values in the low `bits`. The samples of a row lie next to
            each other.
        cb, cr: (H/2, W/2) of the same type and alike in memory; in NV12 every second sample of one array. None: only
            luma is wanted, of an output.
        bits: per sample, 8 to 16.
        matrix: number in ITU-T H.273: 1 for BT.709, 5 and 6 for BT.601, 9 for BT.2020.
        full: whether black is 0 and white the largest value, instead of 16 and 235 (of 8 bits).
        location: of chroma samples, number in ITU-T H.273: 0 left, 1 centre, 2 top left, 3 top, 4 bottom left, 5
            bottom.
    """

    luma: Plane
    cb: Plane | None
    cr: Plane | None
    bits: int = 8
    matrix: int = 1
    full: bool = False
    location: int = 0

    def described(self, shape: Shape) -> CYuv420:
        """The C structure.

        Args:
            shape: that the frame must have.

        Raises:
            InputError: planes have another size, type or order in memory.
        """
        kind, chroma = self.luma.dtype, [plane for plane in (self.cb, self.cr) if plane is not None]
        half = shape.height // 2, shape.width // 2
        fits = (
            kind == (np.uint8 if self.bits == 8 else np.uint16)
            and self.luma.shape == shape.sides
            and self.luma.strides[1] == kind.itemsize
            and len(chroma) != 1
            and all((plane.shape, plane.dtype) == (half, kind) for plane in chroma)
            and len({plane.strides for plane in chroma}) < 2
        )
        if not fits:
            raise InputError(
                f"these are not the planes of a frame of {shape} in 4:2:0 with {self.bits} bits",
                "Luma has that size, each chroma plane half of it, and both the same type.",
            )
        row, step = chroma[0].strides if chroma else (0, kind.itemsize)
        pointers = [None if plane is None else plane.ctypes.data for plane in (self.luma, self.cb, self.cr)]
        numbers = step // kind.itemsize, self.bits, self.matrix, int(self.full), self.location
        return CYuv420(*pointers, self.luma.strides[0], row, *numbers)

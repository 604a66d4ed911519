"""The port: how the input or output of an artifact holds a picture, and conversion between pictures and frames.

A *picture* is an array (H, W, C), RGB or grey: uint8, uint16, or floating point with black 0 and white 1. A *frame* is
the array (1, C, H, W) or (1, H, W, C) that a graph takes or returns, in the type, value range and channel order of its
port. No other module converts one into the other.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from toolkit.errors import InputError
from toolkit.workloads import Shape

Layout = Literal["NCHW", "NHWC"]
PortType = Literal["float32", "float16", "uint8"]
ChannelOrder = Literal["RGB", "BGR", "Y"]

Frame = NDArray[Any]
"""(1, C, H, W) or (1, H, W, C), as a port says.

Example:
    >>> frame: toolkit.Frame = np.zeros((1, 3, 48, 64), np.float32)
"""

_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in luma, ITU-R BT.601."""

_ROWS_AT_ONCE = 16
"""Rows that are converted together: at 4K their intermediate results stay in the CPU's cache."""


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The input or output of an artifact.

    Attributes:
        name: of the tensor.
        layout: order of the axes.
        dtype: type of the values.
        value_range: the values that stand for black and for white.
        shape: four sizes; names stand for sizes that stay dynamic.
        order: of the channels. Y is one channel of luma (BT.601). A network for video range (16..235 of 255) has that
            as its value range.
        clamped: values cannot leave the value range, because the graph limits them. Always true of uint8.

    Raises:
        ValueError: the value range is empty, not finite, or does not fit the type; or the shape is not that of one
            picture.
    """

    name: str
    layout: Layout
    dtype: PortType
    value_range: tuple[float, float]
    shape: tuple[int | str, ...]
    order: ChannelOrder = "RGB"
    clamped: bool = False

    def __post_init__(self) -> None:
        low, high = self.value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"value range {low:g}..{high:g} is empty or not finite")
        if self.dtype == "uint8" and not (low >= 0 and high <= 255):
            raise ValueError(f"value range {low:g}..{high:g} does not fit uint8")
        if self.dtype == "float16" and max(-low, high) > float(np.finfo(np.float16).max):
            raise ValueError(f"value range {low:g}..{high:g} does not fit float16")
        if len(self.shape) != 4 or any(isinstance(size, int) and size < 1 for size in self.shape):
            raise ValueError(f"shape {list(self.shape)} is not that of pictures")
        one_picture = not isinstance(self.shape[0], int) or self.shape[0] == 1
        if not one_picture or self.shape[self.channel_axis] != self.channels:
            raise ValueError(f"shape {list(self.shape)} is not that of one {self.layout} picture in {self.order}")

    def __str__(self) -> str:
        """For people: `float32 NCHW [1, 3, 'height', 'width'], RGB 0..1`."""
        low, high = self.value_range
        clamped = ", clamped" if self.clamped else ""
        return f"{self.dtype} {self.layout} {list(self.shape)}, {self.order} {low:g}..{high:g}{clamped}"

    @property
    def channels(self) -> int:
        return 1 if self.order == "Y" else 3

    @property
    def channel_axis(self) -> int:
        return 1 if self.layout == "NCHW" else 3

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """Axes of height and width in a frame."""
        return (2, 3) if self.layout == "NCHW" else (1, 2)

    @property
    def span(self) -> float:
        """Distance from black to white."""
        return self.value_range[1] - self.value_range[0]

    @property
    def limited(self) -> bool:
        """Whether no value lies outside the value range."""
        return self.clamped or self.dtype == "uint8"

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return np.dtype(self.dtype).itemsize

    @property
    def same_frames(self) -> tuple[Layout, PortType, tuple[float, float], ChannelOrder]:
        """Equal for two ports that hold a picture in the same way."""
        return self.layout, self.dtype, self.value_range, self.order

    def frame_shape(self, shape: Shape) -> tuple[int, int, int, int]:
        """Array shape of a frame for a picture of this size."""
        height, width = shape.sides
        return (1, self.channels, height, width) if self.layout == "NCHW" else (1, height, width, self.channels)

    def size_of(self, frame: Frame) -> Shape:
        """Size of the picture that a frame holds."""
        height, width = self.spatial_axes
        return Shape(frame.shape[height], frame.shape[width])

    def empty(self, shape: Shape) -> Frame:
        """A frame with any values in it."""
        return np.empty(self.frame_shape(shape), self.dtype)

    def zeros(self, shape: Shape) -> Frame:
        """A frame of zeros."""
        return np.zeros(self.frame_shape(shape), self.dtype)

    def noise(self, shape: Shape, generator: np.random.Generator) -> Frame:
        """A frame of uniform noise in 256 levels from black to white, drawn in the order of the frame's axes."""
        levels = generator.integers(0, 256, self.frame_shape(shape), np.uint8)
        return self._encoded(levels, 255.0, np.dtype(self.dtype))

    def region(self, frame: Frame, rows: slice, columns: slice = slice(None)) -> Frame:
        """Some rows and columns of a frame; nothing is copied."""
        return frame[:, :, rows, columns] if self.layout == "NCHW" else frame[:, rows, columns]

    def taken(self, frame: Frame, rows: list[int], columns: list[int]) -> Frame:
        """A contiguous frame of the rows and columns with these indices, which may repeat."""
        height, width = self.spatial_axes
        taken: Frame = frame.take(rows, height).take(columns, width)
        return taken

    def from_image(
        self, image: NDArray[Any], *, white: float | None = None, floating: DTypeLike | None = None
    ) -> Frame:
        """A picture as a frame.

        Args:
            image: (H, W, C) of 3 channels (RGB) or 1 (grey); its type may be any that `white` explains. Where the port
                has one channel, the luma of RGB is taken; where it has three, grey is repeated.
            white: the value that stands for white (black is 0); default: 255 for uint8, 65535 for uint16, 1 for
                floating point.
            floating: type of the frame of a floating-point port; default: the port's own. A graph that was rewritten
                to compute in float64 takes float64.

        Returns:
            A C-contiguous frame, which shares memory with the picture where nothing had to be converted. Values of
            uint8 ports are limited to the value range and rounded to nearest, ties to even; NaN becomes black. Those of
            floating-point ports are not limited.

        Raises:
            InputError: the picture has another number of axes or channels.
        """
        if image.ndim != 3 or image.shape[2] not in (1, 3):
            raise InputError(f"an array {image.shape} is not a picture (height, width, 1 or 3 channels)")
        most = white_of(image.dtype) if white is None else float(white)
        if self.order == "Y" and image.shape[2] == 3:
            image = luma(image)
        elif self.order != "Y" and image.shape[2] == 1:
            image = np.broadcast_to(image, (*image.shape[:2], 3))
        if self.order == "BGR":
            image = image[..., ::-1]
        values = (image if self.layout == "NHWC" else image.transpose(2, 0, 1))[None]
        exact = self.dtype if self.dtype == "uint8" or floating is None else floating
        return self._encoded(values, most, np.dtype(exact))

    def to_image(
        self,
        frame: Frame,
        dtype: DTypeLike = np.uint8,
        *,
        white: float | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """A frame as a picture (H, W, C), RGB or, from ports of one channel, grey.

        Args:
            frame: as this port has it; of floating-point ports in any floating type.
            dtype: of the picture. For integers, values are limited to black..white and rounded to nearest, ties to
                even; what NaN becomes is not defined. For floating point they are neither limited nor rounded.
            white: the value that stands for white; default as in `from_image`.
            out: where to write the picture; its type is then `dtype`.

        Returns:
            `out`, or a new array; never memory of the frame.

        Raises:
            ValueError: `out` has another shape.
        """
        values = self.values(frame)
        if out is not None and out.shape != values.shape:
            raise ValueError(f"a picture {values.shape} does not fit into {out.shape}")
        result = np.empty(values.shape, dtype) if out is None else out
        most = white_of(result.dtype) if white is None else float(white)
        if values.dtype == result.dtype == np.uint8 and (*self.value_range, most) == (0, 255, 255):
            result[...] = values
        elif np.issubdtype(result.dtype, np.floating):
            working = np.result_type(values, result, np.float32)
            result[...] = self._decoded(values, most, np.empty(values.shape, working))
        else:
            self._round_into(values, most, result)
        return result

    def values(self, frame: Frame) -> NDArray[Any]:
        """The values of a frame as they are, in the axes and channel order of a picture (H, W, C): a view of it."""
        picture: NDArray[Any] = frame[0] if self.layout == "NHWC" else frame[0].transpose(1, 2, 0)
        return picture[..., ::-1] if self.order == "BGR" else picture

    def limit(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """A floating-point picture with black 0 and white 1, limited to that where the port is."""
        return np.clip(image, 0, 1) if self.limited else image

    def exact_values(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values, not rounded, that the port should hold for a picture (H, W, C) of the port's channels.

        The picture is float64 with black 0 and white 1; the values are in the same axes, limited where the port is.
        """
        values = self.limit(image) * self.span
        return values + self.value_range[0] if self.value_range[0] else values

    def _encoded(self, values: NDArray[Any], white: float, dtype: np.dtype[Any]) -> Frame:
        """Values 0..white, in the axes of the frame, as values of the port."""
        low, high = self.value_range
        if dtype == np.uint8:
            if values.dtype == np.uint8 and (low, high, white) == (0, 255, 255):
                return np.ascontiguousarray(values)
            scaled = _scaled(values, self.span, white, np.empty(values.shape, _working(values.dtype)))
            scaled += scaled.dtype.type(low)
            # Not `clip`: NaN must become a number before it is cast to an integer.
            np.fmin(np.fmax(scaled, low, out=scaled), high, out=scaled)
            rounded: Frame = np.rint(scaled, out=scaled).astype(np.uint8)
            return rounded
        frame: Frame = _scaled(values, self.span, white, np.empty(values.shape, np.result_type(dtype, np.float32)))
        if low:
            frame += frame.dtype.type(low)
        typed: Frame = frame.astype(dtype, copy=False)
        return typed

    def _decoded(self, values: NDArray[Any], white: float, out: NDArray[Any]) -> NDArray[Any]:
        """Values of the port as 0..white, into a floating-point array."""
        low = self.value_range[0]
        if not low:
            return _scaled(values, white, self.span, out)
        np.subtract(values, out.dtype.type(low), out=out, dtype=out.dtype)
        return _scaled(out, white, self.span, out)

    def _round_into(self, values: NDArray[Any], white: float, result: NDArray[Any]) -> None:
        """Values of the port as whole numbers 0..white, a few rows at a time."""
        low, high = self.value_range
        # In the axes of the frame, so that both arrays are walked in the order of memory.
        height, width, channels = values.shape
        working = _working(values.dtype)
        if self.layout == "NCHW":
            scratch = np.empty((channels, _ROWS_AT_ONCE, width), working).transpose(1, 2, 0)
        else:
            scratch = np.empty((_ROWS_AT_ONCE, width, channels), working)
        for first in range(0, height, _ROWS_AT_ONCE):
            part = values[first : first + _ROWS_AT_ONCE]
            work = scratch[: len(part)]
            np.clip(
                part, working.type(low), working.type(high), out=work, dtype=working
            )  # far faster than fmax and fmin
            self._decoded(work, white, work)
            np.rint(work, out=work)
            result[first : first + _ROWS_AT_ONCE] = work


def rgb_port(dtype: PortType = "float32", layout: Layout = "NCHW", name: str = "input") -> Port:
    """A port of RGB pictures of any size in the full range of its type: 0..1, or 0..255 for uint8."""
    size: tuple[int | str, ...] = (1, 3, "height", "width") if layout == "NCHW" else (1, "height", "width", 3)
    return Port(name, layout, dtype, (0.0, 255.0) if dtype == "uint8" else (0.0, 1.0), size)


PLANAR = rgb_port()
"""How PyTorch networks of the toolkit take and return pictures: float32 (1, 3, H, W), RGB, 0..1."""


def white_of(dtype: np.dtype[Any]) -> float:
    """The value of white in pictures of this type: the largest integer, or 1."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def _working(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type to compute in: float64 only for float64."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def _scaled(values: NDArray[Any], target: float, source: float, out: NDArray[Any]) -> NDArray[Any]:
    """Values 0..`source` as 0..`target`. The result is rounded once where the larger of them is a whole multiple of the
    other, as with 255 and 1: 1/255 has no exact representation, so that a product with it would be rounded twice."""
    working = np.dtype(np.result_type(values, out)) if np.issubdtype(values.dtype, np.floating) else out.dtype
    if target == source:
        np.copyto(out, values, casting="same_kind")
    elif target > source:
        np.multiply(values, working.type(target / source), out=out, dtype=working, casting="same_kind")
    else:
        np.divide(values, working.type(source / target), out=out, dtype=working, casting="same_kind")
    return out


def luma(image: NDArray[Any]) -> NDArray[np.float64]:
    """BT.601 luma (H, W, 1) of RGB, on the same scale."""
    weighted: NDArray[np.float64] = image.astype(np.float64) @ _LUMA
    return weighted[..., None]

"""What a graph itself states about its input: layout, channels, element type, and a fixed size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import onnx

from toolkit.errors import InputError
from toolkit.graph.adoption.normalising import fixed_size, spatial_axes
from toolkit.graph.adoption.stated import Range
from toolkit.port import ChannelOrder, Frame, Layout, Port
from toolkit.workloads import Shape

BYTES: Range = (0.0, 255.0)
"""Black and white of uint8."""

Function = Callable[[Frame], Frame]
"""A graph in float64, from frame to frame. It raises anything for sizes that it does not take."""


@dataclass(frozen=True)
class Ends:
    """The input of a normalised graph.

    Attributes:
        layout: of input and output.
        channels: 3, or 1 for luma.
        uint8: the input takes uint8 instead of floating point.
        returns_uint8: the output likewise.
        fixed: the only size; None: any.
    """

    layout: Layout
    channels: int
    uint8: bool
    returns_uint8: bool
    fixed: Shape | None

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Ends:
        """Read them.

        Raises:
            InputError: only one of height and width is fixed.
        """
        tensor = model.graph.input[0].type.tensor_type
        rows, columns = spatial_axes(model)
        sides = [dim.dim_value for dim in tensor.shape.dim]
        fixed = fixed_size(model)
        if (sides[rows] or sides[columns]) and fixed is None:
            raise InputError(
                "only one of height and width of the input is fixed", "Export it with both fixed or both dynamic."
            )
        layout: Layout = "NCHW" if rows == 2 else "NHWC"
        channels = sides[1] if layout == "NCHW" else sides[3]
        kinds = [end.type.tensor_type.elem_type for end in (model.graph.input[0], model.graph.output[0])]
        uint8, returns_uint8 = (kind == onnx.TensorProto.UINT8 for kind in kinds)
        return cls(layout, channels, uint8, returns_uint8, fixed)

    @property
    def grey(self) -> bool:
        """Whether the network takes luma only."""
        return self.channels == 1

    def given(self, value_range: tuple[float, float], order: ChannelOrder) -> Port:
        """The input port under an assumption about its values."""
        sides: tuple[int | str, int | str] = ("height", "width") if self.fixed is None else self.fixed.sides
        shape = (1, self.channels, *sides) if self.layout == "NCHW" else (1, *sides, self.channels)
        return Port("input", self.layout, "uint8" if self.uint8 else "float32", value_range, shape, order)

    def returned(
        self, value_range: tuple[float, float], order: ChannelOrder, scale: int, *, clamped: bool = False
    ) -> Port:
        """The output port likewise. Its sizes are those of the input, times the scale."""
        # Without the range: it need not fit the type of the input, which may be another one.
        port = self.given(BYTES, order)
        shape = list(port.shape)
        for axis in port.spatial_axes:
            side = shape[axis]
            shape[axis] = side * scale if isinstance(side, int) else f"{scale}*{side}"
        return msgspec.structs.replace(
            port,
            name="output",
            dtype="uint8" if self.returns_uint8 else "float32",
            value_range=value_range,
            shape=tuple(shape),
            clamped=clamped and not self.returns_uint8,
        )

    def black(self, shape: Shape) -> Frame:
        """An input of zeros, for experiments in which only sizes matter."""
        port = self.given((0.0, 1.0), "Y" if self.grey else "RGB")
        return np.zeros(port.frame_shape(shape), np.uint8 if self.uint8 else np.float64)

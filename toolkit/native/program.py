"""Intermediate representation of the native engine: stages that compute rows, and the line buffers between them.

A program computes the same function as a graph, row by row. A stage produces one row at a time: its origin
fills a tile of neighbouring pixels (a convolution, a read of the input, a copy, a resampling), and its operations
change that tile in registers and the innermost cache (activations, norms, sums), until it is stored in line buffers or
written to the output frame. Only values that a later stage reads at other rows or columns go through a line buffer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.port import Port
from toolkit.precisions import Precision

Format = Literal["float", "bf16", "int8"]
"""Type of the values in a line buffer, and the arithmetic of a convolution that reads it."""

CHANNELS_PER_LANE: dict[Format, int] = {"float": 1, "bf16": 2, "int8": 4}
"""Buffers consist of 32-bit lanes, one per pixel. Dot-product instructions (`vdpbf16ps`, `vpdpbusd`) multiply and add
the 2 or 4 channels of a lane at once, so lanes hold channels of one pixel, and a vector holds neighbouring pixels."""

Floats = NDArray[np.float32]


class Unsupported(Exception):
    """The native engine does not support a graph; the message names the node and the reason."""


@dataclass
class Buffer:
    """A line buffer: a ring of the latest rows of one tensor.

    Attributes:
        stage: index of the stage that writes it.
        channels: number of channels of the tensor.
        format: type of its values.
        steps: for int8, the number of quantisation steps in 1.0 (the reciprocal of the ONNX scale).
        reflect: whether the image is continued by reflection beyond its edges, instead of by zeros.
        ring: number of rows it holds; set by `schedule`.
    """

    stage: int
    channels: int
    format: Format
    steps: float = 1.0
    reflect: bool = False
    ring: int = 0

    @property
    def planes(self) -> int:
        """Number of lanes per pixel."""
        return -(-self.channels // CHANNELS_PER_LANE[self.format])


@dataclass(frozen=True)
class Source:
    """The part of a buffer that a stage reads for one row.

    For row r, these are the rows floor(r * rate) + rows[0] to floor(r * rate) + rows[1] (inclusive); the same holds for
    columns. Of a stage that computes several rows at once, r is the first of them, and the rows are those for all.
    `rate` is the resolution of the buffer relative to that of the stage: 1 for convolutions, `factor` for an unshuffle,
    1 / `factor` for an upsampling. A 3x3 convolution with padding 1 has rows and columns (-1, 1).
    """

    buffer: int
    rate: Fraction = Fraction(1)
    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ReadFrame:
    """Reads the input frame, with pixel unshuffle by `factor` (1: none)."""

    factor: int


@dataclass(frozen=True)
class Copy:
    """Copies a row. Starts a new stage where an operation needs a row that its own stage has already changed."""

    source: Source


@dataclass(frozen=True)
class Unshuffle:
    """Pixel unshuffle by `factor`: channel (c, dy, dx) is channel c of pixel (factor * y + dy, factor * x + dx)."""

    source: Source
    channels: int
    factor: int


@dataclass(frozen=True)
class Repeat:
    """Nearest-neighbour upsampling by `factor`."""

    source: Source
    factor: int


@dataclass(frozen=True)
class Shuffle:
    """Pixel shuffle by `factor`, between stages. The last stage shuffles while it writes the output instead."""

    source: Source
    factor: int


@dataclass(frozen=True)
class Join:
    """The channels of several buffers, one after the other."""

    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Convolution:
    """Dense convolution with stride 1.

    `weight` (O, I, KY, KX) holds float32 values, or int8 values for format int8. An int8 sum times `scale` (O,), the
    product of both quantisation scales, is the real value; `bias` (O,) is added after that, in float32.
    """

    source: Source
    format: Format
    weight: NDArray[np.generic]
    bias: Floats
    scale: Floats | None = None


@dataclass(frozen=True)
class WinogradConvolution:
    """Dense 3x3 convolution in float32 with stride 1 and a border of zeros, two rows at a time (`winograd.py`).

    `weight` is (O, I, 3, 3), `bias` (O,). Its stage only stores the result, because operations take one row.
    """

    source: Source
    weight: Floats
    bias: Floats


@dataclass(frozen=True)
class Depthwise:
    """Depthwise convolution in float32, `weight` (C, 1, KY, KX).

    With a stride, the kernel has that size and no padding.
    """

    source: Source
    weight: Floats
    bias: Floats
    stride: int = 1


@dataclass(frozen=True)
class ReduceChroma:
    """Filters the chroma of a video frame to half its height and width, and writes it.

    The last stage of a network keeps it at full size, as channels of a pixel shuffle by `factor`.
    """

    source: Source
    factor: int


RowOrigin = ReadFrame | Copy | Unshuffle | Repeat | Shuffle | Join | Convolution | Depthwise | ReduceChroma
"""What fills the tile of a stage."""

Origin = RowOrigin | WinogradConvolution


@dataclass(frozen=True, eq=False)
class Activation:
    """An elementwise activation. `slope` is for leaky ReLU, `limits` (lowest, highest) for clip."""

    kind: Literal["gelu", "gelu-tanh", "relu", "leaky-relu", "clip", "sigmoid", "silu", "tanh"]
    slope: float = 0.0
    limits: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class PRelu:
    """max(x, 0) + slope * min(x, 0), with `slope` (C,) per channel."""

    slope: Floats


@dataclass(frozen=True, eq=False)
class Affine:
    """x * scale + shift per channel, (C,) each."""

    scale: Floats
    shift: Floats


@dataclass(frozen=True, eq=False)
class Norm:
    """Layer norm over the channels of a pixel, followed by * scale + shift, (C,) each.

    Without `centre` the mean is not subtracted: it is zero by construction of the preceding weights.
    """

    centre: bool
    epsilon: float
    scale: Floats
    shift: Floats


@dataclass(frozen=True, eq=False)
class Combine:
    """own * tile + other * a row of a buffer: a residual sum or difference. Factors are 1 or -1.

    `channels`: for each channel of the tile, the channel of the buffer that is added to it; None: the same one.
    """

    source: Source
    own: float
    other: float
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Multiply:
    """tile * a row of a buffer: a gate."""

    source: Source


@dataclass(frozen=True, eq=False)
class Quantise:
    """Rounds to quantisation steps and keeps the integer as float32, for depthwise int8 convolutions, which are
    computed in float32: their sums of few small integers are exact there."""

    steps: float


@dataclass(frozen=True, eq=False)
class Store:
    """Stores the tile in a line buffer."""

    buffer: int


@dataclass(frozen=True, eq=False)
class WriteFrame:
    """Writes the tile to the output frame, with pixel shuffle by `factor` (1: none)."""

    factor: int


Operation = Activation | PRelu | Affine | Norm | Combine | Multiply | Quantise | Store | WriteFrame
"""What is done with a tile, in order, while it is in the innermost cache."""


@dataclass
class Stage:
    """Computes one row after the other, or `rows` rows at once, the first of which is a multiple of it plus `phase`.

    `size` is its height and width relative to the input; `nodes` are the names of the graph nodes it computes; `phase`
    is set by `set_phases`.
    """

    origin: Origin
    channels: int
    size: Fraction
    operations: list[Operation] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    phase: int = 0

    @property
    def rows(self) -> int:
        """Number of rows that it computes at once."""
        return 2 if isinstance(self.origin, WinogradConvolution) else 1

    @property
    def sources(self) -> list[Source]:
        """Everything it reads from line buffers: for its origin, then for sums and products."""
        if isinstance(self.origin, ReadFrame):
            first = []
        elif isinstance(self.origin, Join):
            first = [*self.origin.sources]
        else:
            first = [self.origin.source]
        return first + [item.source for item in self.operations if isinstance(item, Combine | Multiply)]


@dataclass
class Program:
    """A network as the native engine runs it.

    Attributes:
        stages: in an order in which each reads only buffers of earlier ones; the last one writes the output.
        buffers: line buffers, which stages refer to by index.
        input, output: how frames hold a picture.
        scale: of the output's height and width.
        shape: the fixed input size (height, width) after its extension; None: any size.
        multiple: heights and widths of the input are multiples of this, as the manifest says.
        smallest: smallest height and width of the input.
        executed: precision that each graph node is computed in, by node name.
        tile_columns: columns of the last stage that are computed at a time; set by `schedule`.
        halo: rows that a band reads beyond its own, in rows of the last stage; set by `schedule`.
        video: the same with one more stage, for video frames; None: the network takes luma.
    """

    stages: list[Stage]
    buffers: list[Buffer]
    input: Port
    output: Port
    scale: int
    shape: tuple[int, int] | None
    multiple: int
    smallest: int
    executed: dict[str, Precision]
    tile_columns: int = 0
    halo: int = 0
    video: Program | None = None

    @property
    def unit(self) -> int:
        """Number of input rows per row of the last stage."""
        return (1 / self.stages[-1].size).numerator

    @property
    def even(self) -> int:
        """The input's height and width must be multiples of this, so that every stage has a whole number of rows and
        columns.
        """
        return lcm(*(stage.size.denominator for stage in self.stages))

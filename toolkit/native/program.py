"""What a network is to the native engine: stages that make rows, and the line buffers between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Layout, PortType, Precision

Format = Literal["float", "bf16", "int8"]
"""What a lane of a line buffer holds, and what a convolution that reads it computes in."""

CHANNELS_A_LANE: dict[Format, int] = {"float": 1, "bf16": 2, "int8": 4}

Floats = NDArray[np.float32]


class Unsupported(Exception):
    """A graph that the native engine cannot take; the message names the node and says why."""


@dataclass
class Buffer:
    """A line buffer.

    Attributes:
        stage: index of the stage that fills it.
        channels: of the tensor.
        format: of its lanes.
        steps: for int8: how many steps of the quantisation 1.0 is.
        reflect: whether the image is mirrored beyond its edges, instead of zero.
        ring: how many rows it holds; the schedule decides.
    """

    stage: int
    channels: int
    format: Format
    steps: float = 1.0
    reflect: bool = False
    ring: int = 0

    @property
    def planes(self) -> int:
        return -(-self.channels // CHANNELS_A_LANE[self.format])


@dataclass(frozen=True)
class Source:
    """What a stage reads of a buffer: for row r, rows floor(r·rate) + rows[0] to + rows[1], and columns likewise."""

    buffer: int
    rate: Fraction = Fraction(1)
    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class ReadFrame:
    """Pixels of the input, unshuffled by `factor`."""

    factor: int


@dataclass(frozen=True)
class Copy:
    """A row as it is."""

    source: Source


@dataclass(frozen=True)
class Unshuffle:
    """Pixel unshuffle by `factor`."""

    source: Source
    channels: int
    factor: int


@dataclass(frozen=True)
class Repeat:
    """Nearest upsampling by `factor`."""

    source: Source
    factor: int


@dataclass(frozen=True)
class Convolution:
    """Dense convolution, stride 1. `weight` (O, I, KY, KX): float32 values, or int8 ones for format int8, where
    `scale` (O,) is what 1 of a sum stands for."""

    source: Source
    format: Format
    weight: NDArray[np.generic]
    bias: Floats
    scale: Floats | None = None


@dataclass(frozen=True)
class Depthwise:
    """A kernel a channel, `weight` (C, 1, KY, KX), in float32; with a stride it has no border."""

    source: Source
    weight: Floats
    bias: Floats
    stride: int = 1


Origin = ReadFrame | Copy | Unshuffle | Repeat | Convolution | Depthwise
"""Where the pixels of a stage come from."""


@dataclass(frozen=True, eq=False)
class Activation:
    """Element by element. `slope` of leaky ReLU; `limits` of clip."""

    kind: Literal["gelu", "gelu-tanh", "relu", "leaky-relu", "clip"]
    slope: float = 0.0
    limits: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Affine:
    """times `scale`, plus `shift`, (C,) each."""

    scale: Floats
    shift: Floats


@dataclass(frozen=True, eq=False)
class Norm:
    """Layer norm over channels, times `scale`, plus `shift`, (C,) each.

    Without `centre` the mean is taken to be zero already.
    """

    centre: bool
    epsilon: float
    scale: Floats
    shift: Floats


@dataclass(frozen=True, eq=False)
class Combine:
    """own · itself + other · a row of a buffer; factors are 1 or -1."""

    source: Source
    own: float
    other: float


@dataclass(frozen=True, eq=False)
class Quantise:
    """To the nearest step, as a float32: for the few int8 convolutions that are not computed in integers."""

    steps: float


@dataclass(frozen=True, eq=False)
class Store:
    """Into a line buffer."""

    buffer: int


@dataclass(frozen=True, eq=False)
class WriteFrame:
    """Pixel shuffle by `factor` into the output."""

    factor: int


Operation = Activation | Affine | Norm | Combine | Quantise | Store | WriteFrame
"""What happens to a row, in order, while it is in the innermost cache."""


@dataclass
class Stage:
    """Makes one row after the other. `size`: its height and width, relative to the input's."""

    origin: Origin
    channels: int
    size: Fraction
    operations: list[Operation] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)

    @property
    def sources(self) -> list[Source]:
        first = [] if isinstance(self.origin, ReadFrame) else [self.origin.source]
        return first + [item.source for item in self.operations if isinstance(item, Combine)]


@dataclass(frozen=True)
class End:
    """Type and layout of the frames at one end."""

    dtype: PortType
    layout: Layout


@dataclass
class Program:
    """A network as the native engine runs it.

    Attributes:
        stages: each reads only what earlier ones made; the last writes the output.
        executed: precision that each node of the graph is computed in, by name.
        tile_columns: columns of the last stage that are computed at a time; the schedule decides.
        halo: rows of the last stage that a band reads beyond its own; the schedule decides.
    """

    stages: list[Stage]
    buffers: list[Buffer]
    input: End
    output: End
    scale: int
    shape: tuple[int, int] | None
    smallest: int
    executed: dict[str, Precision]
    tile_columns: int = 0
    halo: int = 0

    @property
    def unit(self) -> int:
        """Input rows that one row of the last stage stands for."""
        return (1 / self.stages[-1].size).numerator

    @property
    def even(self) -> int:
        """What the input's height and width are multiples of, so that every stage has whole rows and columns."""
        return lcm(*(stage.size.denominator for stage in self.stages))

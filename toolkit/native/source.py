"""Generates the C++ source of a program; the hand-written part is in `headers/`.

Dimensions become template arguments and weights constant arrays, so the compiler unrolls all loops over channels and
kernel taps and keeps sums in registers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib.resources import files
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from toolkit.native.packing import Lanes, blocks, offsets, packed, packed_tiles, packed_winograd
from toolkit.native.plan_tables import plan_tables
from toolkit.native.program import (
    Activation,
    Affine,
    Combine,
    Convolution,
    Copy,
    Depthwise,
    Join,
    Multiply,
    Norm,
    Operation,
    PRelu,
    Program,
    Quantise,
    ReadFrame,
    ReduceChroma,
    Repeat,
    RowOrigin,
    Shuffle,
    Source,
    Stage,
    Store,
    Unshuffle,
    WinogradConvolution,
    WriteFrame,
)
from toolkit.native.targets import Target
from toolkit.port import Port
from toolkit.quoting import cpp_comment

_DOTS = {"float": "Float", "bf16": "Bf16", "int8": "Int8"}
_LANES = {"float": "float", "bf16": "std::uint32_t", "int8": "std::uint32_t"}
_TWO_ROWS = {"upper": "row", "lower": "row + 1"}
_VALUES_PER_LINE = 8


def headers() -> dict[str, str]:
    """The hand-written headers, by file name."""
    folder = files("toolkit.native") / "headers"
    return {item.name: item.read_text() for item in folder.iterdir() if item.name.endswith(".h")}


def translation_unit(program: Program, target: Target, interface: str) -> str:
    """The generated C++ source.

    Node names come from a file; they are only used in comments and in the string of executed nodes, quoted.

    Args:
        program: what the engine computes.
        target: CPUs to compile for.
        interface: definitions of the C functions, from `interface.py`.
    """
    whole = program.video or program
    writer = _Writer(whole, target)
    stages = [writer.stage(index) for index in range(len(whole.stages))]
    tiles = f'#include "{target.tiles}"\n#include "tile_convolution.h"\n' if target.tiles else ""
    parts = [
        f'#include "{target.header}"\n{tiles}#include "convolution.h"\n#include "ends.h"\n#include "frames.h"',
        '#include "pointwise.h"\n#include "resample.h"\n#include "winograd.h"\n',
        "namespace {\n\nusing namespace rows;\n",
        f"constexpr Colours kInput{_colours(program.input)}, kOutput{_colours(program.output)};\n",
        *writer.constants,
        *stages,
        plan_tables(program),
        "}  // namespace\n",
        interface,
    ]
    return "\n".join(parts)


class _Writer:
    """Writes stages as C++ functions and collects their constants, equal ones only once."""

    def __init__(self, program: Program, target: Target) -> None:
        self._program, self._block, self._tiles = program, target.block, bool(target.tiles)
        self.constants: list[str] = []
        self._names: dict[bytes, str] = {}

    def stage(self, index: int) -> str:
        """The function of a stage: `void stage_3(Band& band, int row)`, which computes one row tile by tile."""
        stage = self._program.stages[index]
        if isinstance(stage.origin, WinogradConvolution):
            return self._winograd(index, stage, stage.origin)
        finish = []
        channels, operations = stage.channels, stage.operations
        setup = [] if isinstance(stage.origin, ReduceChroma) else self._windows(stage)
        if self._in_tiles(stage.origin):
            started, body, operations = self._tiled(stage.origin, operations)
            setup.append(started)
        else:
            body = self._origin(stage.origin, channels)
        if self._program.output.channels == 3:
            writes = [operation for operation in operations if isinstance(operation, WriteFrame)]
            body[:0] = ["chroma.prefetch();" for _ in writes]
        for operation in operations:
            body += self._operation(operation, channels)
            if isinstance(operation, Store):
                lane = _LANES[self._program.buffers[operation.buffer].format]
                setup.append(f"{lane}* const to{operation.buffer} = band.buffer({operation.buffer}).row<{lane}>(row);")
                setup.append(f"const std::ptrdiff_t plane{operation.buffer} = band.buffer({operation.buffer}).plane();")
                finish.append(f"band.buffer({operation.buffer}).finish(row);")
            if isinstance(operation, WriteFrame) and self._program.output.channels == 3:
                buffer = f"band.video_buffer({len(self._program.buffers) - 1})"
                place = f"{buffer}, band.ends().video_output, row, at.first, at.width"
                setup.append(f"ChromaRow<{operation.factor}> chroma({place});")
        text = _beginning(index, stage)
        text += [f"  {line}" for line in setup]
        if not isinstance(stage.origin, ReduceChroma):
            text += [f"  alignas(64) float tile[{channels} * kTile];"]
        text += ["  for (int x = at.first; x < at.last; x += kTile) {", *(f"    {line}" for line in body), "  }"]
        text += [*(f"  {line}" for line in finish), "}\n"]
        return "\n".join(text)

    def _winograd(self, index: int, stage: Stage, origin: WinogradConvolution) -> str:
        """The function of a stage that computes and stores two rows."""
        (store,) = [operation for operation in stage.operations if isinstance(operation, Store)]
        outputs, inputs = origin.weight.shape[:2]
        sizes = blocks(outputs, self._block)
        weights, bias = self._array("float", packed_winograd(origin, sizes)), self._array("float", origin.bias)
        kernel = f"Kernel<Float>{{{weights}, {bias}, nullptr, nullptr}}"
        buffer, shape = f"band.buffer({store.buffer})", ", ".join(map(str, (inputs, *sizes)))
        operands = f"in0.from({_moved('x', origin.source, -1)}), {kernel}, band.scratch()"
        text = _beginning(index, stage)
        text += [f"  {line}" for line in self._windows(stage)]
        text += [f"  float* const {name} = {buffer}.row<float>({row});" for name, row in _TWO_ROWS.items()]
        text += [f"  const std::ptrdiff_t plane = {buffer}.plane();"]
        text += ["  for (int x = at.first; x < at.last; x += 2 * kTile)"]
        text += [f"    winograd<{shape}>({operands}, upper + x, lower + x, plane);"]
        text += [*(f"  {buffer}.finish({row});" for row in _TWO_ROWS.values()), "}\n"]
        return "\n".join(text)

    def _windows(self, stage: Stage) -> list[str]:
        """Declarations of the rows that the stage reads."""
        lines = []
        for number, source in enumerate(stage.sources):
            lane = _LANES[self._program.buffers[source.buffer].format]
            rows = source.rows[1] - source.rows[0] + 1
            first = _moved("row", source, source.rows[0])
            lines.append(f"const auto in{number} = band.buffer({source.buffer}).window<{lane}, {rows}>({first});")
        return lines

    def _tiled(self, origin: Convolution, operations: list[Operation]) -> tuple[str, list[str], list[Operation]]:
        """Code of a convolution by tile operations: before the row, and for a tile; and the operations that remain.

        A GELU that follows is computed with the bias. After bf16 products it is a shorter approximation, because next
        to tile operations functions take a large part of the time.
        """
        start = _moved("at.first", origin.source, origin.source.columns[0])
        outputs, inputs, height, width = origin.weight.shape
        shape = f"{_DOTS[origin.format]}, {inputs}, {outputs}, {height}, {width}"
        before = f"TileConvolution<{shape}> convolution(in0.from({start}));"
        writes = [operation for operation in operations if isinstance(operation, WriteFrame)]
        lines = [_prefetch_frame(self._program.output, operation) for operation in writes]
        operands = f"{self._kernel(origin, packed_tiles(origin))}, tile"
        first = operations[0]
        if isinstance(first, Activation) and first.kind == "gelu":
            coefficients = "kCoarseErfGelu" if origin.format == "bf16" else "kErfGelu"
            operands += f", [](simd::Vec x) {{ return gelu_of(x, {coefficients}); }}"
            operations = operations[1:]
        return before, [*lines, f"convolution.compute({operands});"], operations

    def _origin(self, origin: RowOrigin, channels: int) -> list[str]:
        """Code that fills the tile."""
        if isinstance(origin, ReadFrame):
            return _read_frame(self._program.input, origin)
        if isinstance(origin, ReduceChroma):
            return [_reduce_chroma(origin)]
        if isinstance(origin, Join):
            return self._join(origin)
        start = f"in0.from({_moved('x', origin.source, origin.source.columns[0])})"
        if isinstance(origin, Copy):
            return [f"copy<{channels}>({start}, tile);"]
        if isinstance(origin, Unshuffle):
            return [f"unshuffle<{origin.channels}, {origin.factor}>({start}, tile);"]
        if isinstance(origin, Repeat):
            return [f"repeat_pixels<{channels}, {origin.factor}>({start}, x % {origin.factor}, tile);"]
        if isinstance(origin, Shuffle):
            phases = f"row % {origin.factor}, x % {origin.factor}"
            return [f"shuffle<{channels}, {origin.factor}>({start}, {phases}, tile);"]
        height, width = origin.weight.shape[2:]
        if isinstance(origin, Depthwise):
            weights = self._array("float", origin.weight.reshape(-1))
            kernel = f"Kernel<Float>{{{weights}, {self._array('float', origin.bias)}, nullptr, nullptr}}"
            if origin.stride == 1:
                return [f"convolve_depthwise<{channels}, {height}, {width}>({start}, {kernel}, tile);"]
            call = f"convolve_depthwise_strided<{channels}, {height}, {width}, {origin.stride}>"
            return [f"{call}({start}, {kernel}, tile);"]
        sizes = blocks(channels, self._block)
        shape = f"{origin.weight.shape[1]}, {height}, {width}, {', '.join(map(str, sizes))}"
        call = f"convolve<{_DOTS[origin.format]}, {shape}>"
        return [f"{call}({start}, {self._kernel(origin, packed(origin, sizes))}, tile);"]

    def _join(self, origin: Join) -> list[str]:
        lines, first = [], 0
        for number, source in enumerate(origin.sources):
            channels = self._program.buffers[source.buffer].channels
            lines.append(f"copy<{channels}>(in{number}.from(x), tile + {first} * kTile);")
            first += channels
        return lines

    def _in_tiles(self, origin: RowOrigin) -> TypeGuard[Convolution]:
        """Whether the target has tile operations for a stage."""
        return self._tiles and isinstance(origin, Convolution) and origin.format != "float"

    def _kernel(self, convolution: Convolution, packed_weights: Lanes) -> str:
        weights = self._array(_LANES[convolution.format], packed_weights)
        bias, scale, offset = self._array("float", convolution.bias), "nullptr", "nullptr"
        if convolution.scale is not None:
            scale = self._array("float", convolution.scale)
            offset = self._array("std::int32_t", offsets(convolution))
        return f"Kernel<{_DOTS[convolution.format]}>{{{weights}, {bias}, {scale}, {offset}}}"

    def _operation(self, operation: Operation, channels: int) -> list[str]:
        """Code that modifies or stores the tile."""
        if isinstance(operation, Activation):
            return [_activation(operation, channels)]
        if isinstance(operation, Affine):
            arrays = f"{self._array('float', operation.scale)}, {self._array('float', operation.shift)}"
            return [f"affine<{channels}>(tile, {arrays});"]
        if isinstance(operation, Norm):
            flags = ", ".join(str(flag).lower() for flag in (operation.centre, bool((operation.scale != 1).any())))
            arrays = f"{self._array('float', operation.scale)}, {self._array('float', operation.shift)}"
            return [f"normalise<{channels}, {flags}>(tile, {_hex(operation.epsilon)}, {arrays});"]
        if isinstance(operation, Quantise):
            return [f"quantise<{channels}>(tile, {_hex(operation.steps)});"]
        if isinstance(operation, PRelu):
            return [f"prelu<{channels}>(tile, {self._array('float', operation.slope)});"]
        if isinstance(operation, Multiply):
            return [f"multiply<{channels}>(tile, in{self._source_number(operation)}.from(x));"]
        if isinstance(operation, Combine):
            operands = f"tile, {operation.own}f, in{self._source_number(operation)}.from(x), {operation.other}f"
            if operation.channels is None:
                return [f"combine<{channels}>({operands});"]
            return [f"combine_channels<{channels}>({operands}, {self._array('int', np.array(operation.channels))});"]
        if isinstance(operation, WriteFrame):
            return _write_frame(self._program.output, operation)
        buffer = self._program.buffers[operation.buffer]
        steps = f", {_hex(buffer.steps)}" if buffer.format == "int8" else ""
        target = f"to{operation.buffer} + x, plane{operation.buffer}"
        return [f"store_{buffer.format}<{channels}>(tile, {target}{steps});"]

    def _source_number(self, operation: Combine | Multiply) -> int:
        stage = next(stage for stage in self._program.stages if operation in stage.operations)
        return next(number for number, source in enumerate(stage.sources) if source is operation.source)

    def _array(self, kind: str, values: NDArray[np.generic]) -> str:
        """Name of a constant array with these values, which is added if it is new."""
        key = kind.encode() + values.tobytes()
        if key not in self._names:
            name = f"k{len(self._names)}"
            self._names[key] = name
            texts = list(_literals(kind, values.reshape(-1)))
            lines = [
                ", ".join(texts[start : start + _VALUES_PER_LINE]) for start in range(0, len(texts), _VALUES_PER_LINE)
            ]
            self.constants.append(f"alignas(64) const {kind} {name}[] = {{\n  " + ",\n  ".join(lines) + "};\n")
        return self._names[key]


def _beginning(index: int, stage: Stage) -> list[str]:
    """The first lines of the function of a stage."""
    nodes = " → ".join(map(cpp_comment, stage.nodes)) or "input"
    head = [f"// {nodes}", f"void stage_{index}(Band& band, int row) {{"]
    return [*head, f"  const Progress& at = band.at({index});"]


def _moved(name: str, source: Source, by: int) -> str:
    """C++ expression for the row or column of a source that corresponds to one of the stage."""
    up, down = source.rate.as_integer_ratio()
    text = (name if up == 1 else f"{name} * {up}") + ("" if down == 1 else f" / {down}")
    return text if by == 0 else f"{text} {'-' if by < 0 else '+'} {abs(by)}"


def _activation(operation: Activation, channels: int) -> str:
    low, high = (_hex(value) for value in operation.limits)
    return {
        "gelu": f"gelu<{channels}>(tile, kErfGelu);",
        "gelu-tanh": f"gelu<{channels}>(tile, kTanhGelu);",
        "relu": f"relu<{channels}>(tile);",
        "leaky-relu": f"leaky_relu<{channels}>(tile, {_hex(operation.slope)});",
        "clip": f"clip<{channels}>(tile, {low}, {high});",
        "sigmoid": f"sigmoid<{channels}>(tile);",
        "silu": f"silu<{channels}>(tile);",
        "tanh": f"tanh<{channels}>(tile);",
    }[operation.kind]


def _frame(port: Port, factor: int) -> tuple[str, str, str]:
    """Type of the samples; template arguments: it, the layout, the factor, and the channels if they are not RGB; and
    height and width of the frame."""
    sample = "std::uint8_t" if port.dtype == "uint8" else "float"
    layout = "Layout::kPlanes" if port.layout == "NCHW" else "Layout::kInterleaved"
    colours = "" if port.channels == 3 else f", {port.channels}"
    size = f"at.height * {factor}, at.width * {factor}"
    return sample, f"{sample}, {layout}, {factor}{colours}", size


def _read_frame(port: Port, origin: ReadFrame) -> list[str]:
    sample, arguments, size = _frame(port, origin.factor)
    place = f"{size}, row, x, at.last - x, tile"
    read = f"read_frame<{arguments}>(static_cast<const {sample}*>(band.ends().input), {place});"
    if port.channels != 3:
        return [read]
    video = f"read_video<{origin.factor}>(*video, kInput, {place});"
    return [f"if (const Video* const video = band.ends().video_input) {video}", f"else {read}"]


def _write_frame(port: Port, operation: WriteFrame) -> list[str]:
    sample, arguments, size = _frame(port, operation.factor)
    frame = f"static_cast<{sample}*>(band.ends().output)"
    write = f"write_frame<{arguments}>(tile, {frame}, {size}, row, x, at.last - x);"
    if port.channels != 3:
        return [write]
    place = "band.own(), row, x, at.last - x, chroma"
    video = f"write_video<{operation.factor}>(tile, *video, kOutput, {place});"
    return [f"if (const Video* const video = band.ends().video_output) {video}", f"else {write}"]


def _prefetch_frame(port: Port, operation: WriteFrame) -> str:
    sample, arguments, size = _frame(port, operation.factor)
    frame = f"static_cast<const {sample}*>(band.ends().output)"
    return f"if (band.ends().output) prefetch_frame<{arguments}>({frame}, {size}, row, x, at.last - x);"


def _reduce_chroma(origin: ReduceChroma) -> str:
    buffer, factor = f"band.buffer({origin.source.buffer})", origin.factor
    size = f"2 * at.height / {factor}, {buffer}.first()"
    return f"reduce_chroma<{factor}>({buffer}, *band.ends().video_output, {size}, row, x, at.last - x);"


def _colours(port: Port) -> str:
    """Black, span and order of the channels as C++ initializers."""
    black = port.value_range[0]
    return f"{{{_hex(black)}, {_hex(port.span)}, {str(port.order == 'BGR').lower()}}}"


def _literals(kind: str, values: NDArray[np.generic]) -> Iterable[str]:
    if kind == "float":
        return (_hex(float(value)) for value in values)
    suffix = "u" if kind == "std::uint32_t" else ""
    return (f"{int(value)}{suffix}" for value in values)


def _hex(value: float) -> str:
    """An exact float32 literal; infinities and NaN, which graphs may contain, are written as builtins."""
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value))
    if math.isnan(rounded):
        return '__builtin_nanf("")'
    if math.isinf(rounded):
        return "__builtin_inff()" if rounded > 0 else "-__builtin_inff()"
    return f"{rounded.hex()}f"

"""Translates the graph of an artifact to a program of row stages.

The planner visits the nodes once, in graph order, and keeps for each value how it is represented so far:

- `Image`: the input frame times a factor; nothing was computed yet.
- `Tensor`: the result of a stage after one of its operations.
- `Padded`, `Quantised`: a value with a pending Pad or QuantizeLinear, which the convolution that reads it applies.

Each node either adds an operation to the stage that computed its input, or starts a new stage (`builder.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolkit.artifact import Manifest
from toolkit.errors import ToolkitError
from toolkit.graph.matching import constant, ints, reads_whole_frame
from toolkit.graph.passes.merge_unshuffle import MergeUnshuffle
from toolkit.graph.reading import read_model
from toolkit.native.builder import COLOURS, ProgramBuilder, affine
from toolkit.native.convolutions import convolution
from toolkit.native.ends import OutputEnd, find_output
from toolkit.native.patterns import GeluPattern, NormPattern, Patterns, find_patterns
from toolkit.native.program import (
    Activation,
    Affine,
    Combine,
    Convolution,
    Copy,
    End,
    Floats,
    Norm,
    Program,
    Repeat,
    Source,
    Stage,
    Unsupported,
    WriteFrame,
)
from toolkit.native.schedule import schedule
from toolkit.native.values import Image, Known, Padded, Quantised, Tensor, clip_limits, quantisation_step, unsupported
from toolkit.sizes import reflected_indices
from toolkit.system.foreign import first_line
from toolkit.workloads import Shape

_FLOATS = (ir.DataType.FLOAT, ir.DataType.BFLOAT16)


def plan(path: Path, manifest: Manifest) -> Program:
    """Plan the graph of an artifact.

    Args:
        path: of the ONNX file.
        manifest: of the artifact.

    Returns:
        The program, with its schedule.

    Raises:
        Unsupported: a node depends on more than neighbouring rows, or the engine does not implement it.
        ArtifactError: the file cannot be read; see `read_model`.
    """
    proto = read_model(path)
    try:
        model = ir.from_proto(proto)
        # The engine has no unshuffle of its own: as strided convolutions they need no stage (see `convolutions.py`).
        MergeUnshuffle().call(model)
        return _Planner(model, manifest).run()
    except (Unsupported, ToolkitError):
        raise
    except Exception as error:  # an unusual graph: readers of nodes expect attributes, types and shapes
        raise Unsupported(f"its graph has an unexpected structure: {first_line(error)}") from error


class _Planner:
    """One pass over the nodes, with a method for each operator.

    Convolutions are in `convolutions.py`, the end of the graph in `ends.py`.
    """

    def __init__(self, model: ir.Model, manifest: Manifest) -> None:
        self._model, self._manifest = model, manifest
        self._builder = builder = ProgramBuilder(model.graph.inputs[0])
        self._patterns: Patterns = find_patterns(model)
        self._end: OutputEnd = find_output(model)
        self._readers: dict[str, Callable[[ir.Node], Known]] = {
            "Cast": self._same,
            "Transpose": self._transpose,
            "Identity": self._same,
            "Conv": lambda node: convolution(builder, node),
            "Gelu": self._gelu,
            "Relu": lambda node: builder.append(builder.tensor(node), Activation("relu"), node),
            "LeakyRelu": self._leaky_relu,
            "Clip": self._clip,
            "Add": self._sum,
            "Sub": self._sum,
            "Mul": self._product,
            "Div": self._product,
            "Gather": self._extend,
            "Pad": self._pad,
            "Resize": self._resize,
            "SpaceToDepth": self._space_to_depth,
            "QuantizeLinear": self._quantise,
            "DequantizeLinear": self._dequantise,
        }

    def run(self) -> Program:
        """Plan the whole graph.

        Raises:
            Unsupported: the engine cannot run it.
        """
        manifest = self._manifest
        for port in (manifest.input, manifest.output):
            if port.dtype == "float16":
                raise Unsupported(f"{port.name} is float16: native engines take and return float32 and uint8")
        for node in self._model.graph:
            if node in self._patterns.inner or node in self._end.nodes:
                continue  # covered by the last node of its pattern, or by the write of the output
            if all(constant(value) is not None for value in node.outputs):
                continue  # a constant expression: evaluated during planning by the node that reads it
            if node.op_type == "DequantizeLinear" and constant(node.inputs[0]) is not None:
                continue  # a weight: read together with its convolution
            self._builder.represent(node.outputs[0], self._read(node))
        self._write()
        # After all nodes: only now is it certain that no line buffer stores the value between a norm and its affine.
        _fold_affines(self._builder.stages)
        program = Program(
            stages=self._builder.stages,
            buffers=self._builder.buffers,
            input=End(manifest.input.dtype, manifest.input.layout),
            output=End(manifest.output.dtype, manifest.output.layout),
            scale=manifest.network.scale,
            shape=None if manifest.shape is None else manifest.sizes.extended(Shape(*manifest.shape)).sides,
            smallest=manifest.sizes.padded(1),
            executed=self._builder.executed,
        )
        schedule(program)
        if manifest.sizes.multiple % program.even:
            raise Unsupported(
                f"it computes blocks of {program.even}x{program.even} pixels, but its manifest allows "
                f"sizes in multiples of {manifest.sizes.multiple}"
            )
        return program

    def _read(self, node: ir.Node) -> Known:
        self._builder.executed.setdefault(str(node.name), "fp32")
        pattern = self._patterns.found.get(node)
        if isinstance(pattern, NormPattern):
            tensor = self._builder.found(pattern.data, node)
            scale, shift = (np.full(self._builder.stages[tensor.stage].channels, value, np.float32) for value in (1, 0))
            return self._builder.append(tensor, Norm(pattern.centre, pattern.epsilon, scale, shift), node)
        if isinstance(pattern, GeluPattern):
            kind = Activation("gelu-tanh" if pattern.tanh else "gelu")
            return self._builder.append(self._builder.found(pattern.data, node), kind, node)
        if reads_whole_frame(node):
            raise unsupported(node, "needs the whole frame before it can compute a row")
        if node.op_type not in self._readers:
            raise unsupported(node, "is an operator that the native engine does not implement")
        return self._readers[node.op_type](node)

    def _write(self) -> None:
        """Let the last stage write the output, after a copy if the output is not its newest value."""
        tensor = self._builder.found(self._end.value, self._end.nodes[0] if self._end.nodes else None)
        if tensor.stage != len(self._builder.stages) - 1 or not self._builder.is_newest(tensor):
            tensor = self._builder.begin(
                Copy(Source(self._builder.buffer(tensor, "float"))),
                self._builder.channels(tensor),
                self._builder.size(tensor),
            )
        if self._builder.channels(tensor) != COLOURS * self._end.factor**2:
            raise Unsupported(f"the output has {self._builder.channels(tensor)} channels, not 3 (RGB)")
        if self._end.limits is not None and self._manifest.output.dtype == "float32":
            tensor = self._builder.append(tensor, Activation("clip", limits=self._end.limits), None)
        self._builder.stages[tensor.stage].operations.append(WriteFrame(self._end.factor))
        if self._builder.size(tensor) * self._end.factor != self._manifest.network.scale:
            raise Unsupported("the output size is not the input size times the scale in the manifest")
        for node in self._end.nodes:
            self._builder.executed[str(node.name)] = "fp32"

    def _same(self, node: ir.Node) -> Known:
        if node.op_type == "Cast" and node.attributes["to"].as_int() not in _FLOATS:
            raise unsupported(node, "casts to a type other than float32 and bfloat16")
        return self._builder.known(node.inputs[0], node)

    def _transpose(self, node: ir.Node) -> Known:
        known = self._builder.known(node.inputs[0], node)
        if not isinstance(known, Image) or ints(node, "perm", ()) != (0, 3, 1, 2):
            raise unsupported(node, "transposes something other than an NHWC image")
        return known

    def _extend(self, node: ir.Node) -> Image:
        """The extension of an odd number of rows or columns in a static graph; sessions extend frames before the
        engine.
        """
        known, indices = self._builder.known(node.inputs[0], node), constant(node.inputs[1])
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        size = None if self._manifest.shape is None or axis not in (2, 3) else self._manifest.shape[axis - 2]
        if not isinstance(known, Image) or indices is None or size is None:
            raise unsupported(node, "gathers from something other than an image of fixed size")
        # The engine may skip the node only if sessions extend frames in exactly the same way.
        if indices.tolist() != reflected_indices(size, self._manifest.sizes.padded(size)):
            raise unsupported(node, "is not the reflection that extends an odd image")
        return known

    def _gelu(self, node: ir.Node) -> Tensor:
        approximate = node.attributes["approximate"].as_string() if "approximate" in node.attributes else "none"
        return self._builder.append(
            self._builder.tensor(node), Activation("gelu-tanh" if approximate == "tanh" else "gelu"), node
        )

    def _leaky_relu(self, node: ir.Node) -> Tensor:
        slope = node.attributes["alpha"].as_float() if "alpha" in node.attributes else 0.01
        return self._builder.append(self._builder.tensor(node), Activation("leaky-relu", slope), node)

    def _clip(self, node: ir.Node) -> Tensor:
        return self._builder.append(self._builder.tensor(node), Activation("clip", limits=clip_limits(node)), node)

    def _sum(self, node: ir.Node) -> Tensor:
        sign = -1.0 if node.op_type == "Sub" else 1.0
        # With a constant operand: own * tensor + other * constant, where Sub negates its second operand.
        for index, factor in ((1, (1.0, sign)), (0, (sign, 1.0))):
            array = constant(node.inputs[index])
            if array is not None:
                tensor = self._builder.tensor(node, 1 - index)
                own, other = factor
                values = other * _per_channel(node, array, self._builder.channels(tensor))
                return self._builder.append(
                    tensor, affine(self._builder.channels(tensor), scale=own, shift=values), node
                )
        first, second = self._builder.tensor(node), self._builder.tensor(node, 1)
        if (self._builder.channels(first), self._builder.size(first)) != (
            self._builder.channels(second),
            self._builder.size(second),
        ):
            raise unsupported(node, "adds tensors of different sizes")
        # The operand of the later stage is in the tile; the other one is read from a line buffer.
        if first.stage >= second.stage:
            source = Source(self._builder.buffer(second, "float"))
            return self._builder.append(first, Combine(source, 1.0, sign), node, after=second.stage)
        source = Source(self._builder.buffer(first, "float"))
        return self._builder.append(second, Combine(source, sign, 1.0), node, after=first.stage)

    def _product(self, node: ir.Node) -> Known:
        index = 1 if constant(node.inputs[1]) is not None else 0
        array = constant(node.inputs[index])
        if array is None or (index == 0 and node.op_type == "Div"):
            raise unsupported(node, "multiplies or divides two tensors; one operand must be constant")
        values = array.astype(np.float64)
        known = self._builder.known(node.inputs[1 - index], node)
        if node.op_type == "Div":
            values = 1 / values  # in float64, so that the product differs from the division by one rounding only
        if isinstance(known, Image) and values.size == 1:  # normalisation of the input, such as / 255
            return Image(known.factor * float(values.item()))
        tensor = self._builder.tensor(node, 1 - index)
        scale = _per_channel(node, values, self._builder.channels(tensor))
        return self._builder.append(tensor, affine(self._builder.channels(tensor), scale=scale), node)

    def _pad(self, node: ir.Node) -> Padded:
        known, pads = self._builder.known(node.inputs[0], node), constant(node.inputs[1])
        mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "constant"
        value = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
        if pads is None or pads.size != 8 or any(pads.reshape(-1)[[0, 1, 4, 5]]) or np.min(pads.astype(np.int64)) < 0:
            raise unsupported(node, "pads other axes than rows and columns, or by sizes that are not constant")
        if mode not in ("reflect", "constant") or (value is not None and np.any(value)):
            raise unsupported(node, f"pads with mode {mode}; only reflect and zeros are supported")
        if not isinstance(known, Tensor | Image):
            raise unsupported(node, "pads a value that was padded or quantised before")
        top, left, bottom, right = (int(pads.reshape(-1)[index]) for index in (2, 3, 6, 7))
        return Padded(known, (top, left, bottom, right), mode == "reflect")

    def _resize(self, node: ir.Node) -> Tensor:
        scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        names = ("mode", "coordinate_transformation_mode", "nearest_mode")
        given = tuple(node.attributes[name].as_string() if name in node.attributes else "" for name in names)
        if given != ("nearest", "asymmetric", "floor") or scales is None or scales.size != 4:
            raise unsupported(node, "is not a nearest-neighbour upsampling by a constant factor")
        one, same, rows, columns = (float(scale) for scale in scales.reshape(-1))
        if (one, same) != (1, 1) or rows != columns or rows != int(rows) or rows < 1:
            raise unsupported(node, "is not an upsampling by an integer factor")
        tensor, factor = self._builder.tensor(node), int(rows)
        # Every row is read `factor` times, so the upsampling reads a line buffer instead of the tile.
        source = Source(self._builder.buffer(tensor, "float"), Fraction(1, factor))
        made = self._builder.begin(
            Repeat(source, factor), self._builder.channels(tensor), self._builder.size(tensor) * factor
        )
        self._builder.stages[made.stage].nodes.append(str(node.name))
        return made

    def _space_to_depth(self, node: ir.Node) -> Tensor:
        raise unsupported(
            node, "orders channels by block position; only unshuffles exported as a strided convolution are supported"
        )

    def _quantise(self, node: ir.Node) -> Quantised:
        known = self._builder.known(node.inputs[0], node)
        if not isinstance(known, Tensor | Image | Padded):
            raise unsupported(node, "quantises a value that is quantised already")
        return Quantised(known, quantisation_step(node))

    def _dequantise(self, node: ir.Node) -> Quantised:
        # Convolutions compute with the integers, and multiply by the scale afterwards: nothing is dequantised here.
        known = self._builder.known(node.inputs[0], node)
        if not isinstance(known, Quantised) or known.step != quantisation_step(node):
            raise unsupported(node, "has another scale than the QuantizeLinear before it")
        return known


def _per_channel(node: ir.Node, array: np.ndarray, channels: int) -> Floats:
    """A constant with one value, or one per channel, as (channels,)."""
    fits = array.size == 1 or (array.ndim >= 3 and array.shape[-2:] == (1, 1) and array.size == channels)
    if not fits:
        raise unsupported(node, f"has a constant of shape {array.shape}; one value or one per channel is supported")
    return np.broadcast_to(array.astype(np.float32).reshape(-1), (channels,)).astype(np.float32)


def _fold_affines(stages: list[Stage]) -> None:
    """Merge scales and shifts into the preceding norm, and shifts into the bias of the preceding convolution.

    With the norm computing n * s + t, a following affine gives (n * s + t) * a + b = n * (s * a) + (t * a + b).
    """
    for stage in stages:
        first, origin = next(iter(stage.operations), None), stage.origin
        if isinstance(origin, Convolution) and isinstance(first, Affine) and (first.scale == 1).all():
            stage.origin = replace(origin, bias=origin.bias + first.shift)
            del stage.operations[0]
        index = 0
        while index + 1 < len(stage.operations):
            norm, affine = stage.operations[index : index + 2]
            if isinstance(norm, Norm) and isinstance(affine, Affine):
                scale, shift = norm.scale * affine.scale, norm.shift * affine.scale + affine.shift
                stage.operations[index : index + 2] = [Norm(norm.centre, norm.epsilon, scale, shift)]
            else:
                index += 1

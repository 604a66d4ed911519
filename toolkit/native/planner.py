"""Translates the graph of an artifact to a program of row stages.

The planner visits the nodes once, in graph order, and keeps for each value how it is represented so far:

- `Image`: the input frame times a factor; nothing was computed yet.
- `Tensor`: the result of a stage after one of its operations.
- `Padded`, `Quantised`: a value with a pending Pad or QuantizeLinear, which the convolution that reads it applies.
- `Shuffled`, `Enlarged`: a value with a pending DepthToSpace or nearest-neighbour Resize.

Each node either adds an operation to the stage that computed its input, or starts a new stage (`builder.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolkit.artifact import Manifest
from toolkit.errors import ToolkitError
from toolkit.graph.any_size import without_size_check
from toolkit.graph.matching import constant, ints, reads_whole_frame
from toolkit.graph.passes.merge_unshuffle import MergeUnshuffle
from toolkit.graph.reading import read_model
from toolkit.native.builder import ProgramBuilder
from toolkit.native.convolutions import convolution
from toolkit.native.ends import OutputEnd, find_output
from toolkit.native.patterns import ActivationPattern, NormPattern, Patterns, find_patterns
from toolkit.native.program import (
    Activation,
    Affine,
    Convolution,
    Copy,
    Norm,
    Program,
    Source,
    Stage,
    Unsupported,
    WriteFrame,
)
from toolkit.native.resampling import concatenation, depth_to_space, padding, resize, space_to_depth
from toolkit.native.schedule import schedule, set_phases
from toolkit.native.sums import activation, product_or_quotient, sum_or_difference
from toolkit.native.values import Image, Known, Padded, Quantised, Shuffled, Tensor, quantisation_step, unsupported
from toolkit.native.video import video_program
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
    proto = without_size_check(read_model(path))  # sessions extend frames, and engines check sizes themselves
    try:
        model = ir.from_proto(proto)
        # The engine has no unshuffle of its own: as strided convolutions they need no stage (see `convolutions.py`).
        MergeUnshuffle().call(model)
        return _Planner(model, manifest).run()
    except (Unsupported, ToolkitError):
        raise
    except Exception as error:  # an unusual graph: readers of nodes expect attributes, types and shapes
        raise Unsupported(f"its graph has an unexpected structure: {first_line(error)}") from error


_OPERATORS: dict[str, Callable[[ProgramBuilder, ir.Node], Known]] = {
    "Conv": convolution,
    **dict.fromkeys(("Clip", "Gelu", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh"), activation),
    **dict.fromkeys(("Add", "Sub"), sum_or_difference),
    **dict.fromkeys(("Mul", "Div"), product_or_quotient),
    "Concat": concatenation,
    "DepthToSpace": depth_to_space,
    "Pad": padding,
    "Resize": resize,
    "SpaceToDepth": space_to_depth,
}
"""What plans a node of each operator that needs only the program built so far."""


class _Planner:
    """One pass over the nodes. The end of the graph is in `ends.py`, norms and GELUs in `patterns.py`."""

    def __init__(self, model: ir.Model, manifest: Manifest) -> None:
        self._model, self._manifest = model, manifest
        self._builder = builder = ProgramBuilder(model.graph.inputs[0], manifest.input.channels)
        self._patterns: Patterns = find_patterns(model)
        self._end: OutputEnd = find_output(model)
        self._readers: dict[str, Callable[[ir.Node], Known]] = {
            "Cast": self._same,
            "Transpose": self._transpose,
            "Identity": self._same,
            "Gather": self._extend,
            "QuantizeLinear": self._quantise,
            "DequantizeLinear": self._dequantise,
            **{name: partial(read, builder) for name, read in _OPERATORS.items()},
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
        if manifest.input.channels != manifest.output.channels:
            raise Unsupported(f"it takes {manifest.input.order} and returns {manifest.output.order}")
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
            input=manifest.input,
            output=manifest.output,
            scale=manifest.network.scale,
            shape=None if manifest.shape is None else manifest.sizes.extended(Shape(*manifest.shape)).sides,
            multiple=manifest.sizes.multiple,
            smallest=manifest.sizes.padded(1),
            executed=self._builder.executed,
        )
        set_phases(program)
        schedule(program)
        program.video = video_program(program)
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
        if isinstance(pattern, ActivationPattern):
            return self._builder.append(self._builder.found(pattern.data, node), Activation(pattern.kind), node)
        if reads_whole_frame(node):
            raise unsupported(node, "needs the whole frame before it can compute a row")
        if node.op_type not in self._readers:
            raise unsupported(node, "is an operator that the native engine does not implement")
        return self._readers[node.op_type](node)

    def _write(self) -> None:
        """Let the last stage write the output, after a copy if the output is not its newest value."""
        end, port = self._end, self._manifest.output
        known, factor = self._builder.known(end.value, end.nodes[0] if end.nodes else None), end.factor
        if isinstance(known, Shuffled) and factor == 1:
            tensor, factor = known.tensor, known.factor
        else:
            tensor = self._builder.found(end.value, None)
        if tensor.stage != len(self._builder.stages) - 1 or not self._builder.is_newest(tensor):
            tensor = self._builder.begin(
                Copy(Source(self._builder.buffer(tensor, "float"))),
                self._builder.channels(tensor),
                self._builder.size(tensor),
            )
        channels, wanted = self._builder.channels(tensor), port.channels * factor**2
        if channels != wanted:
            raise Unsupported(
                f"its last tensor has {channels} channels, not {wanted} ({port.order} x {factor}x{factor})"
            )
        if end.limits is not None and port.dtype == "float32":
            tensor = self._builder.append(tensor, Activation("clip", limits=end.limits), None)
        self._builder.stages[tensor.stage].operations.append(WriteFrame(factor))
        if self._builder.size(tensor) * factor != self._manifest.network.scale:
            raise Unsupported("the output size is not the input size times the scale in the manifest")
        for node in end.nodes:
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

    def _quantise(self, node: ir.Node) -> Quantised:
        known = self._builder.resampled(self._builder.known(node.inputs[0], node))
        if not isinstance(known, Tensor | Image | Padded):
            raise unsupported(node, "quantises a value that is quantised already")
        return Quantised(known, quantisation_step(node))

    def _dequantise(self, node: ir.Node) -> Quantised:
        # Convolutions compute with the integers, and multiply by the scale afterwards: nothing is dequantised here.
        known = self._builder.known(node.inputs[0], node)
        if not isinstance(known, Quantised) or known.step != quantisation_step(node):
            raise unsupported(node, "has another scale than the QuantizeLinear before it")
        return known


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

"""Translates the graph of an artifact to a program of row stages.

The planner visits the nodes once, in graph order, and keeps for each value how it is represented so far:

- `Image`: the input frame times a factor; nothing was computed yet.
- `Tensor`: the result of a stage after one of its operations.
- `Padded`, `Quantised`: a value with a pending Pad or QuantizeLinear, which the convolution that reads it applies.

Each node either adds an operation to the stage that computed its input, or starts a new stage. An operation can be
added only if its input is the newest value of that stage: the tile holds no older one any more. Older values are stored
in a line buffer at the place where they were current, and a new stage reads them from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import onnx_ir as ir

from toolkit.artifact import Manifest, Precision
from toolkit.errors import ToolkitError
from toolkit.graph.matching import constant, ints, reads_whole_frame
from toolkit.graph.passes.merge_unshuffle import MergeUnshuffle
from toolkit.graph.reading import read_model
from toolkit.native.convolutions import convolution
from toolkit.native.ends import OutputEnd, find_output
from toolkit.native.patterns import GeluPattern, NormPattern, Patterns, find_patterns
from toolkit.native.program import (
    Activation,
    Affine,
    Buffer,
    Combine,
    Convolution,
    Copy,
    End,
    Floats,
    Format,
    Norm,
    Operation,
    Origin,
    Program,
    ReadFrame,
    Repeat,
    Source,
    Stage,
    Store,
    Unshuffle,
    Unsupported,
    WriteFrame,
)
from toolkit.native.schedule import schedule
from toolkit.native.values import Image, Known, Padded, Quantised, Tensor, clip_limits, quantisation_step, unsupported
from toolkit.network.padding import padded_size, reflected_indices
from toolkit.system.foreign import first_line

_FLOATS = (ir.DataType.FLOAT, ir.DataType.BFLOAT16)
COLOURS = 3


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
        MergeUnshuffle().call(model)
        return Planner(model, manifest).run()
    except (Unsupported, ToolkitError):
        raise
    except Exception as error:  # an unusual graph: readers of nodes expect attributes, types and shapes
        raise Unsupported(f"its graph has an unexpected structure: {first_line(error)}") from error


class Planner:
    """State of one pass over the nodes. Convolutions are in `convolutions.py`, the end of the graph in `ends.py`."""

    def __init__(self, model: ir.Model, manifest: Manifest) -> None:
        self._model, self._manifest = model, manifest
        self.stages: list[Stage] = []
        self.buffers: list[Buffer] = []
        self._known: dict[ir.Value, Known] = {model.graph.inputs[0]: Image(1.0)}
        self._images: dict[tuple[float, int], int] = {}
        self._patterns: Patterns = find_patterns(model)
        self._end: OutputEnd = find_output(model)
        self.executed: dict[str, Precision] = {}
        self._readers: dict[str, Callable[[ir.Node], Known]] = {
            "Cast": self._same,
            "Transpose": self._transpose,
            "Identity": self._same,
            "Conv": lambda node: convolution(self, node),
            "Gelu": self._gelu,
            "Relu": lambda node: self.append(self.tensor(node), Activation("relu"), node),
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
        """Plan the whole graph."""
        for node in self._model.graph:
            if node in self._patterns.inner or node in self._end.nodes:
                continue
            if all(constant(value) is not None for value in node.outputs):
                continue  # computed at planning time, where it is read
            if node.op_type == "DequantizeLinear" and constant(node.inputs[0]) is not None:
                continue  # a weight, which its convolution reads
            self._known[node.outputs[0]] = self._read(node)
        self._write()
        _fold_affines(self.stages)
        manifest = self._manifest
        extended = partial(padded_size, minimum=manifest.smallest)
        program = Program(
            stages=self.stages,
            buffers=self.buffers,
            input=End(manifest.input.dtype, manifest.input.layout),
            output=End(manifest.output.dtype, manifest.output.layout),
            scale=manifest.network.scale,
            shape=None if manifest.shape is None else (extended(manifest.shape[0]), extended(manifest.shape[1])),
            smallest=manifest.smallest,
            executed=self.executed,
        )
        schedule(program)
        return program

    def _read(self, node: ir.Node) -> Known:
        self.executed.setdefault(str(node.name), "fp32")
        pattern = self._patterns.found.get(node)
        if isinstance(pattern, NormPattern):
            tensor = self.found(pattern.data, node)
            scale, shift = (np.full(self.stages[tensor.stage].channels, value, np.float32) for value in (1, 0))
            return self.append(tensor, Norm(pattern.centre, pattern.epsilon, scale, shift), node)
        if isinstance(pattern, GeluPattern):
            kind = Activation("gelu-tanh" if pattern.tanh else "gelu")
            return self.append(self.found(pattern.data, node), kind, node)
        if reads_whole_frame(node):
            raise unsupported(node, "needs the whole frame before it can compute a row")
        if node.op_type not in self._readers:
            raise unsupported(node, "is an operator that the native engine does not implement")
        return self._readers[node.op_type](node)

    def _write(self) -> None:
        """Let the last stage write the output; a stage is added if the output is not the newest value of the last
        one.
        """
        tensor = self.found(self._end.value, self._end.nodes[0] if self._end.nodes else None)
        if tensor.stage != len(self.stages) - 1 or not self._is_newest(tensor):
            tensor = self.begin(Copy(Source(self.buffer(tensor, "float"))), self._channels(tensor), self._size(tensor))
        if self._channels(tensor) != COLOURS * self._end.factor**2:
            raise Unsupported(f"the output has {self._channels(tensor)} channels, not 3 (RGB)")
        if self._end.limits is not None and self._manifest.output.dtype == "float32":
            tensor = self.append(tensor, Activation("clip", limits=self._end.limits), None)
        self.stages[tensor.stage].operations.append(WriteFrame(self._end.factor))
        if self._size(tensor) * self._end.factor != self._manifest.network.scale:
            raise Unsupported("the output size is not the input size times the scale in the manifest")
        for node in self._end.nodes:
            self.executed[str(node.name)] = "fp32"

    # Operations on the program, used by readers of nodes:

    def tensor(self, node: ir.Node, index: int = 0) -> Tensor:
        """An operand as a tensor of a stage."""
        return self.found(node.inputs[index], node)

    def found(self, value: ir.Value | None, node: ir.Node | None) -> Tensor:
        """A value as a tensor of a stage; the input frame gets a stage that reads it."""
        known = self.known(value, node)
        if isinstance(known, Image):
            return self.image(known, 1)
        if isinstance(known, Tensor):
            return known
        raise unsupported(
            node, f"reads a {type(known).__name__.lower()} tensor, which is supported for convolutions only"
        )

    def known(self, value: ir.Value | None, node: ir.Node | None) -> Known:
        """The representation of a value."""
        if value is None or value not in self._known:
            raise unsupported(node, "reads a value that is neither an image nor a constant")
        return self._known[value]

    def image(self, image: Image, factor: int) -> Tensor:
        """A stage that reads the input frame as float32 rows, with pixel unshuffle by `factor`; shared by all its
        readers.
        """
        key = image.factor, factor
        if key not in self._images:
            channels = COLOURS * factor**2
            tensor = self.begin(ReadFrame(factor), channels, Fraction(1, factor))
            self._images[key] = tensor.stage
            if image.factor != 1:
                self.stages[tensor.stage].operations.append(_affine(channels, scale=image.factor))
        stage = self.stages[self._images[key]]
        return Tensor(self._images[key], stage.operations[0] if image.factor != 1 else None)

    def begin(self, origin: Origin, channels: int, size: Fraction) -> Tensor:
        """Start a new stage."""
        self.stages.append(Stage(origin, channels, size))
        return Tensor(len(self.stages) - 1, None)

    def append(self, tensor: Tensor, operation: Operation, node: ir.Node | None, after: int = -1) -> Tensor:
        """Apply an operation to a tensor, in its own stage if the tensor is the newest value there, else in a new one.

        Args:
            tensor: the operand.
            operation: what is applied.
            node: the graph node it stands for, if any.
            after: index of a stage whose buffer the operation reads. The operation must be in a later stage, because
                stages compute their rows in order.
        """
        if not self._is_newest(tensor) or tensor.stage <= after:
            source = Source(self.buffer(tensor, "float"))
            tensor = self.begin(Copy(source), self._channels(tensor), self._size(tensor))
        stage = self.stages[tensor.stage]
        stage.operations.append(operation)
        if node is not None:
            stage.nodes.append(str(node.name))
        return Tensor(tensor.stage, operation)

    def buffer(self, tensor: Tensor, format: Format, steps: float = 1.0, reflect: bool = False) -> int:  # noqa: A002
        """The line buffer that holds a tensor in a format; it is created on first use.

        The Store goes directly after the operation that computes the tensor, next to stores of the same value in other
        formats, because later operations of the stage overwrite the tile.
        """
        operations = self.stages[tensor.stage].operations
        place = 0 if tensor.after is None else operations.index(tensor.after) + 1
        while place < len(operations) and isinstance(store := operations[place], Store):
            present = self.buffers[store.buffer]
            if (present.format, present.steps, present.reflect) == (format, steps, reflect):
                return store.buffer
            place += 1
        self.buffers.append(Buffer(tensor.stage, self._channels(tensor), format, steps, reflect))
        operations.insert(place, Store(len(self.buffers) - 1))
        return len(self.buffers) - 1

    def _is_newest(self, tensor: Tensor) -> bool:
        """Whether the tile still holds this value at the end of its stage. Stores do not change the tile."""
        done = [item for item in self.stages[tensor.stage].operations if not isinstance(item, Store)]
        return (done[-1] if done else None) is tensor.after

    def _channels(self, tensor: Tensor) -> int:
        return self.stages[tensor.stage].channels

    def _size(self, tensor: Tensor) -> Fraction:
        return self.stages[tensor.stage].size

    # Readers of nodes:

    def _same(self, node: ir.Node) -> Known:
        if node.op_type == "Cast" and node.attributes["to"].as_int() not in _FLOATS:
            raise unsupported(node, "casts to a type other than float32 and bfloat16")
        return self.known(node.inputs[0], node)

    def _transpose(self, node: ir.Node) -> Known:
        known = self.known(node.inputs[0], node)
        if not isinstance(known, Image) or ints(node, "perm", ()) != (0, 3, 1, 2):
            raise unsupported(node, "transposes something other than an NHWC image")
        return known

    def _extend(self, node: ir.Node) -> Image:
        """The extension of an odd number of rows or columns in a static graph; sessions extend frames before the
        engine.
        """
        known, indices = self.known(node.inputs[0], node), constant(node.inputs[1])
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        size = None if self._manifest.shape is None or axis not in (2, 3) else self._manifest.shape[axis - 2]
        if not isinstance(known, Image) or indices is None or size is None:
            raise unsupported(node, "gathers from something other than an image of fixed size")
        if indices.tolist() != reflected_indices(size, padded_size(size, self._manifest.smallest)):
            raise unsupported(node, "is not the reflection that extends an odd image")
        return known

    def _gelu(self, node: ir.Node) -> Tensor:
        approximate = node.attributes["approximate"].as_string() if "approximate" in node.attributes else "none"
        return self.append(self.tensor(node), Activation("gelu-tanh" if approximate == "tanh" else "gelu"), node)

    def _leaky_relu(self, node: ir.Node) -> Tensor:
        slope = node.attributes["alpha"].as_float() if "alpha" in node.attributes else 0.01
        return self.append(self.tensor(node), Activation("leaky-relu", slope), node)

    def _clip(self, node: ir.Node) -> Tensor:
        return self.append(self.tensor(node), Activation("clip", limits=clip_limits(node)), node)

    def _sum(self, node: ir.Node) -> Tensor:
        sign = -1.0 if node.op_type == "Sub" else 1.0
        # With a constant operand: own * tensor + other * constant, where Sub negates its second operand.
        for index, factor in ((1, (1.0, sign)), (0, (sign, 1.0))):
            array = constant(node.inputs[index])
            if array is not None:
                tensor = self.tensor(node, 1 - index)
                own, other = factor
                values = other * _per_channel(node, array, self._channels(tensor))
                return self.append(tensor, _affine(self._channels(tensor), scale=own, shift=values), node)
        first, second = self.tensor(node), self.tensor(node, 1)
        if (self._channels(first), self._size(first)) != (self._channels(second), self._size(second)):
            raise unsupported(node, "adds tensors of different sizes")
        # The operand of the later stage is in the tile; the other one is read from a line buffer.
        if first.stage >= second.stage:
            source = Source(self.buffer(second, "float"))
            return self.append(first, Combine(source, 1.0, sign), node, after=second.stage)
        source = Source(self.buffer(first, "float"))
        return self.append(second, Combine(source, sign, 1.0), node, after=first.stage)

    def _product(self, node: ir.Node) -> Known:
        index = 1 if constant(node.inputs[1]) is not None else 0
        array = constant(node.inputs[index])
        if array is None or (index == 0 and node.op_type == "Div"):
            raise unsupported(node, "multiplies or divides two tensors; one operand must be constant")
        values = array.astype(np.float64)
        known = self.known(node.inputs[1 - index], node)
        if node.op_type == "Div":
            values = 1 / values
        if isinstance(known, Image) and values.size == 1:  # normalisation of the input, such as / 255
            return Image(known.factor * float(values.item()))
        tensor = self.tensor(node, 1 - index)
        scale = _per_channel(node, values, self._channels(tensor))
        return self.append(tensor, _affine(self._channels(tensor), scale=scale), node)

    def _pad(self, node: ir.Node) -> Padded:
        known, pads = self.known(node.inputs[0], node), constant(node.inputs[1])
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
        tensor, factor = self.tensor(node), int(rows)
        source = Source(self.buffer(tensor, "float"), Fraction(1, factor))
        made = self.begin(Repeat(source, factor), self._channels(tensor), self._size(tensor) * factor)
        self.stages[made.stage].nodes.append(str(node.name))
        return made

    def unshuffled(self, known: Tensor | Image, factor: int) -> Tensor:
        """A tensor after pixel unshuffle; of the input frame, the stage that reads it does the unshuffle."""
        if isinstance(known, Image):
            return self.image(known, factor)
        channels, size = self._channels(known), self._size(known)
        reach = (0, factor - 1)
        source = Source(self.buffer(known, "float"), Fraction(factor), reach, reach)
        return self.begin(Unshuffle(source, channels, factor), channels * factor**2, size / factor)

    def _space_to_depth(self, node: ir.Node) -> Tensor:
        raise unsupported(
            node, "orders channels by block position; only unshuffles exported as a strided convolution are supported"
        )

    def _quantise(self, node: ir.Node) -> Quantised:
        known = self.known(node.inputs[0], node)
        if not isinstance(known, Tensor | Image | Padded):
            raise unsupported(node, "quantises a value that is quantised already")
        return Quantised(known, quantisation_step(node))

    def _dequantise(self, node: ir.Node) -> Quantised:
        known = self.known(node.inputs[0], node)
        if not isinstance(known, Quantised) or known.step != quantisation_step(node):
            raise unsupported(node, "has another scale than the QuantizeLinear before it")
        return known


def _per_channel(node: ir.Node, array: np.ndarray, channels: int) -> Floats:
    """A constant with one value, or one per channel, as (channels,)."""
    fits = array.size == 1 or (array.ndim >= 3 and array.shape[-2:] == (1, 1) and array.size == channels)
    if not fits:
        raise unsupported(node, f"has a constant of shape {array.shape}; one value or one per channel is supported")
    return np.broadcast_to(array.astype(np.float32).reshape(-1), (channels,)).astype(np.float32)


def _affine(channels: int, scale: float | Floats = 1.0, shift: float | Floats = 0.0) -> Affine:
    """x * scale + shift, with single values repeated for all channels."""
    full = [np.broadcast_to(np.asarray(value, np.float32), (channels,)).copy() for value in (scale, shift)]
    return Affine(full[0], full[1])


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

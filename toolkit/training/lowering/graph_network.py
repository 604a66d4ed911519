"""The graph of an fp32 artifact as a network that PyTorch can train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from toolkit.artifact import Manifest
from toolkit.errors import InputError
from toolkit.graph.any_size import sizeless
from toolkit.graph.editing import copied
from toolkit.network.module import NetworkModule
from toolkit.port import Port
from toolkit.training.lowering.config import GraphConfiguration
from toolkit.training.lowering.operators import Geometry, Node, Operator, is_setting, operator_of

_CONSTANT = "Constant"


class Convolutions(nn.Module):
    """How the convolutions of a graph are computed: this class as the graph says, in float."""

    def convolve(
        self, node: str, tensor: str, geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        """The output of a convolution.

        Args:
            node: name of the convolution.
            tensor: name of what it reads.
            geometry: of the convolution.
            x: what it reads, (N, I, H, W).
            weight, bias: (O, I / group, KY, KX) and (O,).
        """
        return geometry.convolve(x, weight, bias)


@dataclass(frozen=True)
class _Operation:
    """A node: its function, and the names of what it reads and computes."""

    name: str
    function: Operator
    inputs: tuple[str, ...]
    output: str
    geometry: Geometry | None


class GraphNetwork(NetworkModule):
    """The graph of an fp32 artifact. Its weights and biases are parameters; other constants stay as they are.

    Takes and returns RGB in 0..1, as every network does, whatever the artifact's ports are.

    Attributes:
        weights: the parameters, by `key_of` their names in the graph.
        convolutions: how convolutions are computed.

    Raises:
        InputError: a node has no differentiable form, or a port is of luma.
    """

    def __init__(self, model: onnx.ModelProto, manifest: Manifest, convolutions: Convolutions | None = None) -> None:
        super().__init__(GraphConfiguration.of(manifest))
        if "Y" in (manifest.input.order, manifest.output.order):
            raise InputError(f"{manifest.name} takes or returns luma", "Fine-tune a network of RGB.")
        graph = sizeless(model, manifest).graph
        self._input, self._output = manifest.input, manifest.output
        self._ends = graph.input[0].name, graph.output[0].name
        constants = dict(_constants(graph))
        trained = _trained(graph, constants)
        self.weights = nn.ParameterDict(
            {key_of(name): nn.Parameter(torch.from_numpy(constants[name].copy())) for name in trained}
        )
        self._fixed = {name for name in constants if name not in trained}
        for name in self._fixed:
            if constants[name].dtype == np.float32:
                self.register_buffer(
                    f"fixed_{key_of(name)}", torch.from_numpy(constants[name].copy()), persistent=False
                )
        self._operations = tuple(_operations(graph, constants))
        self._last_use = {name: index for index, one in enumerate(self._operations) for name in one.inputs}
        self._trained = trained
        self.convolutions = convolutions or Convolutions()

    def forward_aligned(self, x: Tensor) -> Tensor:
        return _picture(self.evaluate(_frame(x, self._input))[self._ends[1]], self._output)

    def evaluate(self, frame: Tensor, wanted: frozenset[str] = frozenset()) -> dict[str, Tensor]:
        """Compute the graph for a frame of its input port.

        Args:
            frame: as the port says.
            wanted: names of tensors to return with the output.
        """
        kept = {*wanted, self._ends[1]}
        values: dict[str, Tensor] = {self._ends[0]: frame}
        for index, operation in enumerate(self._operations):
            operands = [values[name] if name in values else self.tensor(name) for name in operation.inputs]
            if operation.geometry is None:
                values[operation.output] = operation.function(*operands)
            else:
                x, weight = operands[:2]
                bias = operands[2] if len(operands) > 2 else None
                values[operation.output] = self.convolutions.convolve(
                    operation.name, operation.inputs[0], operation.geometry, x, weight, bias
                )
            for name in operation.inputs:  # frees memory where no gradient needs the tensor
                if self._last_use[name] == index and name not in kept:
                    values.pop(name, None)
        return values

    def tensor(self, name: str) -> Tensor:
        """A constant of the graph."""
        found: Tensor = getattr(self, f"fixed_{key_of(name)}") if name in self._fixed else self.weights[key_of(name)]
        return found

    def begin_with(self, model: onnx.ModelProto) -> None:
        """Take the weights of the convolutions of another form of the graph, which may have other names for them."""
        arrays = dict(_constants(model.graph))
        inputs = {node.name: node.input for node in model.graph.node}
        with torch.no_grad():
            for operation in self._operations:
                if operation.geometry is not None:
                    for own, other in zip(operation.inputs[1:], inputs[operation.name][1:], strict=True):
                        self.tensor(own).copy_(torch.from_numpy(arrays[other].copy()))

    def written(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """A copy of the graph that this network was made from, with the weights as they are now, in float32."""
        made = copied(model)
        for tensor in made.graph.initializer:
            if tensor.name in self._trained:
                array = self.weights[key_of(tensor.name)].detach().float().cpu().numpy()
                tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
        return made


def key_of(name: str) -> str:
    """A name in a graph as PyTorch accepts it for a parameter: without dots."""
    return name.replace(".", "/")


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, Any]]:
    for tensor in graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == _CONSTANT:
            value = next((item.t for item in node.attribute if item.name == "value"), None)
            if value is None:
                raise InputError(f"node {node.name} (Constant) holds no tensor", "Adopt the graph first.")
            yield node.output[0], numpy_helper.to_array(value)


def _trained(graph: onnx.GraphProto, constants: Mapping[str, Any]) -> frozenset[str]:
    """Names of initializers that are operands with a value for each channel, such as weights and shifts of norms.

    Single numbers, such as the epsilon of a norm, belong to the function. Parameters of luma, means that a network
    subtracts from its image and the like have three values; they are trained, too, and hardly move.
    """
    stored = {tensor.name for tensor in graph.initializer}
    return frozenset(
        name
        for node in graph.node
        for index, name in enumerate(node.input)
        if name in stored and not is_setting(node.op_type, index)
        if constants[name].dtype == np.float32 and constants[name].size > 1
    )


def _operations(graph: onnx.GraphProto, constants: Mapping[str, Any]) -> Iterator[_Operation]:
    for node in graph.node:
        if node.op_type == _CONSTANT:
            continue
        described = Node.of(node, constants)
        if node.domain not in ("", "ai.onnx") or len(node.output) != 1:
            raise described.refusal("is not an ONNX operator with one output")
        geometry = Geometry.of(described) if node.op_type == "Conv" else None
        operands = (name for index, name in enumerate(node.input) if name and not is_setting(node.op_type, index))
        yield _Operation(node.name, operator_of(described), tuple(operands), node.output[0], geometry)


def _frame(picture: Tensor, port: Port) -> Tensor:
    """RGB in 0..1, (N, 3, H, W), as a port takes it; differentiable, in floating point also for uint8."""
    low, span = port.value_range[0], port.span
    frame = picture.flip(1) if port.order == "BGR" else picture
    frame = frame * span if span != 1 else frame
    frame = frame + low if low else frame
    return frame.permute(0, 2, 3, 1) if port.layout == "NHWC" else frame


def _picture(frame: Tensor, port: Port) -> Tensor:
    """The inverse of `_frame`."""
    low, span = port.value_range[0], port.span
    picture = frame.permute(0, 3, 1, 2) if port.layout == "NHWC" else frame
    picture = picture - low if low else picture
    picture = picture / span if span != 1 else picture
    return picture.flip(1) if port.order == "BGR" else picture

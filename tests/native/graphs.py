"""Small ONNX graphs of the operators that the native engine takes, and artifacts around them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolkit.artifact import Artifact
from toolkit.port import rgb_port
from toolkit.sizes import SizeRule
from toolkit.system.atomic import sha256_of

EVEN = SizeRule(2, 4)


class Builder:
    """An ONNX graph, node by node. Constants are random, and none is special."""

    def __init__(self, seed: int, opset: int = 20) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def uniform(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * self.random.uniform(-1, 1, shape)).astype(np.float32)

    def node(self, operator: str, *inputs: str, **attributes: object) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> str:
        weight = self.uniform(outputs, inputs // group, kernel, kernel, scale=(inputs // group * kernel**2) ** -0.5)
        pads = [(kernel - stride) // 2] * 4
        operands = (self.constant(weight), self.constant(self.uniform(outputs)))
        return self.node("Conv", x, *operands, pads=pads, strides=[stride] * 2, group=group)

    def enlarged(self, x: str, factor: int) -> str:
        """Nearest-neighbour upsampling, as PyTorch exports it."""
        scales = self.constant(np.array([1, 1, factor, factor], np.float32))
        modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", x, "", scales, **modes)

    def shuffled(self, x: str, factor: int) -> str:
        return self.node("DepthToSpace", x, blocksize=factor, mode="CRD")

    def norm(self, x: str, channels: int, *, centre: bool = True) -> str:
        axes = self.constant(np.array([1]))
        if centre:
            x = self.node("Sub", x, self.node("ReduceMean", x, axes))
        mean = self.node("ReduceMean", self.node("Mul", x, x), axes)
        deviation = self.node("Sqrt", self.node("Add", mean, self.constant(np.float32(1e-3))))
        scaled = self.node("Mul", self.node("Div", x, deviation), self.constant(self.uniform(channels, 1, 1)))
        return self.node("Add", scaled, self.constant(self.uniform(channels, 1, 1)))

    def model(self, output: str, *, uint8: bool = False, layout: str = "NCHW", channels: int = 3) -> onnx.ModelProto:
        """The graph from `input` to what the last node makes."""
        assert self.nodes[-1].output[0] == output
        self.nodes[-1].output[0] = "output"
        dtype = TensorProto.UINT8 if uint8 else TensorProto.FLOAT
        shape = [1, channels, "h", "w"] if layout == "NCHW" else [1, "h", "w", channels]
        ends = [
            [helper.make_tensor_value_info(name, dtype, [f"{name}_{d}" if isinstance(d, str) else d for d in shape])]
            for name in ("input", "output")
        ]
        graph = helper.make_graph(self.nodes, "graph", ends[0], ends[1], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)


def artifact(
    model: onnx.ModelProto,
    like: Artifact,
    directory: Path,
    scale: int,
    name: str | None = None,
    *,
    sizes: SizeRule = EVEN,
) -> Artifact:
    """A graph as an artifact, with the manifest of another one where it does not matter."""
    content = model.SerializeToString()
    manifest = like.manifest
    dtype = "uint8" if model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8 else "float32"
    dims = model.graph.input[0].type.tensor_type.shape.dim
    layout = "NCHW" if dims[1].dim_value else "NHWC"
    colours = dims[1].dim_value or dims[3].dim_value
    ends = [rgb_port(dtype, layout, name) for name in ("input", "output")]
    if colours == 1:
        shape = tuple(1 if size == 3 else size for size in ends[0].shape)
        ends = [msgspec.structs.replace(end, order="Y", shape=shape) for end in ends]
    made = msgspec.structs.replace(
        manifest,
        name=name or f"graph_x{scale}",
        network=msgspec.structs.replace(
            manifest.network, scale=scale, size_multiple=sizes.multiple, smallest=sizes.smallest
        ),
        input=ends[0],
        output=ends[1],
        onnx_sha256=sha256_of(content),
        onnx_bytes=len(content),
    )
    return Artifact.write(directory, content, made, b"")

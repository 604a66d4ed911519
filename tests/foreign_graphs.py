"""Networks of others, made by hand: what is found about them is known. And their adoption in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolkit.artifact import Artifact
from toolkit.graph.adoption.adopting import adopted
from toolkit.graph.adoption.contract import Measured, measured_contract
from toolkit.graph.adoption.ends import Ends
from toolkit.graph.adoption.normalising import normalised
from toolkit.graph.adoption.reading import read_graph
from toolkit.graph.adoption.stated import NOTHING, Stated
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.precision.calibration import calibration_images
from toolkit.system.progress import no_progress


@dataclass
class Graph:
    """A network that repeats pixels, adds some of their differences, and limits values: known in every respect."""

    scale: int = 2
    channels: int = 3
    layout: str = "NCHW"
    black: float = 0.0
    white: float = 1.0
    kind: int = TensorProto.FLOAT
    multiple: int = 1
    limited: bool = True
    opset: int = 20
    sizes: tuple[int | str, int | str] = ("h", "w")
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, array: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, helper.tensor_dtype_to_np_dtype(self.kind)))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x: str, weight: NDArray[Any]) -> str:
        stored = weight.astype(helper.tensor_dtype_to_np_dtype(self.kind))
        return self.node("Conv", x, self.constant(stored), pads=[weight.shape[-1] // 2] * 4)

    def sharpened(self, x: str) -> str:
        """x plus a twentieth of its second differences."""
        kernel = np.zeros((self.channels, self.channels, 3, 3))
        for channel in range(self.channels):
            kernel[channel, channel] = np.array([[0, -1, 0], [-1, 24, -1], [0, -1, 0]]) / 20
        return self.conv(x, kernel)

    def model(self, body: Callable[[str], str] | None = None) -> onnx.ModelProto:
        x = self.node("Transpose", "image", perm=[0, 3, 1, 2]) if self.layout == "NHWC" else "image"
        if self.multiple > 1:
            blocks = self.node("SpaceToDepth", x, blocksize=self.multiple)
            x = self.node("DepthToSpace", blocks, blocksize=self.multiple)
        x = body(x) if body else self.sharpened(x)
        if self.scale > 1:
            scales = self.constant(np.array([1, 1, self.scale, self.scale], np.float32))
            x = self.node("Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric",
                          nearest_mode="floor")  # fmt: skip
        if self.limited:
            x = self.node("Clip", x, self.number(self.black), self.number(self.white))
        if self.layout == "NHWC":
            x = self.node("Transpose", x, perm=[0, 2, 3, 1])
        sides = [self.channels, *self.sizes] if self.layout == "NCHW" else [*self.sizes, self.channels]
        ends = [
            helper.make_tensor_value_info("image", self.kind, ["n", *sides]),
            helper.make_tensor_value_info(x, self.kind, ["a", "b", "c", "Sliceoutput_dim_0"]),
        ]
        made = helper.make_graph(self.nodes, "theirs", ends[:1], ends[1:], self.constants)
        domains = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(made, opset_imports=domains, ir_version=8)

    def saved(self, directory: Path, **options: Any) -> Path:
        path = directory / "theirs.onnx"
        onnx.save(self.model(), path, **options)
        return path


def contract_of(model: onnx.ModelProto) -> Measured:
    graph = in_float64(normalised(model, "theirs"))
    return measured_contract(Ends.of(graph), float64_function(graph), calibration_images())


def here(path: Path, stated: Stated = NOTHING, licence: str | None = None) -> Artifact:
    """`adopt` in this process, which spares the imports of another one."""
    made = adopted(read_graph(path), path, "theirs_fp32", stated, licence, no_progress)
    return Artifact.write(path.parent / "out", made.content, made.manifest, None)

"""Networks whose every output is known: each pixel becomes a square of equal ones, or moves down by a row."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from samples import bare_manifest

from toolkit.artifact import Artifact
from toolkit.manifest_parts import Network, Source
from toolkit.port import Port


def nearest_artifact(directory: Path, scale: int = 2, *, brightness: float = 1, name: str = "nearest") -> Artifact:
    """A 1x1 convolution that repeats channels, multiplied by the brightness, and DepthToSpace.

    Its source weights have the SHA-256 of the name.
    """
    weights = np.zeros((3 * scale**2, 3, 1, 1), np.float32)
    for channel in range(3):
        weights[channel * scale**2 : (channel + 1) * scale**2, channel] = brightness
    nodes = [
        helper.make_node("Conv", ["input", "weights"], ["repeated"], name="repeat", kernel_shape=[1, 1]),
        helper.make_node("DepthToSpace", ["repeated"], ["output"], name="shuffle", blocksize=scale, mode="CRD"),
    ]
    return _artifact(directory, nodes, weights, scale, f"{name}_x{scale}_fp32")


def lowering_artifact(directory: Path) -> Artifact:
    """An x1 network, a 3x3 convolution: row y of the result is row y - 1 of the input, and row 0 is black."""
    weights = np.zeros((3, 3, 3, 3), np.float32)
    for channel in range(3):
        weights[channel, channel, 0, 1] = 1
    attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [helper.make_node("Conv", ["input", "weights"], ["output"], name="lower", **attributes)]
    return _artifact(directory, nodes, weights, 1, "lowering_x1_fp32")


def weights_hash(name: str) -> str:
    """SHA-256 of the source weights of artifacts of that name, without scale and precision."""
    return hashlib.sha256(name.encode()).hexdigest()


def _artifact(
    directory: Path, nodes: list[onnx.NodeProto], weights: NDArray[np.float32], scale: int, name: str
) -> Artifact:
    graph = helper.make_graph(
        nodes,
        "known",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "out_height", "out_width"])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    manifest = bare_manifest(
        content,
        Network(scale, 0, "custom", 2, 2),
        Source("none", "0" * 64, "test", 0, "none.safetensors", weights_hash(name.partition("_")[0])),
        Port("input", "NCHW", "float32", (0.0, 1.0), (1, 3, "height", "width")),
        Port("output", "NCHW", "float32", (0.0, 1.0), (1, 3, "out_height", "out_width")),
        name,
    )
    return Artifact.write(directory, content, manifest, b"")

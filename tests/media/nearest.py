"""A network whose every output is known: each pixel becomes a square of equal ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolkit.artifact import Artifact, Manifest, Network, Source
from toolkit.port import Port
from toolkit.system.atomic import sha256_of


def nearest_artifact(directory: Path, scale: int = 2) -> Artifact:
    """A 1x1 convolution that repeats channels, and DepthToSpace."""
    weights = np.zeros((3 * scale**2, 3, 1, 1), np.float32)
    for channel in range(3):
        weights[channel * scale**2 : (channel + 1) * scale**2, channel] = 1
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "weights"], ["repeated"], name="repeat", kernel_shape=[1, 1]),
            helper.make_node("DepthToSpace", ["repeated"], ["output"], name="shuffle", blocksize=scale, mode="CRD"),
        ],
        "nearest",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "out_height", "out_width"])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    manifest = Manifest(
        name=f"nearest_x{scale}_fp32",
        precision="fp32",
        network=Network(scale, 0, "custom", 2, 2),
        source=Source("none", "0" * 64, "test", 0, "none.safetensors", "0" * 64),
        input=Port("input", "NCHW", "float32", (0.0, 1.0), (1, 3, "height", "width")),
        output=Port("output", "NCHW", "float32", (0.0, 1.0), (1, 3, "out_height", "out_width")),
        opset=18,
        shape=None,
        workload=None,
        onnx_sha256=sha256_of(content),
        onnx_bytes=len(content),
        tools={},
        steps=(),
        checks=(),
    )
    return Artifact.write(directory, content, manifest, b"")

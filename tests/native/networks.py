"""Graphs that together hold every operator of the native engine, and what they compute in float64."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, sqrt

import numpy as np
import onnx
from native.graphs import Builder
from onnx import TensorProto, helper, numpy_helper

from toolkit.graph.analysis.float64 import float64_function, in_float64


def strided(seed: int = 0, *, scale: int = 2, channels: tuple[int, int] = (7, 13)) -> onnx.ModelProto:
    """As the released network: head with stride 2, norms, GELU; and a residual, leaky ReLU, 1x1."""
    b = Builder(seed)
    first, second = channels
    head = b.conv("input", 3, first, 6, stride=2)
    x = b.node("Gelu", b.conv(b.norm(head, first, centre=False), first, second, 3))
    x = b.conv(b.norm(x, second), second, first, 1)
    x = b.node("Add", head, b.node("Mul", x, b.constant(b.uniform(first, 1, 1))))
    x = b.node("LeakyRelu", b.conv(x, first, second, 3), alpha=0.1)
    x = b.conv(x, second, 3 * (2 * scale) ** 2, 3)
    return b.model(b.node("DepthToSpace", x, blocksize=2 * scale, mode="CRD"))


def branched(seed: int = 0) -> onnx.ModelProto:
    """High frequencies by blur and by pooling, depthwise, half resolution and back, GELUs spelled out, ReLU, clip."""
    b = Builder(seed, opset=19)
    padded = b.node("Pad", "input", b.constant(np.array([0, 0, 2, 2, 0, 0, 2, 2])), mode="reflect")
    blur = b.constant(b.uniform(3, 1, 5, 5, scale=0.2))
    high = b.node("Sub", "input", b.node("Conv", padded, blur, group=3))
    features = b.conv(high, 3, 5, 3)
    half = b.conv(features, 5, 5, 2, stride=2, group=5)
    half = _gelu_tanh(b, b.conv(half, 5, 6, 3))
    half = b.conv(_gelu(b, b.conv(half, 6, 6, 3, group=6)), 6, 5, 3)
    x = b.node("Sub", b.enlarged(half, 2), b.node("Relu", features))
    x = b.node("Clip", x, b.constant(np.float32(-0.9)), b.constant(np.float32(0.8)))
    return b.model(b.node("DepthToSpace", b.conv(x, 5, 12, 3), blocksize=2, mode="CRD"))


def unshuffled_later(seed: int = 0) -> onnx.ModelProto:
    """Bytes in and out, x3; a stride of 2 over a tensor that is not the image."""
    b = Builder(seed)
    image = b.node("Transpose", b.node("Cast", "input", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = b.node("Mul", image, b.constant(np.float32(1 / 255)))
    x = b.node("Gelu", b.conv(x, 3, 4, 3), approximate="tanh")
    x = b.conv(x, 4, 9, 6, stride=2)
    x = b.node("Mul", b.conv(x, 9, 108, 3), b.constant(np.float32(90)))
    x = b.node("Add", x, b.constant(np.full((108, 1, 1), 120, np.float32)))
    x = b.node("Round", b.node("Clip", x, b.constant(np.float32(0)), b.constant(np.float32(255))))
    x = b.node("Transpose", b.node("DepthToSpace", x, blocksize=6, mode="CRD"), perm=[0, 2, 3, 1])
    return b.model(b.node("Cast", x, to=TensorProto.UINT8), uint8=True, layout="NHWC")


def gated(seed: int = 0) -> onnx.ModelProto:
    """As Compact and SPAN, any size: PReLU, SiLU, gates, skips, concatenation, 1x1; the enlarged image added."""
    b = Builder(seed)
    head = b.node("PRelu", b.conv("input", 3, 7, 3), b.constant(b.uniform(7, 1, 1)))
    x = b.conv(head, 7, 7, 3)
    x = b.node("Mul", x, b.node("Sigmoid", x))
    x = b.conv(x, 7, 7, 3)
    gate = b.node("Sub", b.node("Sigmoid", x), b.constant(np.float32(0.5)))
    x = b.node("Mul", b.node("Add", x, head), gate)
    first = x
    x = b.conv(x, 7, 7, 3)
    x = b.node("Mul", b.node("Add", x, first), b.node("Tanh", b.conv(x, 7, 7, 1)))
    x = b.node("Mul", x, x)
    x = b.conv(b.node("Concat", head, x, "input", first, x, axis=1), 31, 27, 1)
    x = b.shuffled(b.node("LeakyRelu", x, alpha=-0.3), 3)
    x = b.node("Sub", b.enlarged("input", 3), x)
    x = b.node("Mul", x, b.constant(b.uniform(3, 1, 1)))
    return b.model(b.node("Clip", x, b.constant(np.float32(-1)), b.constant(np.float32(0.7))))


def two_steps(seed: int = 0) -> onnx.ModelProto:
    """x2 in two pixel shuffles, after a 3x3 with stride 2; sums of shuffles, and of enlarged features with shuffles."""
    b = Builder(seed)
    weight = b.constant(b.uniform(5, 3, 3, 3, scale=0.2))
    half = b.node("Conv", "input", weight, b.constant(b.uniform(5)), pads=[1] * 4, strides=[2, 2])
    whole = b.node("Sigmoid", b.shuffled(b.conv(b.node("Tanh", half), 5, 12, 3), 2))
    x = b.node("PRelu", b.shuffled(b.conv(whole, 3, 12, 5), 2), b.constant(b.uniform(3, 1, 1)))
    x = b.node("Add", x, b.shuffled(b.conv(whole, 3, 12, 1), 2))
    low = b.node("Add", b.enlarged(whole, 2), b.shuffled(b.conv(half, 5, 48, 3), 4))
    return b.model(b.node("Add", b.conv(b.enlarged(b.node("Relu", whole), 2), 3, 3, 3), b.node("Sub", x, low)))


def wide(seed: int = 0) -> onnx.ModelProto:
    """Convolutions of so many channels that they are computed by Winograd's method: in chains, and the last one."""
    b = Builder(seed)
    head = b.node("Relu", b.conv("input", 3, 17, 3))
    x = b.node("PRelu", b.conv(head, 17, 16, 3), b.constant(b.uniform(16, 1, 1)))
    x = b.node("Add", b.conv(x, 16, 17, 3), head)
    half = b.conv(x, 17, 16, 2, stride=2)
    x = b.node("Sub", x, b.enlarged(b.conv(b.conv(half, 16, 16, 3), 16, 17, 1), 2))
    return b.model(b.shuffled(b.conv(b.conv(x, 17, 16, 3), 16, 27, 3), 3))


def luma(seed: int = 0) -> onnx.ModelProto:
    """One channel, bytes, x2: half resolution inside, the image added at the end."""
    b = Builder(seed)
    image = b.node("Mul", b.node("Cast", "input", to=TensorProto.FLOAT), b.constant(np.float32(1 / 255)))
    x = b.node("Relu", b.conv(image, 1, 6, 6, stride=2))
    x = b.node("Add", b.shuffled(b.conv(x, 6, 16, 3), 4), b.enlarged(image, 2))
    x = b.node("Mul", x, b.constant(np.float32(255)))
    x = b.node("Round", b.node("Clip", x, b.constant(np.float32(0)), b.constant(np.float32(255))))
    return b.model(b.node("Cast", x, to=TensorProto.UINT8), uint8=True, channels=1)


NETWORKS: dict[str, tuple[Callable[[], onnx.ModelProto], int]] = {
    "strided": (strided, 2),
    "branched": (branched, 2),
    "unshuffled-later": (unshuffled_later, 3),
    "gated": (gated, 3),
    "two-steps": (two_steps, 2),
    "wide": (wide, 3),
    "luma": (luma, 2),
}
"""Each with its scale."""


def float64(model: onnx.ModelProto) -> Callable[[np.ndarray], np.ndarray]:
    """What a graph computes, by ONNX's reference implementation in float64."""
    function = float64_function(in_float64(model))
    return lambda frame: function(frame if frame.dtype == np.uint8 else frame.astype(np.float64))


def rounding_to_bf16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A bf16 graph as the native engine computes it: what dense convolutions read is rounded, all else is float32."""
    made = onnx.ModelProto.FromString(model.SerializeToString())
    graph = made.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.BFLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == TensorProto.BFLOAT16:
            node.attribute[0].i = TensorProto.FLOAT
        if node.op_type == "Conv" and all(item.i == 1 for item in node.attribute if item.name == "group"):
            low, high = f"{node.name}.low", f"{node.name}.high"
            nodes.append(helper.make_node("Cast", [node.input[0]], [low], to=TensorProto.BFLOAT16))
            nodes.append(helper.make_node("Cast", [low], [high], to=TensorProto.FLOAT))
            node.input[0] = high
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(copies)
    return made


def _gelu(b: Builder, x: str) -> str:
    """As exporters write it before opset 20."""
    bent = b.node("Erf", b.node("Div", x, b.constant(np.float32(sqrt(2)))))
    half = b.node("Mul", b.constant(np.float32(0.5)), b.node("Add", bent, b.constant(np.float32(1))))
    return b.node("Mul", x, half)


def _gelu_tanh(b: Builder, x: str) -> str:
    cubed = b.node("Mul", b.constant(np.float32(0.044715)), b.node("Pow", x, b.constant(np.float32(3))))
    inner = b.node("Mul", b.constant(np.float32(sqrt(2 / np.pi))), b.node("Add", x, cubed))
    half = b.node("Mul", b.constant(np.float32(0.5)), b.node("Add", b.node("Tanh", inner), b.constant(np.float32(1))))
    return b.node("Mul", x, half)


def exact_gelu(x: np.ndarray, *, tanh: bool) -> np.ndarray:
    """In float64."""
    if tanh:
        return x * 0.5 * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x * 0.5 * (1 + np.vectorize(erf)(x / sqrt(2)))

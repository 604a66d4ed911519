"""A float16 or bfloat16 graph as a float32 graph that rounds where the former would.

Runtimes on processors without such arithmetic refuse these graphs, or compute them otherwise. Here every tensor is
rounded to the type it has in the graph after it was computed in float32: what hardware with float32 accumulators does.
"""

from __future__ import annotations

import numpy as np
import onnx

from toolkit.graph.analysis.shapes import inferred_tensors
from toolkit.graph.editing import copied, replace_nodes

_LOW = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def simulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function in float32 with explicit roundings; graphs without low precision are returned as copies."""
    types = {name: info.dtype for name, info in inferred_tensors(model).items()}
    made = copied(model)
    graph = made.graph
    for tensor in graph.initializer:
        if tensor.data_type in _LOW:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        low = [name for name in node.output if types.get(name) in _LOW]
        if node.op_type == "Cast" and low:
            node.attribute[0].i = onnx.TensorProto.FLOAT
        nodes.append(node)
        for name in low:
            renamed = f"{name}.unrounded"
            node.output[list(node.output).index(name)] = renamed
            nodes += _rounding(renamed, name, types[name])
    del graph.value_info[:]
    replace_nodes(made, nodes)
    return made


def _rounding(source: str, target: str, dtype: int) -> list[onnx.NodeProto]:
    low = f"{target}.low"
    return [
        onnx.helper.make_node("Cast", [source], [low], name=low, to=dtype),
        onnx.helper.make_node("Cast", [low], [target], name=f"{target}.rounded", to=onnx.TensorProto.FLOAT),
    ]

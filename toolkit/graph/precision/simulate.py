"""Simulates a float16 or bfloat16 graph by a float32 graph that rounds where the original does.

Runtimes refuse these graphs on CPUs without such arithmetic, or compute them differently. Here every tensor is computed
in float32 and then rounded to its type in the original graph, which is what hardware with float32 accumulators does.
"""

from __future__ import annotations

import numpy as np
import onnx

from toolkit.graph.analysis.shapes import inferred_tensors
from toolkit.graph.editing import copied, replace_nodes
from toolkit.graph.precision.registry import TARGETS

_LOW = {onnx.TensorProto.DataType.Value(target.onnx_type) for target in TARGETS if target.floating}


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

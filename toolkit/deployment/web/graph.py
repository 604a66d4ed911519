"""What a browser must be able to compute for a graph."""

from __future__ import annotations

from pathlib import Path

import onnx

from toolkit.graph.reading import read_model


def uses_float16(path: Path) -> bool:
    """Whether a graph has float16 weights, ends, or casts to float16.

    Raises:
        ArtifactError: the graph cannot be read.
    """
    graph, half = read_model(path).graph, onnx.TensorProto.FLOAT16
    ends = (value.type.tensor_type.elem_type for value in (*graph.input, *graph.output))
    weights = (constant.data_type for constant in graph.initializer)
    casts = (item.i for node in graph.node if node.op_type == "Cast" for item in node.attribute if item.name == "to")
    return half in (*ends, *weights, *casts)

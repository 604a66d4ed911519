"""Questions about graphs in ONNX's own form, which graphs from elsewhere are read in."""

from __future__ import annotations

import onnx

MOST_NODES = 10_000
"""Of a graph that is read: networks have hundreds."""


def opset_version(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators; 0 if the graph states none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def stored_tensors(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """Every constant: the initializers, then the tensors that nodes hold as attributes."""
    held = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    return [*model.graph.initializer, *held]


def has_subgraphs(node: onnx.NodeProto) -> bool:
    """Whether it is control flow: If, Loop or Scan."""
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)

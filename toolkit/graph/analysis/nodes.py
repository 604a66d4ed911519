"""Lists the nodes of an artifact's graph, by the names that `convert` accepts and reports show."""

from __future__ import annotations

import msgspec
import onnx

from toolkit.artifact import Artifact
from toolkit.graph.analysis.shapes import inferred_tensors
from toolkit.graph.reading import read_model
from toolkit.system.foreign import foreign


class NodeFacts(msgspec.Struct, frozen=True):
    """A node: its name, its operator, and the element type of its result, as ONNX calls it: FLOAT, FLOAT16, ..."""

    name: str
    operator: str
    dtype: str


def list_nodes(artifact: Artifact) -> list[NodeFacts]:
    """All nodes in the order they are computed.

    Raises:
        ArtifactError: the graph cannot be read.
    """
    with foreign(f"cannot infer the types in {artifact.path}"):
        model = read_model(artifact.path)
        tensors = inferred_tensors(model)
    results = [(node, tensors.get(node.output[0])) for node in model.graph.node]
    return [
        NodeFacts(node.name, node.op_type, onnx.TensorProto.DataType.Name(info.dtype if info else 0))
        for node, info in results
    ]

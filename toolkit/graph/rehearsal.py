"""Reads a graph with every library that looks into graphs: `python -P -m toolkit.graph.rehearsal FILE`.

A graph may crash, hang or exhaust these libraries, and is therefore given to them in a process of its own first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from toolkit.foreign import first_line
from toolkit.graph.locality import bytes_per_pixel, locality

_MOST_NODES = 10_000
_DEEPEST = 8
"""Subgraphs within subgraphs."""


class Unsound(Exception):
    """Something that libraries accept and the toolkit does not."""


def main(path: Path) -> None:
    """Raise for a graph that cannot be used; a runtime's refusal is none, because another runtime may take it."""
    model = onnx.load(path, load_external_data=False)
    _check(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, data_prop=True)
    ir.from_proto(model)
    bytes_per_pixel(model)
    locality(model)
    _open(model)


def _check(model: onnx.ModelProto) -> None:
    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise Unsound(f"it has {len(graph.input)} inputs and {len(graph.output)} outputs, not one image of each")
    for end in (*graph.input, *graph.output):
        if len(end.type.tensor_type.shape.dim) != len("NCHW"):
            raise Unsound(f"{end.name} is no image: it does not have four dimensions")
    if model.functions:
        raise Unsound("it has functions of its own, which artifacts do not have")
    nodes = 0
    for inner, depth in _graphs(graph):
        nodes += len(inner.node)
        if depth > _DEEPEST or nodes > _MOST_NODES:
            raise Unsound(f"it has more than {_MOST_NODES} nodes, or subgraphs nested more than {_DEEPEST} deep")
        held = (attribute.t for node in inner.node for attribute in node.attribute)
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in (*inner.initializer, *held)):
            raise Unsound("it keeps weights in other files, which artifacts do not")


def _graphs(graph: onnx.GraphProto) -> Iterator[tuple[onnx.GraphProto, int]]:
    """A graph and its subgraphs, and how deep they are nested."""
    waiting = [(graph, 0)]
    while waiting:
        inner, depth = waiting.pop()
        yield inner, depth
        attributes = (attribute for node in inner.node for attribute in node.attribute)
        waiting += [(part, depth + 1) for item in attributes for part in (item.g, *item.graphs) if part.node]


def _open(model: onnx.ModelProto) -> None:
    """Give it to ONNX Runtime, if that is installed, as graph tools do: without its optimisations."""
    try:
        import onnxruntime
    except ImportError:
        return
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (a refusal is an answer: what is asked here is whether it survives)
        print(first_line(error))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001  (whatever a library raises is the answer)
        sys.exit(first_line(error))

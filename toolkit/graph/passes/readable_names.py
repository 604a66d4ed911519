"""Names nodes after the modules that they come from, not by counters: `head`, `body.0.norm.mean`, `body.0.conv`."""

from __future__ import annotations

import ast
import re
from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir

from toolkit.graph.matching import constant, consumers
from toolkit.graph.passes.base import GraphPass

SCOPES = "pkg.torch.onnx.name_scopes"


class ReadableNames(GraphPass):
    """Name nodes, their outputs, and constants after the PyTorch modules they come from; then drop the metadata.

    Requires: fresh from the exporter, so that every node says its scope.
    Ensures: names are unique; graph inputs and outputs keep theirs; no metadata (stack traces, local paths) is left.
    """

    title = "readable names"

    def requires(self, model: ir.Model) -> None:
        if nameless := [node.name for node in model.graph if SCOPES not in node.metadata_props]:
            raise ir.passes.PreconditionError(f"nodes without a scope: {nameless}")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = list(model.graph)
        places = [_place(node) for node in nodes]
        per_module = Counter(module for module, _ in places)
        per_place = Counter(places)
        taken: Counter[str] = Counter()
        for node, (module, operation) in zip(nodes, places, strict=True):
            whole = per_module[module] == 1 and not any(other.startswith(f"{module}.") for other in per_module)
            name = module if whole and module else f"{module}.{operation}".lstrip(".")
            if per_place[module, operation] > 1 and _decomposed(nodes, places, (module, operation)):
                name = f"{name}.{node.op_type.lower()}"
            taken[name] += 1
            node.name = name if taken[name] == 1 else f"{name}_{taken[name] - 1}"
            for output in node.outputs:
                if not output.is_graph_output():
                    output.name = node.name
        _name_constants(model)
        _drop_metadata(model)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        names = [node.name for node in model.graph]
        if len(set(names)) != len(names):
            raise ir.passes.PostconditionError("node names are not unique")
        if any(node.metadata_props or node.doc_string for node in model.graph):
            raise ir.passes.PostconditionError("nodes still carry metadata")


def _place(node: ir.Node) -> tuple[str, str]:
    """Module path and operation; the exporter numbers repeated operations (`mean_3`), which says nothing."""
    scopes = ast.literal_eval(node.metadata_props[SCOPES])
    return scopes[-2], re.sub(r"_\d+$", "", scopes[-1])


def _decomposed(nodes: list[ir.Node], places: list[tuple[str, str]], place: tuple[str, str]) -> bool:
    """Whether one PyTorch operation became several kinds of node."""
    return len({node.op_type for node, other in zip(nodes, places, strict=True) if other == place}) > 1


def _name_constants(model: ir.Model) -> None:
    """Parameters keep their names; others are called after the one node that reads them, or `shared`."""
    for value in list(model.graph.initializers.values()):
        readers = consumers(value)
        if value.name is None or not readers or re.search(r"(\.weight|\.bias|^gamma)$", value.name):
            continue
        place = readers[0].name if len(readers) == 1 else "shared"
        name = f"{place}.{_role(value, readers[-1])}"
        suffix = sum(other.startswith(name) for other in model.graph.initializers)
        value.name = f"{name}_{suffix}" if suffix else name


def _role(value: ir.Value, reader: ir.Node) -> str:
    """A number is called by its value, anything else what the reader's specification calls that input."""
    array = constant(value)
    if array is not None and array.size == 1 and np.issubdtype(array.dtype, np.floating):
        return f"{array.item():g}"
    inputs = onnx.defs.get_schema(reader.op_type, domain=reader.domain).inputs
    return inputs[min(reader.inputs.index(value), len(inputs) - 1)].name


def _drop_metadata(model: ir.Model) -> None:
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()
        value.doc_string = None

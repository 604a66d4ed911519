"""Applies the pass that lowers a graph, and finishes the graph as one of its new precision."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from toolkit.artifact import Manifest
from toolkit.errors import InputError
from toolkit.graph.passes.base import GraphPass
from toolkit.graph.precision.base import Rewritten
from toolkit.manifest_parts import Step
from toolkit.precisions import Precision

_METADATA_KEY = "rt4ksr.precision"


def rewrite(graph: ir.Model, graph_pass: GraphPass, manifest: Manifest, precision: Precision) -> Rewritten:
    """Apply the pass to `graph`, in place.

    Args:
        graph: of the fp32 artifact, prepared for the pass.
        graph_pass: lowers it.
        manifest: of the fp32 artifact.
        precision: of the result.

    Raises:
        InputError: a condition of the pass does not hold.
    """
    try:
        graph_pass(graph)  # runs `requires` before and `ensures` after
    except ir.passes.InvariantError as error:
        raise InputError(f"{manifest.name} cannot be converted to {precision}: {error}") from error
    model = ir.to_proto(graph)
    del model.graph.value_info[:]
    for item in model.metadata_props:
        if item.key == _METADATA_KEY:
            item.value = precision
    onnx.checker.check_model(model, full_check=True)
    step = Step(graph_pass.title, len(model.graph.node), "; ".join(graph_pass.refusals))
    return Rewritten(model, step, tuple(f"{precision}: {note}" for note in graph_pass.notes))

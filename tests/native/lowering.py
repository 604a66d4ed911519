"""Graphs of the tests in another precision, by the toolkit's own rewrite."""

from __future__ import annotations

import onnx

from toolkit.artifact import Manifest
from toolkit.graph.precision.fitting import RoundedWeights
from toolkit.graph.precision.integers import PreparedIntegers
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.registry import find_target
from toolkit.precisions import Precision

RANGE = 3.0
"""Largest magnitude that int8 values represent."""


def lowered(model: onnx.ModelProto, manifest: Manifest, precision: Precision) -> onnx.ModelProto:
    """A float32 graph in bf16, or in int8 with the same range everywhere."""
    target = find_target(precision)
    if target.floating:
        prepared = target.prepare(model, manifest, ConvertOptions())
    else:
        magnitudes = {name: RANGE for node in model.graph.node for name in (*node.input, *node.output)}
        prepared = PreparedIntegers(target, RoundedWeights(model, model), manifest, magnitudes)
    return prepared.rewrite(ConvertOptions()).model

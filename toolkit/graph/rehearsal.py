"""Reads a graph with every library that parses graphs: `python -P -m toolkit.graph.rehearsal FILE`.

A malformed graph may crash these libraries, or make them hang or exhaust the memory. Therefore they read every graph of
unknown origin in a separate process first.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from toolkit.graph.analysis.locality import bytes_per_pixel, locality
from toolkit.graph.analysis.shapes import inferred_tensors
from toolkit.graph.protos import MOST_NODES, has_subgraphs, stored_tensors
from toolkit.system.foreign import first_line

_SIDE = 16
_LARGEST_FRAME = 1 << 18
"""Values of the largest frame that is run. Only graphs of a fixed size need larger ones; runtimes rehearse those."""


class Unsound(Exception):
    """A graph that libraries accept and the toolkit does not support."""


def main(path: Path) -> None:
    """Raise an exception for a graph that cannot be used. That ONNX Runtime refuses it is not a reason to: another
    runtime may support it."""
    model = onnx.load(path, load_external_data=False)
    _check(model)
    onnx.checker.check_model(model, full_check=True)
    inferred_tensors(model)
    ir.from_proto(model)
    bytes_per_pixel(model)
    locality(model)
    _run(model)


def _check(model: onnx.ModelProto) -> None:
    graph = model.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise Unsound(f"it has {len(graph.input)} inputs and {len(graph.output)} outputs, and must have one each")
    for end in (*graph.input, *graph.output):
        if len(end.type.tensor_type.shape.dim) != len("NCHW"):
            raise Unsound(f"{end.name} is not an image: it does not have four dimensions")
    if model.functions:
        raise Unsound("it defines functions, which are not supported")
    if len(graph.node) > MOST_NODES:
        raise Unsound(f"it has more than {MOST_NODES} nodes")
    if any(map(has_subgraphs, graph.node)):
        raise Unsound("it has subgraphs (If, Loop or Scan), which are not supported")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in stored_tensors(model)):
        raise Unsound("it keeps weights in other files, which is not supported")


def _run(model: onnx.ModelProto) -> None:
    """Run it on a small frame with ONNX Runtime, if that is installed, with its graph optimisations off."""
    try:
        import onnxruntime
    except ImportError:
        return
    image = model.graph.input[0].type.tensor_type
    sides = [dim.dim_value or side for dim, side in zip(image.shape.dim, (1, 3, _SIDE, _SIDE), strict=True)]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        if math.prod(sides) <= _LARGEST_FRAME:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(image.elem_type)
            session.run(None, {model.graph.input[0].name: np.zeros(sides, dtype)})
    except Exception as error:  # noqa: BLE001  (a refusal is fine: what counts is that the process survives)
        print(first_line(error))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001  (the parent process reports whatever a library raises)
        sys.exit(first_line(error))

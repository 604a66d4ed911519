"""Values of every tensor inside a graph, by name: for finding out where two graphs begin to differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.errors import InputError, Unavailable
from toolkit.graph.analysis.shapes import inferred_tensors
from toolkit.graph.editing import copied
from toolkit.port import Port
from toolkit.system.openvino_core import openvino_core

Tensors = Mapping[str, NDArray[Any]]


def exposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with every floating-point tensor that a node computes as an output too.

    Of nodes that ONNX does not define, as in graphs that a runtime optimised, all outputs; of what type is left open.
    """
    known = inferred_tensors(model)
    copy = copied(model)
    present = {item.name for item in copy.graph.output}
    for node in copy.graph.node:
        for name in node.output:
            if name in present or not name:
                continue
            if name not in known:
                copy.graph.output.append(onnx.ValueInfoProto(name=name))
            elif ir.DataType(known[name].dtype).is_floating_point():
                copy.graph.output.append(onnx.helper.make_tensor_value_info(name, known[name].dtype, None))
    return copy


def tensors(model: onnx.ModelProto, frame: NDArray[Any], evaluator: str) -> Tensors:
    """What every node of `model` computes for `frame`, in float64.

    Args:
        model: one input; any size of frame it takes.
        frame: as its input says.
        evaluator: `reference` (ONNX's own, exact to the types in the graph, slow), `ort-cpu` (with its optimisations
            off, which would remove tensors), or `openvino`.

    Raises:
        InputError: there is no such evaluator.
        Unavailable: it cannot run this graph.
    """
    if evaluator not in EVALUATORS:
        raise InputError(
            f"{evaluator} cannot return the tensors inside a graph", f"Those that do: {', '.join(EVALUATORS)}."
        )
    try:
        found = EVALUATORS[evaluator](exposed(model), frame)
    except Exception as error:  # every library has exceptions of its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Unavailable(f"{evaluator} cannot run this graph: {reason}") from error
    return {name: np.asarray(array).astype(np.float64) for name, array in found.items()}


def tensor_function(model: onnx.ModelProto, name: str) -> Callable[[NDArray[Any], Port], NDArray[Any]]:
    """A float32 tensor inside a graph, as a function of a frame for the port.

    By ONNX Runtime where it is there, else by ONNX's own implementation.
    """
    graph = copied(model)
    del graph.graph.output[:], graph.graph.value_info[:]
    graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(graph)
        run: Any = evaluator.run
        return lambda image, port: np.asarray(run(None, {port.name: image})[0])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda image, port: np.asarray(session.run(None, {port.name: image})[0])


def _by_reference(model: onnx.ModelProto, frame: NDArray[Any]) -> dict[str, Any]:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    return dict(zip(evaluator.output_names, evaluator.run(None, {model.graph.input[0].name: frame}), strict=True))


def _by_onnxruntime(model: onnx.ModelProto, frame: NDArray[Any]) -> dict[str, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: frame}), strict=True))


def _by_openvino(model: onnx.ModelProto, frame: NDArray[Any]) -> dict[str, Any]:
    import io

    core = openvino_core()
    read = core.read_model(io.BytesIO(model.SerializeToString()))
    read.reshape(list(frame.shape))
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(np.ascontiguousarray(frame))
    return {name: results[port] for port in compiled.outputs for name in port.get_names()}


EVALUATORS: dict[str, Callable[[onnx.ModelProto, NDArray[Any]], dict[str, Any]]] = {
    "ort-cpu": _by_onnxruntime,
    "openvino": _by_openvino,
    "reference": _by_reference,
}

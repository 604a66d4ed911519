"""Inferred types and shapes, against what the nodes compute."""

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from toolkit.graph.analysis.shapes import TensorInfo, inferred_tensors, small_frame

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def unshuffle() -> onnx.ModelProto:
    """Sizes that the graph computes itself, a stride, and a cast; dynamic height and width."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Shape", ["conv"], ["size"]),
        helper.make_node("Gather", ["size", "rows"], ["height"]),
        helper.make_node("Concat", ["one", "height", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["conv", "target"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["half"], to=HALF),
        helper.make_node("Cast", ["half"], ["y"], to=FLOAT),
    ]
    constants = [
        helper.make_tensor("w", FLOAT, [4, 3, 3, 3], np.zeros(108, np.float32)),
        *(helper.make_tensor(name, onnx.TensorProto.INT64, [1], [value]) for name, value in (("rows", 2), ("one", 1))),
        helper.make_tensor("rest", onnx.TensorProto.INT64, [1], [-1]),
    ]
    image = helper.make_tensor_value_info("x", FLOAT, ["n", 3, "h", "w"])
    result = helper.make_tensor_value_info("y", FLOAT, [1, "a", "b"])
    graph = helper.make_graph(nodes, "g", [image], [result], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_types_and_shapes_are_those_that_nodes_compute() -> None:
    model = unshuffle()
    before = model.SerializeToString()
    found = inferred_tensors(model, (1, 3, 10, 14))
    assert model.SerializeToString() == before
    names = ["conv", "size", "height", "target", "flat", "half", "y"]
    exposed = unshuffle()
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    computed = ReferenceEvaluator(exposed).run(None, {"x": np.zeros((1, 3, 10, 14), np.float32)})
    for name, array in zip(names, computed, strict=True):
        assert found[name] == TensorInfo(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape), name
        assert (found[name].elements, found[name].nbytes) == (array.size, array.nbytes)
    assert found["w"].sides == (4, 3, 3, 3)


def test_what_depends_on_the_input_is_not_known() -> None:
    found = inferred_tensors(unshuffle())
    assert found["conv"] == TensorInfo(FLOAT, (0, 4, 0, 0))
    assert found["conv"].elements is None
    assert found["half"].dtype == HALF
    assert TensorInfo(0, (2, 3)).nbytes is None
    assert TensorInfo(FLOAT, None).elements is None


@pytest.mark.parametrize(("side", "frame"), [(64, (1, 3, 64, 64)), (5, (1, 3, 5, 5))])
def test_a_frame_for_dynamic_graphs(side: int, frame: tuple[int, ...]) -> None:
    assert small_frame(unshuffle(), side) == frame

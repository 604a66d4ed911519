"""float64 is computed throughout, and a stored graph is its rounding."""

import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import onnx
import pytest
from kept_traces import kept_trace
from onnx.reference import ReferenceEvaluator
from samples import SMALL, network, small_preset

from toolkit.errors import CheckFailed
from toolkit.graph.analysis.float64 import float64_function, in_float32, in_float64, largest_rounding
from toolkit.graph.analysis.numerics import frame_error, relative_error
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.fusion import fuse
from toolkit.network.impulses import ROUNDING_BOUND
from toolkit.network.module import numpy_function
from toolkit.port import rgb_port

F32, F64 = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE


def graph(nodes: list[onnx.NodeProto], *constants: onnx.TensorProto, dtype: int = F64) -> onnx.ModelProto:
    ends = [onnx.helper.make_tensor_value_info(name, dtype, [1, 3, "h", "w"]) for name in ("x", "y")]
    made = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], list(constants))
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def values() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 2, (1, 3, 5, 7))


@pytest.mark.parametrize(
    ("operator", "attributes", "exact"),
    [
        ("Erf", {}, np.vectorize(math.erf)),
        ("Gelu", {}, np.vectorize(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))))),
        (
            "Gelu",
            {"approximate": "tanh"},
            np.vectorize(lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ),
        ("Sigmoid", {}, lambda x: 1 / (1 + np.exp(-x))),
        ("Sqrt", {}, np.sqrt),
        ("LeakyRelu", {"alpha": float(np.float32(0.1))}, lambda x: np.where(x > 0, x, x * float(np.float32(0.1)))),
        ("GlobalAveragePool", {}, lambda x: x.mean(axis=(2, 3), keepdims=True)),
        ("Round", {}, np.rint),
        ("Cast", {"to": F64}, lambda x: x),
    ],
)
def test_operators_are_computed_in_float64(operator: str, attributes: dict, exact) -> None:
    """The reference implementation's own Erf rounds to float32, as this found: 1e-8 off."""
    x = np.abs(values()) if operator == "Sqrt" else values()
    result = float64_function(graph([onnx.helper.make_node(operator, ["x"], ["y"], **attributes)]))(x)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, exact(x), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("opset", [18, 20])
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(replace(SMALL, blocks=1, activation="leaky-relu"), id="leaky-relu"),
        pytest.param(replace(SMALL, blocks=1, activation="gelu-tanh"), id="gelu-tanh"),
        pytest.param(small_preset("naf-eca"), id="naf-eca"),
        pytest.param(small_preset("down-up"), id="down-up"),
    ],
)
def test_whole_graphs_are_the_network_in_float64(config: NetworkConfig, opset: int) -> None:
    exact = fuse(network(config)).double()
    x = np.random.default_rng(0).random((1, 3, 10, 14))
    assert relative_error(float64_function(kept_trace(exact, opset))(x), numpy_function(exact, "float64")(x)) < 1e-13


def test_types_change_and_nothing_else() -> None:
    wide = kept_trace(fuse(network().double()))
    stored = in_float32(wide)
    onnx.checker.check_model(stored, full_check=True)
    assert 0 < largest_rounding(wide, stored) <= ROUNDING_BOUND
    again = in_float64(stored)
    assert largest_rounding(again, stored) == 0
    assert in_float32(again).SerializeToString() == stored.SerializeToString()
    types = {tensor.data_type for tensor in again.graph.initializer}
    assert F32 not in types
    x = np.random.default_rng(0).random((1, 3, 8, 10))
    (single,) = ReferenceEvaluator(stored).run(None, {"input": x.astype(np.float32)})
    assert single.dtype == np.float32
    assert relative_error(float64_function(again)(x), single.astype(np.float64)) < 1e-3


def test_scales_of_resize_stay_float32() -> None:
    """ONNX knows them in no other type."""
    scales = onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    resize = onnx.helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    wide = in_float64(graph([resize], scales, dtype=F32))
    onnx.checker.check_model(wide, full_check=True)
    assert wide.graph.initializer[0].data_type == F32
    assert float64_function(wide)(values()).dtype == np.float64


def changed(model: onnx.ModelProto, change) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    change(made.graph)
    return made


def add_ulp(made: onnx.GraphProto) -> None:
    tensor = next(item for item in made.initializer if item.name == "head.weight")
    array = onnx.numpy_helper.to_array(tensor).copy()
    array.flat[5] = np.nextafter(array.flat[5], np.float32(9))
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def test_one_unit_in_the_last_place_of_one_weight_is_seen() -> None:
    wide = kept_trace(fuse(network().double()))
    assert largest_rounding(wide, changed(in_float32(wide), add_ulp)) > ROUNDING_BOUND


def move_axis(made: onnx.GraphProto) -> None:
    tensor = next(item for item in made.initializer if item.data_type == onnx.TensorProto.INT64)
    array = onnx.numpy_helper.to_array(tensor).copy()
    array.flat[0] += 1
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


@pytest.mark.parametrize(
    "change",
    [
        move_axis,
        lambda made: made.node.pop(),
        lambda made: setattr(made.node[-1].attribute[0], "i", 3),
        lambda made: setattr(made.initializer[0], "name", "another"),
    ],
)
def test_another_graph_is_refused(change) -> None:
    wide = kept_trace(fuse(network().double()))
    with pytest.raises(CheckFailed, match="that was checked"):
        largest_rounding(wide, changed(in_float32(wide), change))


def test_a_constant_beyond_float32_is_no_rounding() -> None:
    huge = onnx.numpy_helper.from_array(np.array([1e300]), "huge")
    wide = graph([onnx.helper.make_node("Add", ["x", "huge"], ["y"])], huge)
    assert largest_rounding(wide, in_float32(wide)) == np.inf


def test_grey_levels_must_be_nearest() -> None:
    answer = np.broadcast_to(np.array([0.0, 0.5, 1.3, -0.2, 100.4 / 255]), (1, 3, 1, 5))
    port = rgb_port("uint8", "NCHW")

    def error(levels: list[float]) -> float:
        return frame_error(port, np.broadcast_to(np.array(levels), (1, 3, 1, 5)), answer)

    assert error([0, 127, 255, 0, 100]) == 0
    assert error([0, 128, 255, 0, 100]) == 0  # 127.5: both are nearest
    assert error([0, 128, 255, 0, 101]) == pytest.approx(0.1 / 255)
    assert error([1, 128, 255, 0, 100]) == pytest.approx(0.5 / 255)
    assert np.isnan(error([0, 0, 0, 0, np.nan]))


def test_tensors_are_released_after_their_last_use() -> None:
    """ONNX's reference implementation would keep all 51; a chain with a skip from its start needs four at a time."""
    names = ["x", *(f"t{index}" for index in range(50))]
    nodes = [onnx.helper.make_node("Relu", [one], [other]) for one, other in itertools.pairwise(names)]
    nodes.append(onnx.helper.make_node("Add", [names[-1], "x"], ["y"]))
    x = np.random.default_rng(0).normal(size=(1, 3, 200, 300))
    function = float64_function(graph(nodes))
    tracemalloc.start()
    result = function(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(result, np.maximum(x, 0) + x)
    assert peak < 6 * x.nbytes

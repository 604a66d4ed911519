"""Each pass keeps the function, judged in float64, and does what it says."""

import copy

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from kept_traces import kept_trace
from onnx.reference import ReferenceEvaluator
from samples import SMALL, network

from toolkit.graph.analysis.float64 import float64_function
from toolkit.graph.analysis.numerics import FLOAT64_BOUND, Probes, relative_error
from toolkit.graph.passes.base import GraphPass
from toolkit.graph.passes.fix_shape import FixShape
from toolkit.graph.passes.fold_centring import FoldCentring
from toolkit.graph.passes.fold_norm_scale import FoldNormScale
from toolkit.graph.passes.merge_unshuffle import MergeUnshuffle, pixel_unshuffle, strided_kernel
from toolkit.graph.passes.readable_names import ReadableNames
from toolkit.graph.passes.uint8_io import Uint8IO
from toolkit.graph.passes.widen_channel_mean import WidenChannelMean
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.fusion import fuse
from toolkit.network.module import numpy_function
from toolkit.port import rgb_port

CONFIGS = {
    "plain": SMALL,
    "live high frequency": NetworkConfig(scale=3, channels=5, blocks=1, hidden=7, stem="gaussian"),
}


@pytest.fixture(scope="module", params=CONFIGS)
def traced(request: pytest.FixtureRequest):
    source = network(CONFIGS[request.param])
    exact = fuse(source).double()
    return source, kept_trace(exact), Probes.of(numpy_function(exact, "float64"))


def run(graph_pass: GraphPass, model: onnx.ModelProto) -> onnx.ModelProto:
    graph = ir.from_proto(copy.deepcopy(model))
    graph_pass(graph)  # runs `requires` before and `ensures` after
    result = ir.to_proto(graph)
    onnx.checker.check_model(result, full_check=True)
    return result


def chain(model: onnx.ModelProto, *passes: GraphPass) -> onnx.ModelProto:
    for graph_pass in passes:
        model = run(graph_pass, model)
    return model


def deployed(model: onnx.ModelProto) -> onnx.ModelProto:
    return chain(model, ReadableNames(), MergeUnshuffle(), FoldNormScale(), FoldCentring())


def types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def names(model: onnx.ModelProto) -> set[str]:
    return {node.name for node in model.graph.node}


def test_readable_names(traced) -> None:
    source, model, probes = traced
    result = run(ReadableNames(), model)
    assert probes.float64_error(result) <= FLOAT64_BOUND
    expected = {"body.0.norm.mean", "body.0.norm.sqrt", "body.0.conv", "body.0.gelu", "tail.conv", "upsample"}
    assert expected <= names(result)
    assert {"body.0.conv.weight", "upsample.bias", "shared.1e-06"} <= {item.name for item in result.graph.initializer}
    assert not any(node.metadata_props or node.doc_string for node in result.graph.node)
    assert b".py" not in result.SerializeToString()
    assert (result.graph.input[0].name, result.graph.output[0].name) == ("input", "output")
    if source.config.high_frequency:
        assert {"high_pass.pad", "hfb.gelu"} <= names(result)
        assert "gamma" in {item.name for item in result.graph.initializer}


def test_readable_names_needs_scopes(traced) -> None:
    _, model, _ = traced
    with pytest.raises(ir.passes.PreconditionError):
        run(ReadableNames(), run(ReadableNames(), model))


def test_merge_unshuffle(traced) -> None:
    source, model, probes = traced
    result = chain(model, ReadableNames(), MergeUnshuffle())
    assert probes.float64_error(result) <= FLOAT64_BOUND
    assert not {"Shape", "Reshape", "Transpose", "Gather", "Concat"} & set(types(result))
    strided = [
        node for node in result.graph.node if any(a.name == "strides" and a.ints[0] == 2 for a in node.attribute)
    ]
    assert len(strided) == (2 if source.config.high_frequency else 1)


def test_strided_kernel_is_unshuffle_then_convolution() -> None:
    random = np.random.default_rng(0)
    weight, x = random.standard_normal((4, 12, 3, 3)), random.standard_normal((1, 3, 10, 14))
    expected = torch.nn.functional.conv2d(
        torch.nn.functional.pixel_unshuffle(torch.from_numpy(x), 2), torch.from_numpy(weight), padding=1
    )
    kernel = torch.from_numpy(strided_kernel(weight, 2))
    merged = torch.nn.functional.conv2d(torch.from_numpy(x), kernel, stride=2, padding=2)
    torch.testing.assert_close(merged, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(
        pixel_unshuffle(x, 2), torch.nn.functional.pixel_unshuffle(torch.from_numpy(x), 2).numpy()
    )


def test_a_chain_that_is_no_unshuffle_is_refused_with_the_reason(traced) -> None:
    """The same nodes with the two block axes swapped would give a picture that looks almost right."""
    _, model, _ = traced
    named = run(ReadableNames(), model)
    for node in named.graph.node:
        if node.op_type == "Transpose":
            permutation = list(node.attribute[0].ints)
            permutation[2], permutation[3] = permutation[3], permutation[2]
            node.attribute[0].ints[:] = permutation
    graph_pass = MergeUnshuffle()
    with pytest.raises(ir.passes.PostconditionError, match="not PixelUnshuffle"):
        run(graph_pass, named)


def test_fold_norm_scale(traced) -> None:
    _, model, probes = traced
    before = chain(model, ReadableNames(), MergeUnshuffle())
    result = run(FoldNormScale(), before)
    assert probes.float64_error(result) <= FLOAT64_BOUND
    norms = types(before).count("Sqrt")
    assert types(before).count("Mul") - types(result).count("Mul") == norms
    assert {"body.0.norm.shift", "tail.norm.shift"} <= {item.name for item in result.graph.initializer}


def test_a_norm_with_a_zero_scale_is_left_alone() -> None:
    source = network()
    with torch.no_grad():
        source.body[0].norm.weight[2] = 0
    graph_pass = FoldNormScale()
    exact = fuse(source).double()
    result = chain(kept_trace(exact), ReadableNames(), MergeUnshuffle(), graph_pass)
    assert Probes.of(numpy_function(exact, "float64")).float64_error(result) <= FLOAT64_BOUND
    assert len(graph_pass.refusals) == 1
    assert "body.0.norm" in graph_pass.refusals[0]
    assert "channel 2" in graph_pass.refusals[0]
    assert types(result).count("Mul") == 3 + 1  # one square per norm, one scale


def test_fold_centring(traced) -> None:
    source, model, probes = traced
    before = chain(model, ReadableNames(), MergeUnshuffle(), FoldNormScale())
    result = run(FoldCentring(), before)
    assert probes.float64_error(result) <= FLOAT64_BOUND
    # The head's convolution is followed by nothing but its norm; the tail's norm follows an activation or a sum.
    assert types(before).count("Sub") - types(result).count("Sub") == 1
    assert "body.0.norm.mean" not in names(result)
    assert source.config.blocks + 1 == types(result).count("Sqrt")


def test_centring_stays_where_the_convolution_has_another_reader(traced) -> None:
    _, model, probes = traced
    graph = ir.from_proto(chain(model, ReadableNames(), MergeUnshuffle()))
    head = next(node for node in graph.graph if node.name.startswith("head"))
    extra = ir.node("Relu", [head.outputs[0]], name="extra")
    extra.outputs[0].name = "extra"
    extra.outputs[0].type, extra.outputs[0].shape = head.outputs[0].type, head.outputs[0].shape
    graph.graph.insert_after(head, extra)
    graph.graph.outputs.append(extra.outputs[0])
    graph_pass = FoldCentring()
    result = run(graph_pass, ir.to_proto(graph))
    assert "body.0.norm.mean" in names(result)
    assert graph_pass.refused == {"body.0.norm.sub": f"other nodes read {head.name} as well"}
    assert probes.float64_error(result) <= FLOAT64_BOUND


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_uint8_io(traced, layout: str) -> None:
    source, model, probes = traced
    result = run(Uint8IO(layout), deployed(model))
    assert probes.float64_error(result, *(2 * [rgb_port("uint8", layout)])) <= FLOAT64_BOUND
    ends = [result.graph.input[0], result.graph.output[0]]
    assert all(end.type.tensor_type.elem_type == onnx.TensorProto.UINT8 for end in ends)
    channels = [[dim.dim_value for dim in end.type.tensor_type.shape.dim].index(3) for end in ends]
    assert channels == ([1, 1] if layout == "NCHW" else [3, 3])
    image, answer = probes.images[0].transpose(2, 0, 1)[None], probes.answers[0]
    fed = image if layout == "NCHW" else image.transpose(0, 2, 3, 1)
    returned = float64_function(result)(fed)
    returned = returned if layout == "NCHW" else returned.transpose(0, 3, 1, 2)
    levels = np.rint(answer.clip(0, 1) * 255)
    certain = np.abs(answer * 255 % 1 - 0.5) > 1e-6  # elsewhere is the edge between two grey levels
    np.testing.assert_array_equal(returned[certain], levels[certain])
    assert certain.mean() > 0.99
    assert answer.min() < 0  # clamping was needed, and is tested
    assert answer.max() > 1
    assert source.config.scale * image.shape[2] == returned.shape[2]


@pytest.mark.parametrize(("lost", "factors"), [("DepthToSpace", {"output.to_levels"}),
                                               ("Conv", {"input.to_unit", "output.to_levels"})])  # fmt: skip
def test_factors_that_no_convolution_can_hold_are_nodes(lost: str, factors: set[str], traced) -> None:
    _, model, _ = traced
    strange = deployed(model)
    for node in strange.graph.node:
        if node.op_type == lost:
            node.op_type, node.domain = "Strange", "example"
    strange.opset_import.add(domain="example", version=1)
    graph = ir.from_proto(strange)
    Uint8IO("NCHW")(graph)
    assert {node.name for node in graph.graph} & {"input.to_unit", "output.to_levels"} == factors


@pytest.mark.parametrize("size", [(12, 18), (7, 10), (1, 1), (2, 3), (3, 1)])
def test_fix_shape(traced, size: tuple[int, int]) -> None:
    source, model, _ = traced
    scale = source.config.scale
    exact = numpy_function(fuse(source).double(), "float64")
    result = run(FixShape(*size, scale, source.config.sizes), deployed(model))
    assert [dim.dim_value for dim in result.graph.input[0].type.tensor_type.shape.dim] == [1, 3, *size]
    x = np.random.default_rng(0).random((1, 3, *size))
    returned = float64_function(result)(x)
    assert returned.shape == (1, 3, scale * size[0], scale * size[1])
    assert relative_error(returned, exact(x)) <= FLOAT64_BOUND


@pytest.mark.parametrize(
    ("axes", "batch", "wanted"), [([1], 1, [0, 1]), ([-3], 1, [0, 1]), ([1], 2, [1]), ([2], 1, [2])]
)
def test_channel_means_have_two_axes_where_there_is_one_image(axes: list[int], batch: int, wanted: list[int]) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", ["input", "axes"], ["output"], name="mean")],
        "mean",
        [onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [batch, 3, "height", "width"])],
        [onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [None] * 4)],
        [onnx.numpy_helper.from_array(np.array(axes), "axes")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    made = run(WidenChannelMean(), model)
    assert [onnx.numpy_helper.to_array(tensor).tolist() for tensor in made.graph.initializer] == [wanted]
    frame = np.random.default_rng(0).random((batch, 3, 4, 5), np.float32)
    before, after = (ReferenceEvaluator(item).run(None, {"input": frame})[0] for item in (model, made))
    np.testing.assert_array_equal(before, after)

"""Merging affine parts of graphs, against ONNX's own reference implementation in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kept_traces import kept_trace
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from samples import network

from toolkit.graph.analysis.float64 import float64_function
from toolkit.graph.export import DEFAULT_OPSET
from toolkit.graph.passes.merge_affine import MergeAffine
from toolkit.graph.passes.readable_names import ReadableNames
from toolkit.network.fusion import mergeable_blocks, merged_kernel
from toolkit.network.impulses import BLOCK_BOUND

SIZES = (1, 1), (1, 6), (6, 1), (7, 9)


class Builder:
    """A float64 graph from `x` (1, C, H, W), node by node."""

    def __init__(self, channels: int, seed: int = 0) -> None:
        self.generator = np.random.default_rng(seed)
        self.channels = channels
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def conv(
        self, x: str, into: int, out: int, size: int = 3, pad: int = 0, *, bias: bool = True, group: int = 1
    ) -> str:
        inputs = [x, self.constant(self.generator.normal(size=(out, into // group, size, size)))]
        if bias:
            inputs.append(self.constant(self.generator.normal(size=out)))
        return self.node("Conv", inputs, pads=[pad] * 4, group=group)

    def batch_norm(self, x: str, channels: int) -> str:
        scale, offset, mean = (self.constant(self.generator.normal(size=channels)) for _ in range(3))
        variance = self.constant(self.generator.uniform(0.5, 2, channels))
        return self.node("BatchNormalization", [x, scale, offset, mean, variance])

    def per_channel(self, channels: int) -> str:
        return self.constant(self.generator.normal(size=(channels, 1, 1)))

    def pad(self, x: str, by: int) -> str:
        return self.node("Pad", [x, self.constant(np.array([0, 0, by, by, 0, 0, by, by]))])

    def crop(self, x: str, by: int) -> str:
        bounds = (np.array([by, by]), np.array([-by, -by]), np.array([2, 3]))
        return self.node("Slice", [x, *(self.constant(array) for array in bounds)])

    def model(self, y: str, channels: int) -> onnx.ModelProto:
        ends = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, ["n", count, f"h{name}", f"w{name}"])
            for name, count in (("x", self.channels), (y, channels))
        ]
        graph = onnx.helper.make_graph(self.nodes, "test", ends[:1], ends[1:], self.constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return model


def merged(model: onnx.ModelProto) -> tuple[onnx.ModelProto, MergeAffine]:
    graph_pass, result = MergeAffine(), ir.from_proto(model)
    graph_pass(result)
    return ir.to_proto(result), graph_pass


def assert_same(before: onnx.ModelProto, after: onnx.ModelProto, channels: int) -> None:
    onnx.checker.check_model(after, full_check=True)
    for size in SIZES:
        x = np.random.default_rng(1).normal(size=(1, channels, *size))
        (expected,), (result,) = (ReferenceEvaluator(model).run(None, {"x": x}) for model in (before, after))
        assert result.shape == expected.shape
        assert np.abs(result - expected).max() <= BLOCK_BOUND * max(1, np.abs(expected).max())


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def conv3xc(b: Builder, x: str) -> str:
    """SPAN: 1x1, 3x3, 1x1 on an image that is padded first, and a 1x1 beside them."""
    inner = b.conv(b.conv(b.conv(b.pad(x, 1), 6, 12, 1), 12, 12, 3), 12, 6, 1)
    return b.node("Add", [inner, b.conv(x, 6, 6, 1)])


def repvgg(b: Builder, x: str) -> str:
    """3x3 and 1x1 without biases and the identity, each with a batch norm."""
    first = b.batch_norm(b.conv(x, 6, 6, 3, 1, bias=False), 6)
    second = b.batch_norm(b.conv(x, 6, 6, 1, bias=False), 6)
    return b.node("Add", [b.node("Add", [first, second]), b.batch_norm(x, 6)])


def edge_block(b: Builder, x: str) -> str:
    """ECBSR: a 1x1, then fixed filters with one scale and offset for each channel, beside a 3x3."""
    filtered = b.conv(b.conv(b.pad(x, 1), 6, 6, 1), 6, 6, 3, group=6, bias=False)
    scaled = b.node("Add", [b.node("Mul", [filtered, b.per_channel(6)]), b.per_channel(6)])
    return b.node("Sum", [scaled, b.conv(x, 6, 6, 3, 1), x])


def cropped_skip(b: Builder, x: str) -> str:
    """RT4KSR: the skip around the 3x3 is cropped, as the 1x1 before it was padded."""
    wide = b.conv(b.pad(x, 1), 6, 12, 1)
    inner = b.node("Add", [b.conv(wide, 12, 12, 3), b.crop(wide, 1)])
    return b.node("Add", [b.conv(inner, 12, 6, 1), x])


@pytest.mark.parametrize("block", [conv3xc, repvgg, edge_block, cropped_skip])
def test_blocks_of_published_networks_become_one_convolution(block: Callable[[Builder, str], str]) -> None:
    b = Builder(6)
    y = b.node("Sigmoid", [block(b, b.node("Relu", ["x"]))])
    before = b.model(y, 6)
    after, graph_pass = merged(before)
    assert kinds(after) == ["Relu", "Conv", "Sigmoid"]
    assert_same(before, after, 6)
    (merge,) = graph_pass.merges
    assert merge.kernel == (3, 3)
    assert merge.error <= BLOCK_BOUND
    # Every channel at every position of 5x5, 1x1, 1x5 and 5x1, and zero of each.
    assert merge.impulses == 6 * (25 + 1 + 5 + 5) + 4
    assert merge.merged == 6 * 6 * 9
    assert not graph_pass.refusals


def test_zeros_padded_after_a_bias_are_refused_with_their_place() -> None:
    b = Builder(1)
    one = b.node("Conv", ["x", b.constant(np.ones((1, 1, 1, 1))), b.constant(np.ones(1))])
    y = b.node("Conv", [one, b.constant(np.ones((1, 1, 3, 3)))], pads=[1] * 4)
    before = b.model(y, 1)
    after, graph_pass = merged(before)
    assert after.graph.node == before.graph.node
    # A pixel alone: the 3x3 sees the bias once, where the one convolution would add it nine times. The largest response
    # is that to an impulse: 1 + 1.
    (refusal,) = graph_pass.refusals
    assert "at row 0, column 0, channel 0 of a 1x1 input it differs by 4.0e+00" in refusal


def test_without_a_bias_the_same_chain_is_merged() -> None:
    b = Builder(4)
    before = b.model(b.conv(b.conv("x", 4, 8, 1, bias=False), 8, 4, 3, pad=1), 4)
    after, _ = merged(before)
    assert kinds(after) == ["Conv"]
    assert_same(before, after, 4)


def test_a_larger_kernel_that_costs_more_is_no_gain() -> None:
    b = Builder(4)
    before = b.model(b.conv(b.conv("x", 4, 4, 3, bias=False), 4, 4, 3), 4)
    after, graph_pass = merged(before)
    assert kinds(after) == ["Conv", "Conv"]  # 5x5: 25 multiply-adds for 18
    assert not graph_pass.merges


def test_what_others_read_stays() -> None:
    """A tensor inside the region that is read elsewhere keeps its nodes, so that merging would save nothing."""
    b = Builder(4)
    middle = b.conv("x", 4, 8, 1, bias=False)
    y = b.node("Add", [b.conv(middle, 8, 4, 3, pad=1), b.conv(b.node("Relu", [middle]), 8, 4, 1)])
    before = b.model(y, 4)
    after, graph_pass = merged(before)
    # 4x4x9 is less than 8x4x9, though the 1x1 stays for the other reader.
    assert kinds(after) == ["Conv", "Conv", "Relu", "Conv", "Add"]
    assert [merge.removed for merge in graph_pass.merges] == [8 * 4 * 9]
    assert_same(before, after, 4)


def test_a_float32_graph_gets_float32_weights_rounded_once() -> None:
    b = Builder(4)
    exact = b.model(b.conv(b.conv("x", 4, 8, 1, bias=False), 8, 4, 3, pad=1), 4)
    model = onnx.ModelProto()
    model.CopyFrom(exact)
    for index, tensor in enumerate(exact.graph.initializer):
        model.graph.initializer[index].CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
        )
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    after, _ = merged(model)
    first, second, _ = (numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer)
    exact_weight = np.einsum("omyx,mi->oiyx", second, first[:, :, 0, 0])
    weight = next(numpy_helper.to_array(t) for t in after.graph.initializer if t.dims == [4, 4, 3, 3])
    assert weight.dtype == np.float32
    assert np.abs(weight - exact_weight).max() <= 2.0**-24 * np.abs(exact_weight).max()


def test_a_channel_mean_that_is_subtracted_goes_into_the_convolution() -> None:
    b = Builder(3)
    features = b.conv("x", 3, 8, 3, pad=1)
    mean = b.node("ReduceMean", [features, b.constant(np.array([1]))])
    before = b.model(b.node("Relu", [b.node("Sub", [features, mean])]), 8)
    after, _ = merged(before)
    assert kinds(after) == ["Conv", "Relu"]
    assert_same(before, after, 3)


def test_reflected_borders_are_not_zeros() -> None:
    b = Builder(3)
    padded = b.node("Pad", ["x", b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))], mode="reflect")
    before = b.model(b.conv(b.conv(padded, 3, 8, 1, bias=False), 8, 3, 3), 3)
    after, _ = merged(before)
    assert kinds(after) == ["Pad", "Conv"]  # only what follows the padding


STEPS: dict[str, Callable[[Builder, str], str]] = {
    "one": lambda b, y: b.conv(y, 4, 4, 1),
    "three": lambda b, y: b.conv(b.pad(y, 1), 4, 4, 3),
    "group": lambda b, y: b.conv(y, 4, 4, 3, pad=1, group=2),
    "norm": lambda b, y: b.batch_norm(y, 4),
    "scale": lambda b, y: b.node("Mul", [y, b.per_channel(4)]),
    "offset": lambda b, y: b.node("Sub", [b.per_channel(4), y]),
    "negative": lambda b, y: b.node("Neg", [y]),
    "skip": lambda b, y: b.node("Add", [b.conv(y, 4, 4, 3, pad=1), y]),
    "pad": lambda b, y: b.crop(b.conv(b.pad(y, 2), 4, 4, 3), 1),
    "mean": lambda b, y: b.node("Sub", [y, b.node("ReduceMean", [y, b.constant(np.array([1]))])]),
    "concat": lambda b, y: b.conv(b.node("Concat", [y, b.conv(y, 4, 4, 1)], axis=1), 8, 4, 1),
}


@settings(max_examples=20, deadline=None)
@example(["pad", "concat", "pad", "pad"], 0)  # a region that crops before it pads
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=4), st.integers(0, 1000))
def test_any_chain_keeps_its_function(steps: list[str], seed: int) -> None:
    b = Builder(4, seed)
    y = "x"
    for step in steps:
        y = STEPS[step](b, y)
    before = b.model(y, 4)
    after, graph_pass = merged(before)
    assert_same(before, after, 4)
    assert all(merge.error <= BLOCK_BOUND for merge in graph_pass.merges)


def test_rt4ksr_in_training_form_gets_the_kernels_that_its_own_merge_computes() -> None:
    exact = network().double()
    names = ReadableNames()
    unfused = ir.from_proto(kept_trace(exact, DEFAULT_OPSET))
    names(unfused)
    before = ir.to_proto(unfused)
    after, graph_pass = merged(before)
    blocks = mergeable_blocks(exact)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in after.graph.initializer}
    spatial = [merge for merge in graph_pass.merges if len(merge.nodes) > 3]
    assert len(spatial) == len(blocks) == 3
    for merge, block in zip(spatial, blocks.values(), strict=True):
        for leaf, expected in zip(("weight", "bias"), merged_kernel(block), strict=True):
            reference = expected.numpy()
            assert np.abs(weights[f"{merge.name}.{leaf}"] - reference).max() <= 1e-12 * np.abs(reference).max()
    x = np.random.default_rng(0).random((1, 3, 14, 22))
    expected = float64_function(before)(x)
    assert np.abs(float64_function(after)(x) - expected).max() <= 1e-12 * np.abs(expected).max()

"""The native engine against float64 and against itself: every operator, size, target, number of threads and bands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native.graphs import Builder
from native.networks import NETWORKS, exact_gelu, float64, gated
from native.reference import Reference
from native.running import Native

from toolkit.native.program import Convolution, Stage, WinogradConvolution
from toolkit.native.winograd import avoided_multiply_adds
from toolkit.sizes import SizeRule
from toolkit.workloads import Shape

SIZES = [(4, 4), (4, 34), (6, 10), (30, 6), (22, 70), (10, 262)]
TOLERANCE = 1e-5
CACHE_BYTES = 3 << 20
"""What line buffers may grow to before the width is divided into parts."""


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest, native: Callable[..., Native]) -> Native:
    model, scale = NETWORKS[request.param]
    return native(model(), scale)


def check(got: np.ndarray, exact: np.ndarray) -> None:
    """Within rounding of float64; bytes within one grey level, and nearly always the same."""
    if got.dtype == np.uint8:
        difference = np.abs(got.astype(int) - exact.astype(int))
        assert difference.max() <= 1
        assert difference.mean() < 1e-3
    else:
        np.testing.assert_allclose(got, exact, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_operator_at_every_kind_of_size(size: tuple[int, int], network: Native) -> None:
    frame = network.noise(*size)
    check(network.run(frame), float64(onnx.load(network.artifact.path))(frame))


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64-v4"])
def test_all_targets_compute_the_same_bits(target: str, network: Native) -> None:
    """NEON too: test_programs.py. What VNNI and BF16 add does not touch float32: test_precisions.py."""
    for size in ((6, 10), (22, 70)):
        frame = network.noise(*size)
        np.testing.assert_array_equal(network.run(frame, target), network.run(frame, "scalar"))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(2, 40).map(lambda half: 2 * half),
    width=st.integers(2, 40).map(lambda half: 2 * half),
    threads=st.integers(1, 5),
    cuts=st.sets(st.integers(1, 39), max_size=5),
)
def test_threads_and_bands_change_no_bit(
    height: int, width: int, threads: int, cuts: set[int], network: Native
) -> None:
    frame = network.noise(height, width)
    whole = network.run(frame)
    np.testing.assert_array_equal(network.run(frame, threads=threads), whole)
    engine, banded = network.library().engine(height, width, 1), network.empty(frame)
    bounds = [0, *sorted(2 * cut for cut in cuts if 2 * cut < height), height]
    for first, last in pairwise(bounds):
        engine.run_rows(frame, banded, first, last - first)
    np.testing.assert_array_equal(banded, whole)


def test_parts_of_the_width_change_no_bit(network: Native) -> None:
    """As wide frames are computed, whose rows would not stay in the cache."""
    for width in (4, 10, 74):
        frame = network.noise(14, width)
        np.testing.assert_array_equal(network.run(frame, threads=2, tile_columns=5), network.run(frame))


def test_odd_and_tiny_sizes(native: Callable[..., Native]) -> None:
    network = native(gated(), 3, SizeRule(1, 1))
    exact = float64(onnx.load(network.artifact.path))
    for size in ((1, 1), (1, 9), (13, 2), (31, 67)):
        frame = network.noise(*size)
        check(network.run(frame), exact(frame))
        np.testing.assert_array_equal(network.run(frame, threads=3, tile_columns=7), network.run(frame))


@pytest.mark.parametrize("operator", ["Sigmoid", "Tanh", "SiLU"])
def test_gates_are_exact_to_a_few_units_in_the_last_place(operator: str, native: Callable[..., Native]) -> None:
    """Relative to the value, also where it is near zero or beyond what exp can represent."""
    b = Builder(0)
    x = b.node("Sub", "input", b.constant(np.float32(0)))
    y = b.node("Mul", x, b.node("Sigmoid", x)) if operator == "SiLU" else b.node(operator, x)
    eye = b.constant(np.repeat(np.eye(3, dtype=np.float32), 4, 0).reshape(12, 3, 1, 1))
    network = native(b.model(b.shuffled(b.node("Conv", y, eye), 2)))
    values = np.concatenate([np.linspace(-85, 85, 40_000), np.geomspace(1e-20, 1, 1000), [-1e30, -500, 0, 500, 1e30]])
    frame = np.zeros(3 * 64 * 214, np.float32)
    frame[: values.size] = values
    frame = frame.reshape(1, 3, 64, 214)
    x64 = frame.astype(np.float64)
    with np.errstate(over="ignore"):
        gate = 1 / (1 + np.exp(-x64))
    exact = {"Sigmoid": gate, "Tanh": np.tanh(x64), "SiLU": x64 * gate}[operator]
    got = network.run(frame)[:, :, ::2, ::2]
    inside = np.abs(frame) < 87
    np.testing.assert_allclose(got[inside], exact[inside], rtol=4e-7, atol=0)
    np.testing.assert_allclose(got[~inside], exact[~inside], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(network.run(frame, "x86-64-v3"), network.run(frame, "scalar"))


def test_winograds_method_is_about_as_exact_as_plain_sums(native: Callable[..., Native]) -> None:
    """Its error, compared with float64, is at most twice that of sums in float32 of one term after the other."""
    b = Builder(0)
    features = b.conv(b.node("PRelu", b.conv("input", 3, 64, 1), b.constant(b.uniform(64, 1, 1))), 64, 64, 3)
    network = native(b.model(b.shuffled(b.conv(features, 64, 12, 1), 2)))
    frame = network.noise(14, 22)
    assert avoided_multiply_adds(network.program, Shape(14, 22)) == (9 - 4) * 64 * 64 * 14 * 22
    exact = float64(onnx.load(network.artifact.path))(frame)
    program = replace(network.program, stages=[plainly(stage) for stage in network.program.stages])
    assert program.stages != network.program.stages
    errors = [np.sqrt(np.mean((got - exact) ** 2)) for got in (network.run(frame), Reference(program).run(frame))]
    assert 0 < errors[0] < 2 * errors[1]
    np.testing.assert_array_equal(network.run(frame), Reference(network.program).run(frame))


def plainly(stage: Stage) -> Stage:
    """A stage, without Winograd's method."""
    if not isinstance(stage.origin, WinogradConvolution):
        return stage
    source = replace(stage.origin.source, rows=(-1, 1), columns=(-1, 1))
    return replace(stage, origin=Convolution(source, "float", stage.origin.weight, stage.origin.bias))


def test_upsampling_by_pytorchs_and_by_onnxs_own_rule_is_the_same(native: Callable[..., Native]) -> None:
    b = Builder(0)
    factors = b.constant(np.array([1, 1, 3, 3], np.float32))
    x = b.node("Add", b.shuffled(b.conv("input", 3, 27, 3), 3), b.node("Resize", "input", "", factors))
    network = native(b.model(x), 3)
    frame = network.noise(6, 8)
    check(network.run(frame), float64(onnx.load(network.artifact.path))(frame))


@pytest.mark.parametrize("tanh", [False, True])
def test_gelu_is_exact_to_half_a_millionth(tanh: bool, native: Callable[..., Native]) -> None:
    b = Builder(0)
    gelu = b.node("Gelu", "input", approximate="tanh" if tanh else "none")
    x = b.node("Conv", gelu, b.constant(np.repeat(np.eye(3, dtype=np.float32), 4, 0).reshape(12, 3, 1, 1)))
    network = native(b.model(b.node("DepthToSpace", x, blocksize=2, mode="CRD")))
    frame = np.linspace(-9, 9, 3 * 64 * 512, dtype=np.float32).reshape(1, 3, 64, 512)
    exact = exact_gelu(frame.astype(np.float64), tanh=tanh)
    assert np.abs(network.run(frame)[:, :, ::2, ::2] - exact).max() < 5e-7


def test_working_memory_does_not_grow_with_height(network: Native) -> None:
    library = network.library()
    low, high = (library.engine(height, 128, 1).working_bytes for height in (16, 4096))
    assert 0 < low == high
    narrow, wide = (library.engine(16, width, 1).working_bytes for width in (7680, 15360))
    assert wide < max(1.2 * narrow, CACHE_BYTES)


KINDS = ("norm", "gelu", "leaky", "conv", "depthwise", "residual", "affine", "prelu", "silu", "gate", "concat")


def extended(draw: st.DrawFn, b: Builder, x: str, channels: int) -> tuple[str, int]:
    """A tensor after one more layer, and its channels."""
    kind, wider = draw(st.sampled_from(KINDS)), draw(st.integers(1, 29))
    if kind == "norm" and channels > 2:
        return b.norm(x, channels, centre=draw(st.booleans())), channels
    if kind == "conv":
        return b.conv(x, channels, wider, draw(st.sampled_from([1, 3]))), wider
    if kind == "concat":
        return b.node("Concat", b.conv(x, channels, wider, 3), x, axis=1), wider + channels
    layers: dict[str, Callable[[], str]] = {
        "gelu": lambda: b.node("Gelu", x),
        "leaky": lambda: b.node("LeakyRelu", x, alpha=0.2),
        "prelu": lambda: b.node("PRelu", x, b.constant(b.uniform(channels, 1, 1))),
        "silu": lambda: b.node("Mul", x, b.node("Sigmoid", x)),
        "gate": lambda: b.node("Mul", b.node("Tanh", b.conv(x, channels, channels, 1)), x),
        "depthwise": lambda: b.conv(x, channels, channels, 3, group=channels),
        "residual": lambda: b.node(draw(st.sampled_from(["Add", "Sub"])), b.conv(x, channels, channels, 3), x),
        "affine": lambda: b.node("Add", x, b.constant(b.uniform(channels, 1, 1))),
    }
    return layers.get(kind, layers["affine"])(), channels


@st.composite
def graphs(draw: st.DrawFn) -> tuple[onnx.ModelProto, int]:
    """Random chains of what the engine takes."""
    b = Builder(draw(st.integers(0, 1000)))
    scale, strides = draw(st.sampled_from([(2, 1), (2, 2), (3, 1), (3, 2), (4, 1)]))
    channels = draw(st.integers(1, 29))
    kernel = draw(st.sampled_from([1, 3, 5])) * strides
    x = b.conv("input", 3, channels, kernel, stride=strides)
    for _ in range(draw(st.integers(0, 5))):
        x, channels = extended(draw, b, x, channels)
    x = b.shuffled(b.conv(x, channels, 3 * (scale * strides) ** 2, 3), scale * strides)
    return b.model(b.node("Add", x, b.enlarged("input", scale)) if draw(st.booleans()) else x), scale


@pytest.mark.slow
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs(), height=st.integers(2, 20), width=st.integers(2, 50), threads=st.integers(1, 3))
def test_random_graphs(
    graph: tuple[onnx.ModelProto, int], height: int, width: int, threads: int, native: Callable[..., Native]
) -> None:
    model, scale = graph
    network = native(model, scale)
    frame = network.noise(2 * height, 2 * width)
    np.testing.assert_allclose(network.run(frame, threads=threads), float64(model)(frame), rtol=0, atol=2e-5)

"""Lower precisions against float64, PyTorch's own half types, and each other."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from samples import checkpoint, network

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import CheckFailed, InputError, Unavailable
from toolkit.graph.analysis.nodes import list_nodes
from toolkit.graph.any_size import without_size_check
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.base import Bounds
from toolkit.graph.precision.convert import convert
from toolkit.graph.precision.lower import LowerPrecision
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.quantise import QuantiseConvs
from toolkit.graph.precision.registry import find_target, split_options
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.fusion import fuse
from toolkit.network.module import numpy_function
from toolkit.workloads import Shape

PRECISIONS = ("fp16", "bf16", "int8")
FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}


@pytest.fixture(scope="module")
def converted(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    directory = tmp_path_factory.mktemp("converted")
    return {precision: convert(small_artifact, precision, directory=directory) for precision in PRECISIONS}


def noise(height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(3).random((1, 3, height, width), np.float32)


def run(artifact: Artifact, frame: np.ndarray) -> np.ndarray:
    (result,) = ReferenceEvaluator(onnx.load(artifact.path)).run(None, {"input": frame})
    return result


def constants(artifact: Artifact) -> dict[str, np.ndarray]:
    return {item.name: onnx.numpy_helper.to_array(item) for item in onnx.load(artifact.path).graph.initializer}


def value_types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in inferred.graph.initializer}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_is_valid_and_named_after_itself(precision: str, converted: dict[str, Artifact]) -> None:
    artifact = converted[precision]
    model = onnx.load(artifact.path)
    onnx.checker.check_model(model, full_check=True)
    assert artifact.path.name == f"rt4ksr_x2_c6b2_{precision}.onnx"
    assert Artifact.read(artifact.path).manifest.precision == precision
    assert {item.key: item.value for item in model.metadata_props}["rt4ksr.precision"] == precision
    assert [entry.domain for entry in model.opset_import] == [""]
    assert model.opset_import[0].version == (22 if precision == "bf16" else 20)
    ends = [model.graph.input[0], model.graph.output[0]]
    assert all(end.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for end in ends)


@pytest.fixture(scope="module")
def lowered(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Nothing stays in float32."""
    directory, nothing = tmp_path_factory.mktemp("lowered"), ConvertOptions(keep_fp32=())
    return {precision: convert(small_artifact, precision, nothing, directory) for precision in ("fp16", "bf16")}


@pytest.mark.parametrize(("precision", "kind"), [("fp16", "FLOAT16"), ("bf16", "BFLOAT16")])
def test_what_lies_between_convolutions_stays_in_float32(
    precision: str, kind: str, converted: dict[str, Artifact]
) -> None:
    model = without_size_check(onnx.load(converted[precision].path))
    types = value_types(model)
    for node in model.graph.node:
        if node.op_type != "Cast":
            wanted = kind if node.op_type == "Conv" else "FLOAT"
            assert {types[name] for name in node.input if types.get(name) in FLOATS} == {
                onnx.TensorProto.DataType.Value(wanted)
            }
    assert converted[precision].manifest.conversion is not None
    assert converted[precision].manifest.conversion.kept_fp32 == ("between",)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_that_is_much_better_than_nothing_in_float32(
    precision: str, converted: dict[str, Artifact], lowered: dict[str, Artifact]
) -> None:
    truth = numpy_function(network(), "float64")(noise()).clip(0, 1)
    errors = [np.abs(run(made[precision], noise()) - truth).mean() for made in (converted, lowered)]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize(("precision", "kind"), [("fp16", "FLOAT16"), ("bf16", "BFLOAT16")])
def test_half_types_are_strongly_typed(precision: str, kind: str, lowered: dict[str, Artifact]) -> None:
    """No node mixes floating-point types, no weight is left in float32, and casts stand only at the ends."""
    model = onnx.load(lowered[precision].path)
    types = value_types(model)
    for node in model.graph.node:
        if node.op_type != "Cast":
            assert {types[name] for name in node.input if types.get(name) in FLOATS} <= {
                onnx.TensorProto.DataType.Value(kind)
            }
    assert [node.op_type for node in model.graph.node].count("Cast") == 2
    assert not [tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_types_agree_with_pytorchs(precision: str, dtype: torch.dtype, lowered: dict[str, Artifact]) -> None:
    """Two implementations of the same arithmetic are about as far from the truth as each other."""
    fused = fuse(network()).to(dtype)
    with torch.inference_mode():
        theirs = fused(torch.from_numpy(noise()).to(dtype)).float().numpy()
    truth = numpy_function(network(), "float64")(noise()).clip(0, 1)
    ours, other = (np.abs(result - truth).mean() for result in (run(lowered[precision], noise()), theirs))
    assert 0.5 * other < ours < 2 * other
    assert ours > 1e-5  # float32 would be a hundred times closer


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_manifest_has_the_error_against_float64(precision: str, converted: dict[str, Artifact]) -> None:
    manifest = converted[precision].manifest
    checks = {check.kind: check for check in manifest.checks if check.subject == precision}
    assert 0 < checks["mean error"].measured <= checks["mean error"].bound
    # In int8 a single value may be off by any amount: a bound on it would be none.
    assert ("largest error" in checks) == (precision != "int8")
    if precision != "int8":
        assert checks["mean error"].measured < checks["largest error"].measured <= checks["largest error"].bound
    assert manifest.conversion is not None
    assert len(manifest.conversion.parent_sha256) == 64
    words = {"fp16": "centred", "bf16": "rounded together", "int8": "ranges by error"}
    assert manifest.conversion.calibration.startswith("images of the toolkit")
    assert words[precision] in manifest.conversion.calibration


def test_precisions_lose_in_the_expected_order(converted: dict[str, Artifact]) -> None:
    truth = numpy_function(network(), "float64")(noise()).clip(0, 1)
    errors = [np.abs(run(converted[precision], noise()) - truth).mean() for precision in PRECISIONS]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("keep", ["norm", "body.0.norm", "tail.conv"])
def test_nodes_can_stay_in_float32(keep: str, small_artifact: Artifact, tmp_path: Path) -> None:
    artifact = convert(small_artifact, "fp16", ConvertOptions(keep_fp32=(keep,)), tmp_path)
    model = onnx.load(artifact.path)
    types = value_types(model)
    kept = {
        node.name
        for node in model.graph.node
        if node.op_type != "Cast" and types[node.output[0]] == onnx.TensorProto.FLOAT
    }
    if keep != "tail.conv":
        kept -= {"head.mean"}  # a convolution that only a norm in float32 reads is centred
    assert kept
    expected = ".norm." if keep == "norm" else keep
    assert all(expected in name for name in kept)
    everything = {node.name for node in model.graph.node if node.op_type != "Cast" and expected in node.name}
    assert kept == everything
    assert artifact.manifest.conversion is not None
    assert artifact.manifest.conversion.kept_fp32 == (keep,)
    np.testing.assert_allclose(
        run(artifact, noise()), numpy_function(network(), "float64")(noise()).clip(0, 1), atol=0.05
    )


def test_weights_that_half_cannot_hold_are_reported(tmp_path: Path) -> None:
    source = checkpoint()
    with torch.no_grad():
        source.network.upsample.weight[0, 0, 0, 0] = 1e-9
    artifact = export(source, directory=tmp_path)
    (note,) = convert(artifact, "fp16").manifest.notes
    assert note == "fp16: node upsample, upsample.weight: 1 of 2592 lost to zero"
    assert not convert(artifact, "bf16").manifest.notes


def test_weights_out_of_range_are_counted() -> None:
    graph_pass = LowerPrecision(ir.DataType.FLOAT16)
    graph_pass._note_losses(("n", "w"), np.array([1e5, 1.0], np.float32), np.array([np.inf, 1.0]))
    assert graph_pass.losses == {("n", "w"): "1 out of range"}


def test_weights_out_of_range_are_named_in_the_refusal(tmp_path: Path) -> None:
    """Infinite weights make no number, whatever was measured."""
    source = checkpoint()
    with torch.no_grad():
        source.network.upsample.weight[0, 0, 0, 0] = 1e5
    artifact = export(source, directory=tmp_path / "fp32")
    with pytest.raises(CheckFailed, match=r"is nan, .*\n  fp16: node upsample, upsample.weight: 1 out of range"):
        convert(artifact, "fp16", directory=tmp_path / "fp16")
    assert not (tmp_path / "fp16").exists()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_uint8_images(precision: str, layout: str, tmp_path: Path) -> None:
    fp32 = export(checkpoint(), ExportOptions(uint8=layout), tmp_path)
    artifact = convert(fp32, precision)
    assert artifact.path.name == f"rt4ksr_x2_c6b2_{precision}_uint8-{layout.lower()}.onnx"
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 16, 18), np.uint8)
    fed = image if layout == "NCHW" else np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    result = run(artifact, fed)
    result = result if layout == "NCHW" else result.transpose(0, 3, 1, 2)
    truth = np.rint(numpy_function(network(), "float64")(image / 255).clip(0, 1) * 255)
    assert result.dtype == np.uint8
    assert np.abs(result - truth).mean() < {"fp16": 0.5, "bf16": 4, "int8": 30}[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_live_branch_and_a_static_size(precision: str, tmp_path: Path) -> None:
    config = NetworkConfig(scale=3, channels=5, blocks=1, hidden=7, stem="gaussian")
    fp32 = export(checkpoint(config), ExportOptions(shape=Shape(20, 28)), tmp_path)
    artifact = convert(fp32, precision)
    result = run(artifact, noise(20, 28))
    assert result.shape == (1, 3, 60, 84)
    truth = numpy_function(network(config), "float64")(noise(20, 28)).clip(0, 1)
    assert np.abs(result - truth).mean() < {"fp16": 2e-3, "bf16": 2e-2, "int8": 0.15}[precision]


# int8


def test_int8_reads_integers_on_both_sides(converted: dict[str, Artifact]) -> None:
    model = onnx.load(converted["int8"].path)
    producers = {name: node for node in model.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convs) == 5
    for conv in convs:
        activation, weight = (producers[name] for name in conv.input[:2])
        assert activation.op_type == weight.op_type == "DequantizeLinear"
        assert producers[activation.input[0]].op_type == "QuantizeLinear"
        stored, scale, zero = (onnx.numpy_helper.to_array(tensors[name]) for name in weight.input)
        assert stored.dtype == zero.dtype == np.int8
        # Two products of a byte and a weight fit into 16 bits, and the range is used.
        pairs = np.sort(np.abs(stored.reshape(len(stored), -1).astype(int)))[:, -2:].sum(axis=1)
        assert pairs.max() * 255 < 1 << 15
        assert pairs.min() >= 126
        assert scale.shape == (stored.shape[0],)
        assert not zero.any()
        assert tensors[conv.input[2]].data_type == onnx.TensorProto.FLOAT


def test_int8_weights_are_the_nearest_steps(small_artifact: Artifact) -> None:
    model = onnx.load(small_artifact.path)
    ranges = {node.input[0]: 1.0 for node in model.graph.node}
    quantised = QuantiseConvs(ranges).rewritten(model)
    exact, stored = (
        {item.name: onnx.numpy_helper.to_array(item) for item in graph.graph.initializer}
        for graph in (model, quantised)
    )
    scale = stored["tail.conv.weight.int8.scale"][:, None, None, None]
    distance = stored["tail.conv.weight.int8"] * scale - exact["tail.conv.weight"]
    assert np.abs(distance).max() <= 0.5001 * scale.max()


def test_convolutions_can_be_excluded(small_artifact: Artifact, converted: dict[str, Artifact], tmp_path: Path) -> None:
    artifact = convert(small_artifact, "int8", ConvertOptions(exclude=("head", "upsample")), tmp_path)
    producers = {name: node.op_type for node in onnx.load(artifact.path).graph.node for name in node.output}
    convs = {node.name: node for node in onnx.load(artifact.path).graph.node if node.op_type == "Conv"}
    assert {name for name, conv in convs.items() if producers.get(conv.input[0]) != "DequantizeLinear"} == {
        "head",
        "upsample",
    }
    # The others have the ranges and weights that they have without exclusions.
    for name in ("tail.conv", "body.0.conv"):
        mixed, plain = (integers_of(item, name) for item in (artifact, converted["int8"]))
        np.testing.assert_array_equal(mixed, plain)


def integers_of(artifact: Artifact, conv: str) -> np.ndarray:
    """The int8 weight of a convolution."""
    stored = {tensor.name: tensor for tensor in onnx.load(artifact.path).graph.initializer}
    return onnx.numpy_helper.to_array(stored[f"{conv}.weight.int8"])


# Refusals


@pytest.mark.parametrize(
    ("precision", "options", "message"),
    [
        ("fp32", ConvertOptions(), "nothing to convert"),
        ("int8", ConvertOptions(keep_fp32=("norm",)), "keep-fp32 applies to fp16 and bf16, not to int8"),
        ("fp16", ConvertOptions(exclude=("head",)), "exclude applies to int8, not to fp16"),
        ("bf16", ConvertOptions(calibration=Path("x")), "calibration applies to int8"),
        ("fp16", ConvertOptions(method="entropy"), "method applies to int8"),
        ("fp16", ConvertOptions(percentile=99), "percentile applies to int8"),
        ("int8", ConvertOptions(method="entropy", percentile=99), "goes with method percentile, not entropy"),
        ("fp16", ConvertOptions(keep_fp32=("body.9",)), "no node is called 'body.9'"),
        ("int8", ConvertOptions(exclude=("body.9.conv",)), r"no convolution \['body.9.conv'\]"),
        ("int8", ConvertOptions(method="percentile", percentile=20), "not between"),
        ("int8", ConvertOptions(calibration=Path("missing")), "not a directory"),
    ],
)
def test_bad_requests(
    precision, options: ConvertOptions, message: str, small_artifact: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        convert(small_artifact, precision, options, tmp_path)
    assert not list(tmp_path.iterdir())


def test_options_go_to_the_precisions_they_are_for() -> None:
    given = ConvertOptions(keep_fp32=("norm",), exclude=("head",), method="entropy")
    shared = split_options(given, ["fp16", "int8"])
    assert shared == {
        "fp16": ConvertOptions(keep_fp32=("norm",)),
        "int8": ConvertOptions(exclude=("head",), method="entropy", keep_fp32=()),
    }


def test_nodes_are_listed_by_the_names_that_options_take(converted: dict[str, Artifact]) -> None:
    nodes = {node.name: node for node in list_nodes(converted["fp16"])}
    assert (nodes["upsample"].operator, nodes["upsample"].dtype) == ("Conv", "FLOAT16")
    assert (nodes["upsample.mean"].operator, nodes["upsample.mean"].dtype) == ("Add", "FLOAT")
    assert len(nodes) == len(onnx.load(converted["fp16"].path).graph.node)


def test_a_fixed_odd_size_is_refused(tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(shape=Shape(7, 10)), tmp_path)
    with pytest.raises(InputError, match="fixed size that is extended inside the graph"):
        convert(artifact, "fp16")


def test_only_fp32_is_converted(converted: dict[str, Artifact]) -> None:
    with pytest.raises(InputError, match="only fp32 artifacts"):
        convert(converted["fp16"], "bf16")


def test_a_conversion_that_breaks_the_function_is_caught(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find_target("bf16"), "bounds", Bounds(1e-4, 1e-5))
    with pytest.raises(CheckFailed, match="bf16: the largest error against float64"):
        convert(small_artifact, "bf16", directory=tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_conversions_give_the_same_bytes(small_artifact: Artifact, tmp_path: Path) -> None:
    for precision in PRECISIONS:
        contents = [
            convert(small_artifact, precision, directory=tmp_path / str(turn)).path.read_bytes() for turn in range(2)
        ]
        assert contents[0] == contents[1]


def test_what_runs_is_read_back(converted: dict[str, Artifact]) -> None:
    """ONNX Runtime stores fp16 and computes fp32 on a processor; int8 convolutions really are int8."""
    ran = {
        precision: {
            node.precision for node in toolkit.load_session(converted[precision], "ort-cpu").executed().values()
        }
        for precision in ("fp16", "int8")
    }
    assert "fp32" in ran["fp16"]
    assert "int8" in ran["int8"]
    with pytest.raises(Unavailable, match="NOT_IMPLEMENTED"):
        toolkit.load_session(converted["bf16"], "ort-cpu")

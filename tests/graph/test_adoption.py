"""Adoption of ONNX files from elsewhere: contracts that are known because the graphs were made by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from foreign_graphs import Graph, contract_of, here
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from samples import DATA, needs_data

from toolkit.artifact import Artifact
from toolkit.cli.export import describe_checks
from toolkit.errors import OutputExists, Unavailable
from toolkit.findings import Fact
from toolkit.graph.adoption.adopt import AdoptOptions, adopt
from toolkit.graph.adoption.adopting import adopted
from toolkit.graph.adoption.contract import measured_contract
from toolkit.graph.adoption.ends import Ends
from toolkit.graph.adoption.normalising import normalised
from toolkit.graph.adoption.reading import read_graph
from toolkit.graph.adoption.stated import Stated
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.any_size import without_size_check
from toolkit.graph.precision.calibration import calibration_images
from toolkit.images import read_rgb
from toolkit.media.upscaler import FrameUpscaler
from toolkit.runtimes.subject import Subject, load_session
from toolkit.sizes import SizeRule
from toolkit.workloads import Shape


def finding(artifact: Artifact, fact: Fact) -> str:
    return next(found.value for found in artifact.manifest.source.findings if found.fact == fact)


@pytest.mark.parametrize(
    "graph",
    [
        Graph(),
        Graph(scale=1, black=0, white=255),
        Graph(scale=3, layout="NHWC", multiple=4),
        Graph(scale=4, multiple=8),
        Graph(scale=8, kind=TensorProto.FLOAT16, limited=False),
        Graph(scale=2, channels=1, opset=13),
        Graph(scale=2, sizes=(48, 64), multiple=16),
    ],
    ids=lambda graph: f"x{graph.scale}-{graph.white:g}-{graph.layout}-{graph.channels}",
)
def test_the_contract_is_found(graph: Graph) -> None:
    found = contract_of(graph.model())
    assert found.scale == graph.scale
    assert found.input.value_range == found.output.value_range == (graph.black, graph.white)
    assert found.input.layout == found.output.layout == graph.layout
    assert found.input.channels == graph.channels
    assert found.input.order == ("Y" if graph.channels == 1 else "RGB")
    assert found.output.clamped == graph.limited
    if graph.sizes == ("h", "w"):
        assert found.sizes == SizeRule(graph.multiple, graph.multiple)
    else:
        assert found.fixed is not None
        assert found.fixed.sides == graph.sizes


def test_ranges_of_input_and_output_may_differ() -> None:
    graph = Graph()
    half = graph.number(0.5)
    found = contract_of(graph.model(lambda x: graph.node("Add", graph.node("Mul", x, half), half)))
    assert (found.input.value_range, found.output.value_range) == ((-1.0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("white", [1.0, 255.0])
@pytest.mark.parametrize("stated", [False, True])
def test_uint8_may_become_floating_point(white: float, stated: bool) -> None:
    """Only the output has values to find: -1..1, which are tried for it, do not fit the input."""
    graph = Graph(limited=False)

    def body(x: str) -> str:
        wide = graph.node("Cast", x, to=TensorProto.FLOAT)
        return graph.sharpened(graph.node("Mul", wide, graph.number(white / 255)))

    model = graph.model(body)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    exact = in_float64(normalised(model, "theirs"))
    options = Stated(value_range=(0.0, white) if stated else None)
    found = measured_contract(Ends.of(exact), float64_function(exact), calibration_images(), options)
    assert (found.input.dtype, found.input.value_range) == ("uint8", (0.0, 255.0))
    assert (found.output.dtype, found.output.value_range) == ("float32", (0.0, white))


def test_bgr_is_found_where_it_is_better() -> None:
    """Colours of a warm picture, and a network that limits its first channel to 0.7: that one must be blue."""
    graph = Graph()

    def limits_first(x: str) -> str:
        most = graph.constant(np.array([0.7, 1, 1], np.float32).reshape(1, 3, 1, 1))
        return graph.node("Min", x, most)

    model = graph.model(limits_first)
    generator = np.random.default_rng(0)
    warm = [
        np.stack([generator.integers(low, high, (128, 128), np.uint8).repeat(2, 0).repeat(2, 1) for low, high in
                  ((120, 250), (60, 180), (0, 80))], axis=-1)
        for _ in range(3)
    ]  # fmt: skip
    exact = in_float64(normalised(model, "theirs"))
    found = measured_contract(Ends.of(exact), float64_function(exact), warm)
    assert found.input.order == found.output.order == "BGR"
    stated = measured_contract(Ends.of(exact), float64_function(exact), warm, Stated(channel_order="RGB"))
    assert stated.input.order == "RGB"
    assert [item.fact for item in stated.findings if item.given] == ["channel order"]


@pytest.mark.parametrize(
    ("graph", "options"),
    [
        (Graph(opset=11, kind=TensorProto.FLOAT), {}),
        (Graph(kind=TensorProto.FLOAT16, opset=17, multiple=4, scale=3), {}),
        (Graph(layout="NHWC", black=0, white=255), {}),
        (Graph(), {"save_as_external_data": True, "location": "theirs.data", "size_threshold": 100}),
    ],
)
def test_the_artifact_computes_what_the_file_does(graph: Graph, options: dict[str, Any], tmp_path: Path) -> None:
    if graph.opset < 13:
        graph.limited = False  # Resize and Clip had other forms, which the version converter need not know
        graph.scale = 1
    path = graph.saved(tmp_path, **options)
    artifact = here(path)
    assert artifact.manifest.name == "theirs_fp32"
    assert all(check.passed for check in artifact.manifest.checks)
    kinds = {check.kind for check in artifact.manifest.checks}
    assert {"graph", "stored constants", "float32 arithmetic", "source file"} <= kinds
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    dtype = helper.tensor_dtype_to_np_dtype(graph.kind)
    generator = np.random.default_rng(1)
    shape = (1, 3, 24, 36) if graph.layout == "NCHW" else (1, 24, 36, 3)
    frame = (graph.black + (graph.white - graph.black) * generator.random(shape)).astype(dtype)
    expected = session.run(None, {"image": frame})[0].astype(np.float64)
    ours = load_session(artifact, "ort-cpu")
    ours.bind(Shape(24, 36))
    result = ours.run(frame.astype(np.float32)).astype(np.float64)
    assert np.abs(result - expected).max() <= graph.white * (2**-9 if dtype == np.float16 else 2**-20)


def test_padding_by_reflection_leaves_the_graph(tmp_path: Path) -> None:
    artifact = here(padded(tmp_path, "reflect"))
    assert artifact.manifest.sizes == SizeRule(4, 4)
    assert finding(artifact, "padding") == "outside the graph: multiples of 4"
    assert "pixels" in finding(artifact, "receptive field")
    operators = [node.op_type for node in onnx.load(artifact.path).graph.node]
    assert not {"Pad", "Mod", "Slice"} & set(operators)
    # What is left of arithmetic on sizes is the check that stands for the padding.
    assert operators[-3:] == ["Shape", "Mul", "Reshape"] and operators.count("Shape") == 1


def test_other_padding_stays_in_the_graph(tmp_path: Path) -> None:
    artifact = here(padded(tmp_path, "constant"))
    assert artifact.manifest.sizes.multiple == 1
    assert finding(artifact, "padding") == "inside the graph"
    assert artifact.manifest.network.receptive_field == "whole frame"
    assert "Pad" in {node.op_type for node in onnx.load(artifact.path).graph.node}


def padded(directory: Path, mode: str) -> Path:
    """A graph that pads its image at the end to multiples of 4, and crops its result, as players' graphs do."""
    graph = Graph(limited=False)

    def body(x: str) -> str:
        shape = graph.node("Shape", x)
        sides = graph.node("Slice", shape, graph.constant(np.array([2])), graph.constant(np.array([4])))
        four = graph.constant(np.array([4]))
        missing = graph.node("Mod", graph.node("Sub", four, graph.node("Mod", sides, four)), four)
        pads = graph.node("Concat", graph.constant(np.zeros(6, np.int64)), missing, axis=0)
        blocks = graph.node("SpaceToDepth", graph.node("Pad", x, pads, mode=mode), blocksize=4)
        return graph.sharpened(graph.node("DepthToSpace", blocks, blocksize=4))

    model = graph.model(body)
    # What Resize makes of the padded image is cropped to twice the size of the image.
    last = model.graph.output[0].name
    crop = [
        helper.make_node("Slice", ["Shape_0", "two", "four"], ["sides"], name="sides"),
        helper.make_node("Mul", ["sides", "twice"], ["large"], name="large"),
        helper.make_node("Slice", [last, "zeros", "large", "axes"], ["cropped"], name="cropped"),
    ]
    model.graph.node.extend(crop)
    for name, values in (("two", [2]), ("four", [4]), ("twice", [2]), ("zeros", [0, 0]), ("axes", [2, 3])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(values), name))
    model.graph.output[0].name = "cropped"
    onnx.checker.check_model(model)
    onnx.save(model, directory / "theirs.onnx")
    return directory / "theirs.onnx"


def test_a_fixed_size_that_nothing_depends_on_becomes_dynamic(tmp_path: Path) -> None:
    """The file is compared at the size that it states, and the contract names it."""
    artifact = here(Graph(sizes=(48, 64)).saved(tmp_path))
    assert artifact.manifest.shape is None
    assert not artifact.manifest.notes
    compared = next(check for check in artifact.manifest.checks if check.kind == "source file")
    assert (compared.detail, compared.passed) == ("at 64x48", True)
    sizes = next(found for found in artifact.manifest.source.findings if found.fact == "sizes")
    assert "the file states 64x48, and also runs at other sizes" in sizes.evidence


def test_a_fixed_batch_becomes_one(tmp_path: Path) -> None:
    model = Graph(sizes=(48, 64)).model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, tmp_path / "theirs.onnx")
    manifest = here(tmp_path / "theirs.onnx").manifest
    assert manifest.input.shape == (1, 3, "height", "width")
    assert "source file" in {check.kind for check in manifest.checks}
    assert "its batch of 3 became 1" in next(item.evidence for item in manifest.source.findings if item.fact == "sizes")


def test_a_file_of_a_large_fixed_size_is_compared_at_a_small_one(tmp_path: Path) -> None:
    manifest = here(Graph(sizes=(2160, 3840)).saved(tmp_path)).manifest
    assert "at 64x64" in {check.detail for check in manifest.checks if check.kind == "source file"}


def test_long_reasons_leave_the_figures_of_the_steps_in_view(tmp_path: Path) -> None:
    artifact = here(Graph().saved(tmp_path))
    steps = [msgspec.structs.replace(step, detail="a reason " * 40) for step in artifact.manifest.steps]
    shown = Artifact(artifact.path, msgspec.structs.replace(artifact.manifest, steps=tuple(steps)))
    console = Console(width=80, file=io.StringIO())
    describe_checks(shown, console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert any(line.startswith("adopted graph") and "1e-11  ok" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert any("unchanged: a reason" in line for line in lines)


def test_a_fixed_size_that_the_graph_depends_on_stays(tmp_path: Path) -> None:
    graph = Graph(sizes=(48, 64), limited=False)
    onnx.save(graph.model(lambda x: graph.node("Reshape", x, graph.constant(np.array([1, 3, 48, 64])))),
              tmp_path / "theirs.onnx")  # fmt: skip
    artifact = here(tmp_path / "theirs.onnx")
    assert artifact.manifest.shape == (48, 64)


def test_a_luma_network_upscales_colour(tmp_path: Path) -> None:
    artifact = here(Graph(channels=1).saved(tmp_path))
    picture = calibration_images()[0][:40, :52]
    result = FrameUpscaler(Subject(artifact, "ort-cpu"))(np.ascontiguousarray(picture.transpose(2, 0, 1)), 255)
    assert result.shape == (3, 80, 104)
    error = result.astype(np.float64) - picture.repeat(2, 0).repeat(2, 1).transpose(2, 0, 1)
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 22  # noise has 8 dB


def test_a_network_that_changes_nothing_is_adopted() -> None:
    found = contract_of(Graph(scale=1).model(lambda x: x))
    assert (found.scale, found.output.clamped) == (1, True)


def test_the_separate_process(tmp_path: Path) -> None:
    seen: list[str] = []
    path, out = Graph().saved(tmp_path), tmp_path / "out"
    options = AdoptOptions(name="named", licence="MIT")
    first = adopt(path, options, out, lambda item: seen.append(item.activity))
    assert first.path.name == "named_fp32.onnx"
    assert first.manifest.source.licence == "MIT"
    assert seen[-1] == "comparing with ONNX Runtime"
    other = Graph(scale=3).saved(tmp_path)
    with pytest.raises(OutputExists):
        adopt(other, options, out)
    assert Artifact.read(first.path).manifest == first.manifest
    assert adopt(other, options, out, overwrite=True).manifest.network.scale == 3


def test_pytorch_says_that_there_is_no_form_for_it(tmp_path: Path) -> None:
    artifact = here(Graph().saved(tmp_path), licence="MIT")
    assert artifact.manifest.source.licence == "MIT"
    with pytest.raises(Unavailable, match=r"no PyTorch form: it was made from the graph theirs\.onnx"):
        load_session(artifact, "torch")


@needs_data
def test_a_graph_that_players_use(tmp_path: Path) -> None:
    """fp16 ends, padding by computed amounts, seven opset domains, unshuffle as Reshape and Transpose."""
    path = DATA / "models" / "animejanai_x2_spanf3_fp16.onnx"
    steps: list[str] = []
    made = adopted(
        read_graph(path), path, "theirs_fp32", Stated(), None, lambda progress: steps.append(progress.activity)
    )
    manifest = made.manifest
    assert (manifest.network.scale, manifest.sizes, manifest.shape) == (2, SizeRule(2, 2), None)
    assert (manifest.input.value_range, manifest.input.order, manifest.output.clamped) == ((0.0, 1.0), "RGB", False)
    assert "measuring what the network takes and returns" in steps
    artifact = Artifact.write(tmp_path, made.content, manifest, None)
    graph = without_size_check(onnx.load(artifact.path)).graph
    assert not {node.op_type for node in graph.node} & {"Shape", "Reshape", "Pad", "Slice", "Mod"}
    picture = read_rgb(next((DATA / "images" / "Set5" / "x2" / "LR").glob("*.png")))[:61, :77]
    ours = load_session(artifact, "ort-cpu")
    ours.bind(Shape(61, 77))
    frame = manifest.input.from_image(picture)
    theirs = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = theirs.run(None, {theirs.get_inputs()[0].name: frame.astype(np.float16)})
    assert np.abs(ours.run(frame) - expected.astype(np.float32)).max() < 4 / 255  # the file computes in float16

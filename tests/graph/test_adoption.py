"""Adoption of ONNX files from elsewhere: contracts that are known because the graphs were made by hand."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from samples import DATA, needs_data

from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, InputError, OutputExists, Unavailable
from toolkit.findings import Fact
from toolkit.graph.adoption.adopt import AdoptOptions, adopt
from toolkit.graph.adoption.adopting import adopted
from toolkit.graph.adoption.contract import Measured, measured_contract
from toolkit.graph.adoption.ends import Ends
from toolkit.graph.adoption.normalising import normalised
from toolkit.graph.adoption.reading import read_graph
from toolkit.graph.adoption.stated import NOTHING, Stated
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.precision.calibration import calibration_images
from toolkit.images import read_rgb
from toolkit.media.upscaler import FrameUpscaler
from toolkit.runtimes.subject import Subject, load_session
from toolkit.sizes import SizeRule
from toolkit.system.progress import no_progress
from toolkit.workloads import Shape


@dataclass
class Graph:
    """A network that repeats pixels, adds some of their differences, and limits values: known in every respect."""

    scale: int = 2
    channels: int = 3
    layout: str = "NCHW"
    black: float = 0.0
    white: float = 1.0
    kind: int = TensorProto.FLOAT
    multiple: int = 1
    limited: bool = True
    opset: int = 20
    sizes: tuple[int | str, int | str] = ("h", "w")
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, array: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, helper.tensor_dtype_to_np_dtype(self.kind)))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x: str, weight: NDArray[Any]) -> str:
        stored = weight.astype(helper.tensor_dtype_to_np_dtype(self.kind))
        return self.node("Conv", x, self.constant(stored), pads=[weight.shape[-1] // 2] * 4)

    def sharpened(self, x: str) -> str:
        """x plus a twentieth of its second differences."""
        kernel = np.zeros((self.channels, self.channels, 3, 3))
        for channel in range(self.channels):
            kernel[channel, channel] = np.array([[0, -1, 0], [-1, 24, -1], [0, -1, 0]]) / 20
        return self.conv(x, kernel)

    def model(self, body: Callable[[str], str] | None = None) -> onnx.ModelProto:
        x = self.node("Transpose", "image", perm=[0, 3, 1, 2]) if self.layout == "NHWC" else "image"
        if self.multiple > 1:
            blocks = self.node("SpaceToDepth", x, blocksize=self.multiple)
            x = self.node("DepthToSpace", blocks, blocksize=self.multiple)
        x = body(x) if body else self.sharpened(x)
        if self.scale > 1:
            scales = self.constant(np.array([1, 1, self.scale, self.scale], np.float32))
            x = self.node("Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric",
                          nearest_mode="floor")  # fmt: skip
        if self.limited:
            x = self.node("Clip", x, self.number(self.black), self.number(self.white))
        if self.layout == "NHWC":
            x = self.node("Transpose", x, perm=[0, 2, 3, 1])
        sides = [self.channels, *self.sizes] if self.layout == "NCHW" else [*self.sizes, self.channels]
        ends = [
            helper.make_tensor_value_info("image", self.kind, ["n", *sides]),
            helper.make_tensor_value_info(x, self.kind, ["a", "b", "c", "Sliceoutput_dim_0"]),
        ]
        made = helper.make_graph(self.nodes, "theirs", ends[:1], ends[1:], self.constants)
        domains = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(made, opset_imports=domains, ir_version=8)

    def saved(self, directory: Path, **options: Any) -> Path:
        path = directory / "theirs.onnx"
        onnx.save(self.model(), path, **options)
        return path


def contract_of(model: onnx.ModelProto) -> Measured:
    graph = in_float64(normalised(model, "theirs"))
    return measured_contract(Ends.of(graph), float64_function(graph), calibration_images())


def here(path: Path, stated: Stated = NOTHING, licence: str | None = None) -> Artifact:
    """`adopt` in this process, which spares the imports of another one."""
    made = adopted(read_graph(path), path, "theirs_fp32", stated, licence, no_progress)
    return Artifact.write(path.parent / "out", made.content, made.manifest, None)


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
    operators = {node.op_type for node in onnx.load(artifact.path).graph.node}
    assert not operators & {"Pad", "Shape", "Mod", "Slice"}


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
    artifact = here(Graph(sizes=(48, 64)).saved(tmp_path))
    assert artifact.manifest.shape is None


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


def test_what_is_no_super_resolution_network_is_refused_with_figures(tmp_path: Path) -> None:
    graph = Graph(limited=False)
    noise = np.random.default_rng(0).normal(size=(3, 3, 3, 3))
    onnx.save(graph.model(lambda x: graph.node("Tanh", graph.conv(x, noise))), tmp_path / "theirs.onnx")
    with pytest.raises(InputError, match=r"unlike the upscaled input \(PSNR to bicubic: .* dB"):
        adopt(tmp_path / "theirs.onnx", directory=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_scales_are_refused(tmp_path: Path) -> None:
    graph = Graph(scale=1, limited=False)
    wide = graph.constant(np.array([1, 1, 2, 1], np.float32))
    onnx.save(graph.model(lambda x: graph.node("Resize", x, "", wide, mode="nearest")), tmp_path / "theirs.onnx")
    with pytest.raises(InputError, match="one whole number"):
        here(tmp_path / "theirs.onnx")


def test_a_stated_scale_is_compared(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"upscales x2 .*, not x4"):
        here(Graph().saved(tmp_path), Stated(scale=4))


@pytest.mark.parametrize("field", ["name", "licence", "value_range"])
def test_options_are_checked(field: str) -> None:
    wrong: dict[str, Any] = {"name": "a/b", "licence": "two\nlines", "value_range": (1, 0)}
    with pytest.raises(InputError):
        AdoptOptions(**{field: wrong[field]})


def test_files_that_are_no_graphs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.onnx").write_bytes(np.random.default_rng(0).bytes(1000))
    with pytest.raises((InputError, ArtifactError)):
        adopt(tmp_path / "noise.onnx", directory=tmp_path / "out")
    with pytest.raises(InputError, match="cannot read"):
        adopt(tmp_path / "missing.onnx", directory=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("limits", [(0, math.inf), (-math.inf, 1), (math.nan, 1), (0, 0)])
def test_a_value_range_is_finite(limits: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="two finite numbers"):
        AdoptOptions(value_range=limits)


def test_what_cannot_be_compared_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "theirs.onnx"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"theirs\.onnx is empty"):
        read_graph(path)
    graph = Graph(scale=1, limited=False)
    onnx.save(graph.model(lambda x: graph.node("Add", x, graph.constant(np.array(np.nan, np.float32)))), path)
    with pytest.raises(InputError, match="contains NaN"):
        read_graph(path)
    graph = Graph(scale=1, limited=False)
    onnx.save(graph.model(lambda x: graph.node("Add", x, graph.node("RandomUniformLike", x))), path)
    with pytest.raises(InputError, match=r"RandomUniformLike_0 \(RandomUniformLike\) is random"):
        read_graph(path)


def test_names_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    path = Graph().saved(tmp_path).rename(tmp_path / os.fsdecode(b"bad\xff.onnx"))
    with pytest.raises(InputError, match="is not UTF-8"):
        adopt(path, directory=tmp_path / "out")


def test_an_image_is_what_an_input_must_be(tmp_path: Path) -> None:
    graph = Graph(scale=1, limited=False)
    for shape, reason in (((1, 3, 1 << 20, 64), "1048576 pixels"), ((1, 64, "h", "w"), r"input image is \[1, 64, "),
                          ((1, 5, 3, "h", "w"), "five dimensions")):  # fmt: skip
        model = graph.model(lambda x: x)
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, shape))
        onnx.save(model, tmp_path / "theirs.onnx")
        with pytest.raises(InputError, match=reason):
            here(tmp_path / "theirs.onnx")


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
    graph = onnx.load(artifact.path).graph
    assert not {node.op_type for node in graph.node} & {"Shape", "Reshape", "Pad", "Slice", "Mod"}
    picture = read_rgb(next((DATA / "images" / "Set5" / "x2" / "LR").glob("*.png")))[:61, :77]
    ours = load_session(artifact, "ort-cpu")
    ours.bind(Shape(61, 77))
    frame = manifest.input.from_image(picture)
    theirs = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = theirs.run(None, {theirs.get_inputs()[0].name: frame.astype(np.float16)})
    assert np.abs(ours.run(frame) - expected.astype(np.float32)).max() < 4 / 255  # the file computes in float16

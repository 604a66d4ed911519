"""What `adopt` refuses, and the causes that it names."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from foreign_graphs import Graph, here
from onnx import TensorProto, helper, numpy_helper

from toolkit.errors import ArtifactError, InputError
from toolkit.graph.adoption.adopt import AdoptOptions, adopt
from toolkit.graph.adoption.reading import read_graph
from toolkit.graph.adoption.stated import Stated
from toolkit.kinds import kind_of, require_kind


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


def node(kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"{kind}_{output}")


def constant(dims: list[int], **values: Any) -> TensorProto:
    return TensorProto(name="c", data_type=TensorProto.FLOAT, dims=dims, **values)


ADD = node("Add", ["image", "c"], "y")
HUGE = [10**6, 10**6]


@pytest.mark.parametrize(
    ("nodes", "constants", "cause"),
    [
        (
            [node("Add", ["image", "b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "y")],
            [],
            r"Add_a \(Add\) reads 'b', which is computed after it: the graph has a cycle",
        ),
        ([ADD], [], r"Add_y \(Add\) reads 'c', which nothing in the graph computes"),
        ([node("Relu", ["image"], "z")], [], "nothing in the graph computes its output y"),
        ([ADD], [constant(HUGE, raw_data=bytes(16))], "too small for the declared shape and type .4000000000000 bytes"),
        ([ADD], [constant(HUGE, float_data=[1.0])], "too small for the declared shape"),
        ([ADD], [constant([-1, 3], raw_data=bytes(12))], "Negative dimension value"),
        ([ADD], [constant([-1, -3], raw_data=bytes(12))], "Negative dimension value"),
        (
            [node("ConstantOfShape", ["s"], "c"), ADD],
            [numpy_helper.from_array(np.array(HUGE), "s")],
            r"more memory than there is for an image of 64x64: Unable to allocate 3\.64 TiB",
        ),
    ],
    ids=["cycle", "missing", "output", "raw", "float", "negative", "negative-twice", "computed"],
)
def test_malformed_graphs_are_refused_with_the_cause(
    nodes: list[onnx.NodeProto], constants: list[TensorProto], cause: str, tmp_path: Path
) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "h", "w"]) for name in ("image", "y")]
    made = helper.make_graph(nodes, "theirs", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "theirs.onnx")
    with pytest.raises(InputError, match=cause):
        here(tmp_path / "theirs.onnx")


def test_minus_one_is_a_dynamic_size_and_other_negative_ones_are_refused(tmp_path: Path) -> None:
    here(Graph(sizes=(-1, -1)).saved(tmp_path))
    with pytest.raises(InputError, match=r"input image is \[0, 3, -5, 8\]: a dimension is negative"):
        read_graph(Graph(sizes=(-5, 8)).saved(tmp_path))


def test_graphs_are_recognised_under_any_name(tmp_path: Path) -> None:
    for name in ("model.pth", "wrong.txt", "none"):
        path = Graph().saved(tmp_path).rename(tmp_path / name)
        assert kind_of(path) == "graph"
        with pytest.raises(ArtifactError, match=f"{name} is not a checkpoint: it is an ONNX file") as caught:
            require_kind(path, "checkpoint")
        assert "toolkit adopt" in caught.value.remedy
    assert adopt(tmp_path / "model.pth", directory=tmp_path / "out").path.name == "model_fp32.onnx"


@pytest.mark.parametrize(
    "content", [b"", b"\x08", b"plain text", b"\x08\x0a\x12\0\0\0\0\0{", b"PK\x03\x04", b"\x80\x02}"]
)
def test_other_files_are_no_graphs(content: bytes, tmp_path: Path) -> None:
    """Among them a safetensors file, whose first bytes are the length of its header."""
    (tmp_path / "file").write_bytes(content)
    assert kind_of(tmp_path / "file") == "checkpoint"


def test_a_directory_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "dir.onnx").mkdir()
    with pytest.raises(ArtifactError, match=r"dir\.onnx is a directory, not an ONNX file"):
        require_kind(tmp_path / "dir.onnx", "graph")

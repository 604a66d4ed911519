"""`verify-fusion` on graphs from elsewhere: what is merged, and what is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from samples import DATA, needs_data

from toolkit.errors import InputError
from toolkit.graph.adoption.reading import read_graph
from toolkit.verification.merges import verify_merges

FLOAT = TensorProto.FLOAT
IMAGE = ("n", 3, "h", "w")


def end(name: str, shape: tuple[int | str, ...] = IMAGE, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def network(kind: type[np.floating] = np.float32, opset: int = 17, **graph: object) -> onnx.ModelProto:
    """1x1 without a bias to 8 channels, 3x3 back: one 3x3 of 3 channels. Its nodes have no names."""
    generator = np.random.default_rng(0)
    weights = {"wide": (8, 3, 1, 1), "back": (3, 8, 3, 3)}
    tensors = [
        numpy_helper.from_array(generator.normal(size=shape).astype(kind), name) for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "wide"], ["between"]),
        helper.make_node("Conv", ["between", "back"], ["result"], pads=[1] * 4),
    ]
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    parts = {"nodes": nodes, "inputs": [end("image", kind=dtype)], "outputs": [end("result", kind=dtype)]} | graph
    made = helper.make_graph(name="test", initializer=tensors, **parts)  # type: ignore[arg-type]
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize(("kind", "opset"), [(np.float32, 11), (np.float16, 17), (np.float32, 23)])
def test_a_graph_is_merged_whatever_its_type_and_opset(kind: type[np.floating], opset: int, tmp_path: Path) -> None:
    onnx.save(network(kind, opset), tmp_path / "other.onnx")
    report = verify_merges(tmp_path / "other.onnx")
    assert report.passed
    assert report.nodes == (2, 1)
    (merge,) = report.merges
    assert (merge.kernel, merge.removed, merge.merged) == ((3, 3), 8 * 3 + 3 * 8 * 9, 3 * 3 * 9)


def test_the_command(tmp_path: Path, toolkit_command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    onnx.save(network(), tmp_path / "other.onnx")
    shown = toolkit_command("verify-fusion", "other.onnx", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "PASSED: 2 nodes become 1" in shown.stdout
    document = json.loads(toolkit_command("verify-fusion", "other.onnx", "--json", cwd=tmp_path).stdout)
    assert document["passed"] is True
    assert [merge["merged"] for merge in document["merges"]] == [81]
    assert [path.name for path in tmp_path.iterdir()] == ["other.onnx"]


@needs_data
@pytest.mark.parametrize("name", ["animejanai_x2_compact_fp16_op23", "animejanai_x2_spanf3_fp16"])
def test_graphs_that_players_use_hold_nothing_to_merge(name: str) -> None:
    """They were exported in fused form, one with float16 ends and sizes that it computes."""
    report = verify_merges(DATA / "models" / f"{name}.onnx")
    assert report.passed
    assert not report.merges


def test_weights_beside_the_graph_are_read(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    onnx.save(network(), path, save_as_external_data=True, location="other.data", size_threshold=0)
    assert [tensor.name for tensor in read_graph(path).graph.initializer] == ["wide", "back"]
    assert verify_merges(path).nodes == (2, 1)


def test_weights_elsewhere_are_refused(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    onnx.save(network(), inner / "other.onnx", save_as_external_data=True, location="other.data", size_threshold=0)
    (inner / "other.data").rename(tmp_path / "other.data")
    (inner / "other.data").symlink_to(tmp_path / "other.data")
    with pytest.raises(InputError, match=r"keeps wide in 'other\.data', which is not a file beside it"):
        read_graph(inner / "other.onnx")
    model = onnx.load(inner / "other.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = "../other.data"
    (inner / "other.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"'\.\./other\.data', which is not a file beside it"):
        read_graph(inner / "other.onnx")


LOOP = helper.make_node(
    "If",
    ["yes"],
    ["result"],
    name="choice",
    then_branch=helper.make_graph([helper.make_node("Identity", ["image"], ["a"])], "a", [], [end("a")]),
    else_branch=helper.make_graph([helper.make_node("Identity", ["image"], ["b"])], "b", [], [end("b")]),
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": [LOOP]}, r"choice \(If\) is control flow"),
        ({"inputs": [end("image"), end("next")]}, r"has 2 inputs \(image, next\), not one image"),
        (
            {"inputs": [end("image", ("n", 5, 3, "h", "w"))]},
            "input image has five dimensions: it is a network for video",
        ),
        ({"outputs": [end("result"), end("between")]}, r"has 2 outputs \(result, between\), not one image"),
        ({"inputs": [end("image", kind=TensorProto.INT64)]}, "input image is INT64, which is no type of an image"),
        (
            {"nodes": [helper.make_node("Gelu", ["image"], ["result"], name="act", domain="com.microsoft")]},
            r"act \(Gelu\) is an operator of com.microsoft, which ONNX does not define",
        ),
        (
            {"nodes": [helper.make_node("QuantizeLinear", ["image", "wide"], ["result"], name="q")]},
            r"q \(QuantizeLinear\) makes it a quantised graph",
        ),
        ({"inputs": [end("image", ("n", 4, "h", "w"))]}, "neither axis 1 nor axis 3 is one or three channels"),
    ],
)
def test_what_is_no_image_network_is_refused_by_name(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(network(**change).SerializeToString())  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        verify_merges(path)


def test_an_old_opset_is_refused(tmp_path: Path) -> None:
    onnx.save(network(opset=9), tmp_path / "other.onnx")
    with pytest.raises(InputError, match="has opset 9, the oldest that is read is 11"):
        verify_merges(tmp_path / "other.onnx")


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match=r"other\.onnx is no ONNX file"):
        verify_merges(tmp_path / "other.onnx")

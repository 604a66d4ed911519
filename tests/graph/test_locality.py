"""How far graphs look, against what happens when a pixel changes."""

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from samples import checkpoint, small_preset

from toolkit.artifact import Artifact
from toolkit.graph.analysis.locality import Locality, WholeFrame, bytes_per_pixel, locality, network_locality
from toolkit.graph.export import export
from toolkit.runtimes.subject import load_session
from toolkit.workloads import Shape


def influence(artifact: Artifact, row: int, height: int = 96, width: int = 8) -> tuple[int, int]:
    """Input rows above and below `row` whose results change with it."""
    session = load_session(artifact, "ort-cpu")
    session.bind(Shape(height, width))
    frame = np.random.default_rng(0).random((1, 3, height, width), np.float32)
    before = session.run(frame).copy()
    frame[:, :, row] += 10
    changed = np.flatnonzero((session.run(frame) != before).any(axis=(0, 1, 3))) // artifact.manifest.network.scale
    return int(row - changed.min()), int(changed.max() - row)


@pytest.mark.parametrize("scale", [2, 3])
def test_rt4ksr_looks_as_far_as_is_computed(scale: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two convolutions of 3x3 a block... in half resolution: the reach is tight to the two rows the graph works in."""
    from dataclasses import replace

    from samples import SMALL

    artifact = export(checkpoint(replace(SMALL, scale=scale)), directory=tmp_path_factory.mktemp("local"))
    local = locality(onnx.load(artifact.path))
    assert isinstance(local, Locality)
    assert local.alignment == 2
    reaches = [influence(artifact, row) for row in (48, 49)]
    up, down = max(reach[0] for reach in reaches), max(reach[1] for reach in reaches)
    # A row's results change upwards as far as those look below, and the other way round.
    assert local.below - 2 <= up <= local.below
    assert local.above - 2 <= down <= local.above


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pool-stem", "down-up", "naf", "simplified"])
def test_presets_are_known_or_refused(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    artifact = export(checkpoint(small_preset(name)), directory=tmp_path_factory.mktemp("preset"))
    local = locality(onnx.load(artifact.path))
    if isinstance(local, WholeFrame):
        assert "whole frame" in local.reason
        return
    for row in (48, 49):
        up, down = influence(artifact, row)
        assert up <= local.below
        assert down <= local.above


def graph(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray] | None = None) -> onnx.ModelProto:
    shape = ["n", 4, "h", "w"]
    made = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(made)


def test_strides_dilations_and_pooling_by_hand() -> None:
    weights = {"w": np.zeros((4, 4, 3, 3), np.float32)}
    conv = helper.make_node("Conv", ["x", "w"], ["c"], pads=[2, 2, 2, 2], dilations=[2, 2], strides=[2, 2])
    pool = helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    # Output row i takes rows 2i and 2i+1 of c, which take 2j-2, 2j, 2j+2: 4i-2 … 4i+4.
    assert locality(graph(conv, pool, constants=weights)) == Locality(2, 4, 4)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("GlobalAveragePool", ["x"], ["y"]), "not known"),
        (helper.make_node("ReduceMean", ["x", "axes"], ["y"]), "whole frame"),
        (helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER"), "pads automatically"),
        (helper.make_node("Transpose", ["x"], ["y"], perm=[2, 0, 1, 3]), "reorders"),
    ],
)
def test_what_is_not_local_is_refused(node: onnx.NodeProto, words: str) -> None:
    constants = {"axes": np.array([2, 3]), "w": np.zeros((4, 4, 3, 3), np.float32)}
    found = locality(graph(node, constants=constants))
    assert isinstance(found, WholeFrame)
    assert words in found.reason


def test_memory_counts_what_lives_at_once() -> None:
    relu, twice = helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Add", ["a", "a"], ["y"])
    made = graph(relu, twice)
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3
    # Of 3 floats a pixel: x and a, then a and y.
    assert bytes_per_pixel(made) == 24


def test_a_manifest_may_state_the_receptive_field(small_artifact: Artifact) -> None:
    """Never less than what the graph shows, and of graphs that the analysis does not understand."""
    network, model = small_artifact.manifest.network, onnx.load(small_artifact.path)
    found = locality(model)
    assert isinstance(found, Locality)

    def stating(field: object, multiple: int = 2) -> object:
        return network_locality(model, msgspec.structs.replace(network, receptive_field=field, size_multiple=multiple))

    assert stating(None) == found
    assert stating(1) == found
    assert stating(100) == Locality(100, 100, found.alignment)
    assert stating(None, 6) == Locality(found.above, found.below, 6)
    assert "whole frame" in str(stating("whole frame"))
    unknown = graph(helper.make_node("Det", ["x"], ["y"]))
    assert isinstance(network_locality(unknown, network), WholeFrame)
    stated = msgspec.structs.replace(network, receptive_field=7, size_multiple=4)
    assert network_locality(unknown, stated) == Locality(7, 7, 4)

"""Artifacts whose ports are not those of RT4KSR: their channel order, value range and sizes are obeyed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from samples import bare_manifest

from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, InputError, Unavailable
from toolkit.graph.source import source_checkpoint
from toolkit.images.resizing import interpolated
from toolkit.manifest_parts import Network, Source
from toolkit.media.upscaler import FrameUpscaler
from toolkit.network.architectures.rt4ksr.details import RT4KSRDetails
from toolkit.port import PLANAR, Port, rgb_port
from toolkit.quality.subjects import ImageFunction
from toolkit.runtimes.building import BuildOptions
from toolkit.runtimes.pytorch.program import FrameNetwork
from toolkit.runtimes.registry import build
from toolkit.runtimes.script import noise_source
from toolkit.runtimes.subject import Subject, load_session
from toolkit.workloads import Shape

SCALE, MULTIPLE = 2, 4

BGR_255 = Port("bgr", "NHWC", "float32", (0.0, 255.0), (1, "h", "w", 3), "BGR")
RGB_SIGNED = Port("rgb", "NCHW", "float32", (-1.0, 1.0), (1, 3, "H", "W"))
LUMA = Port("luma", "NCHW", "float32", (16 / 255, 235 / 255), (1, 1, "h", "w"), "Y")
LUMA_OUT = Port("large", "NCHW", "float32", (0.0, 1.0), (1, 1, "H", "W"), "Y")


def artifact_of(
    directory: Path, nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]], given: Port, returned: Port
) -> Artifact:
    """A graph that repeats pixels, and takes sizes that are multiples of 4, as an artifact without weights."""
    graph = helper.make_graph(
        [
            *nodes,
            # Together they change nothing, and the first fails for other sizes.
            helper.make_node("SpaceToDepth", ["converted"], ["blocks"], name="blocks", blocksize=MULTIPLE),
            helper.make_node("DepthToSpace", ["blocks"], ["image"], name="image", blocksize=MULTIPLE),
            helper.make_node(
                *("Resize", ["image", "", "scales"], [returned.name], "repeat"),
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
        ],
        "nearest",
        [helper.make_tensor_value_info(given.name, TensorProto.FLOAT, given.shape)],
        [helper.make_tensor_value_info(returned.name, TensorProto.FLOAT, returned.shape)],
        [
            numpy_helper.from_array(value, name)
            for name, value in (constants | {"scales": np.array([1, 1, SCALE, SCALE], np.float32)}).items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    manifest = bare_manifest(
        content,
        # The analysis does not know what Gather reads, so the manifest states it.
        Network(SCALE, 0, "custom", MULTIPLE, 8, RT4KSRDetails(3, 0, False, "there is none"), 0),
        Source("nearest.onnx", "0" * 64, "", 0, kind="onnx"),
        given,
        returned,
        "nearest",
    )
    Artifact.write(directory, content, manifest, None)
    return Artifact.read(directory / "nearest.onnx")


@pytest.fixture(scope="session")
def foreign_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """NHWC BGR in 0..255 to NCHW RGB in -1..1."""
    nodes = [
        helper.make_node("Transpose", ["bgr"], ["planes"], name="planes", perm=[0, 3, 1, 2]),
        helper.make_node("Gather", ["planes", "order"], ["ordered"], name="ordered", axis=1),
        helper.make_node("Div", ["ordered", "half"], ["unit"], name="unit"),
        helper.make_node("Sub", ["unit", "one"], ["converted"], name="converted"),
    ]
    constants = {
        "order": np.array([2, 1, 0], np.int64),
        "half": np.array(127.5, np.float32),
        "one": np.array(1.0, np.float32),
    }
    return artifact_of(tmp_path_factory.mktemp("foreign"), nodes, constants, BGR_255, RGB_SIGNED)


@pytest.fixture(scope="session")
def luma_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Luma of video range to luma of full range."""
    nodes = [
        helper.make_node("Sub", ["luma", "black"], ["above"], name="above"),
        helper.make_node("Div", ["above", "span"], ["converted"], name="converted"),
    ]
    constants = {"black": np.array(16 / 255, np.float32), "span": np.array(219 / 255, np.float32)}
    return artifact_of(tmp_path_factory.mktemp("luma"), nodes, constants, LUMA, LUMA_OUT)


def repeated(picture: NDArray[Any]) -> NDArray[Any]:
    return picture.repeat(SCALE, 0).repeat(SCALE, 1)


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_order_range_and_sizes_are_obeyed(foreign_artifact: Artifact, height: int, width: int) -> None:
    picture = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3), np.uint8)
    upscale = ImageFunction(load_session(foreign_artifact, "ort-cpu"))
    assert np.array_equal(upscale(picture), repeated(picture))


@pytest.mark.parametrize("memory", [1 << 40, 1])
@pytest.mark.parametrize("size", [(37, 21), (64, 32), (1, 5)])
def test_in_strips_too(foreign_artifact: Artifact, memory: int, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 65536, (*size, 3), np.uint16)
    upscale = FrameUpscaler(Subject(foreign_artifact, "ort-cpu", 1), memory=memory)
    found = upscale(np.ascontiguousarray(picture.transpose(2, 0, 1)), 65535).transpose(1, 2, 0)
    assert np.array_equal(found, repeated(picture))
    assert all(strip.start % MULTIPLE == 0 for strip in upscale._strips)
    assert (len(upscale._strips) > 1) == (memory == 1)


def test_a_port_of_one_channel_takes_luma(luma_artifact: Artifact) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    found = ImageFunction(load_session(luma_artifact, "ort-cpu"))(picture)
    # Pictures of little contrast, so that nothing is limited.
    picture = 96 + picture // 4
    found = ImageFunction(load_session(luma_artifact, "ort-cpu"))(picture)
    weights = np.array([0.299, 0.587, 0.114])
    luma = picture.astype(np.float64) @ weights
    assert found.shape == (18, 26, 3)
    assert np.abs(found @ weights - repeated(luma)).max() <= 0.5 + 1e-3  # each channel is rounded
    for channel in range(3):
        plane = Image.fromarray((picture[..., channel] - luma).astype(np.float32))
        chroma = np.asarray(plane.resize((26, 18), Image.Resampling.BICUBIC))
        distance = found[..., channel] - repeated(luma) - chroma
        assert np.abs(distance[4:-4, 4:-4]).max() <= 0.5 + 1e-3  # Pillow treats borders otherwise
    grey = ImageFunction(load_session(luma_artifact, "ort-cpu"))(picture[..., :1])
    assert np.array_equal(grey, repeated(picture[..., :1]))


@pytest.mark.parametrize("memory", [1 << 40, 1])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_colour_of_a_luma_network_is_the_same_in_strips(
    luma_artifact: Artifact, memory: int, depth: type[np.unsignedinteger[Any]]
) -> None:
    white = np.iinfo(depth).max
    picture = np.random.default_rng(0).integers(0, white + 1, (64, 20, 3), depth)
    upscale = FrameUpscaler(Subject(luma_artifact, "ort-cpu", 1), memory=memory)
    found = upscale(np.ascontiguousarray(picture.transpose(2, 0, 1)), white).transpose(1, 2, 0)
    chroma = picture - (picture @ np.array([0.299, 0.587, 0.114]))[..., None]
    luma = repeated(picture @ np.array([0.299, 0.587, 0.114]))[..., None]
    expected = np.rint(np.clip(luma + interpolated(chroma, Shape(128, 40)), 0, white))
    assert np.abs(found.astype(np.float64) - expected).max() <= 1
    assert (len(upscale._strips) > 1) == (memory == 1)


def test_engines_are_built_for_sizes_that_the_graph_takes(foreign_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="18x16 is not a multiple of 4") as caught:
        build(foreign_artifact, "ort-cpu", BuildOptions(shape=Shape(16, 18)), tmp_path)
    assert "20x16" in caught.value.remedy
    with pytest.raises(InputError, match="8x4 is smaller than 8 pixels"):
        build(foreign_artifact, "ort-cpu", BuildOptions(shape=Shape(4, 8)), tmp_path)


def test_without_weights_there_is_no_checkpoint(foreign_artifact: Artifact) -> None:
    assert foreign_artifact.weights_path is None
    assert foreign_artifact.manifest.source.network_sha256 == "0" * 64
    with pytest.raises(ArtifactError, match="no source weights"):
        source_checkpoint(foreign_artifact)


@pytest.mark.parametrize("returned", [RGB_SIGNED, rgb_port("uint8", "NHWC"), PLANAR])
def test_pytorch_runs_a_network_between_any_ports(small_artifact: Artifact, returned: Port) -> None:
    network = source_checkpoint(small_artifact).network
    manifest = msgspec.structs.replace(small_artifact.manifest, input=BGR_255, output=returned)
    picture = np.random.default_rng(0).integers(0, 256, (10, 14, 3), np.uint8)
    with torch.no_grad():
        frame = FrameNetwork(network, manifest, torch.float32, "cpu")(torch.from_numpy(BGR_255.from_image(picture)))
        exact = network(torch.from_numpy(picture.transpose(2, 0, 1)[None] / 255).float())[0].numpy().transpose(1, 2, 0)
    assert frame.numpy().shape == returned.frame_shape(Shape(20, 28))
    found = returned.to_image(frame.numpy(), np.float64)
    if returned.dtype == "uint8":
        exact = exact.clip(0, 1)
    assert np.abs(found - exact).max() <= (0.501 / 255 if returned.dtype == "uint8" else 1e-5)
    luma = msgspec.structs.replace(manifest, input=LUMA)
    with pytest.raises(Unavailable, match="luma"):
        FrameNetwork(network, luma, torch.float32, "cpu")


@pytest.mark.parametrize(
    "port",
    [
        PLANAR,
        BGR_255,
        RGB_SIGNED,
        LUMA,
        rgb_port("uint8"),
        rgb_port("float16", "NHWC"),
        Port("y", "NHWC", "uint8", (16.0, 235.0), (1, "h", "w", 1), "Y"),
        Port("x", "NCHW", "float32", (0.0, 65535.0), (1, 3, "h", "w")),
    ],
    ids=str,
)
def test_scripts_make_the_same_noise(port: Port) -> None:
    shape = Shape(5, 6)
    names: dict[str, Any] = {"np": np, "FRAME_SHAPE": port.frame_shape(shape)}
    exec(f"def noise():\n{noise_source(port)}", names)
    found = names["noise"]()
    assert found.dtype == np.dtype(port.dtype)
    assert np.array_equal(found, port.noise(shape, np.random.default_rng(0)))

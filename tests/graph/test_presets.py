"""Every network of the design space through the whole graph pipeline, in every precision."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from samples import checkpoint, small_preset

from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.graph.source import source_checkpoint
from toolkit.network.architectures.rt4ksr.presets import PRESETS, STEPS
from toolkit.network.module import numpy_function
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build
from toolkit.runtimes.subject import load_session
from toolkit.workloads import Shape

EVERY = pytest.mark.parametrize("name", STEPS)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory):
    made: dict[tuple[str, str | None], Artifact] = {}

    def export_preset(name: str, uint8: str | None = None) -> Artifact:
        if (name, uint8) not in made:
            directory = tmp_path_factory.mktemp("presets")
            made[name, uint8] = export(checkpoint(small_preset(name)), ExportOptions(uint8=uint8), directory)
        return made[name, uint8]

    return export_preset


@EVERY
@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino"])
@pytest.mark.parametrize("shape", [Shape(14, 22), Shape(7, 5)], ids=str)
def test_runtimes_agree_with_float64(name: str, runtime: str, shape: Shape, exported) -> None:
    artifact = exported(name)
    assert all(check.passed for check in artifact.manifest.checks)
    frame = np.random.default_rng(0).random((1, 3, *shape.sides), np.float32)
    session = load_session(artifact, runtime)
    session.bind(shape)
    truth = numpy_function(source_checkpoint(artifact).network, "float64")(frame).clip(0, 1)
    np.testing.assert_allclose(session.run(frame), truth, rtol=0, atol=2e-5)


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_precisions_of_images(name: str, precision: str, exported, tmp_path: Path) -> None:
    """`convert` itself measures each against float64 and refuses what is broken."""
    made = convert(exported(name, "NHWC"), precision, directory=tmp_path)
    mean = next(check for check in made.manifest.checks if check.kind == "mean error")
    assert 0 < mean.measured <= {"fp16": 0.2, "bf16": 1.5, "int8": 6}[precision]  # grey levels


@EVERY
def test_tensorrt_takes_them(name: str, exported, tmp_path: Path) -> None:
    made = convert(exported(name), "fp16", directory=tmp_path)
    assert build(made, "tensorrt-rtx", BuildOptions(target=("sm89",)), tmp_path).fresh


def test_means_over_the_frame_stay_in_float32(exported, tmp_path: Path) -> None:
    """Two million values in half precision add up to infinity."""
    model = onnx.load(convert(exported("naf"), "fp16", directory=tmp_path).path)
    types = {
        item.name: item.type.tensor_type.elem_type for item in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    means = [node for node in model.graph.node if node.op_type == "ReduceMean" and "attention" in node.name]
    assert len(means) == 2
    assert {types[node.input[0]] for node in means} == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.FLOAT16 in types.values()


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("naf", ["nothing to merge", "reads the whole frame"]),
        ("rrb", ["only their reparameterizable convolution", "reads the whole frame"]),
        ("separable", ["nothing to merge"]),
        ("simplified", []),
    ],
)
def test_what_cannot_be_merged_is_said(name: str, notes: list[str], exported) -> None:
    found = exported(name).manifest.notes
    assert len(found) == len(notes)
    assert all(expected in note for expected, note in zip(notes, found, strict=True))


def test_names(tmp_path: Path) -> None:
    from toolkit.network.checkpoint import untrained_checkpoint

    made = export(untrained_checkpoint(3, preset="naf-eca"), directory=tmp_path)
    assert made.manifest.name == "rt4ksr_x3_naf-eca_untrained_fp32"
    assert made.manifest.network.variant == "naf-eca"
    assert export(untrained_checkpoint(), directory=tmp_path).manifest.name == "rt4ksr_x2_untrained_fp32"
    small = export(checkpoint(small_preset("down-up")), directory=tmp_path).manifest
    assert (small.name, small.network.variant) == ("rt4ksr_x2_c6b2_conv-down-none_hf_fp32", "custom")


def test_all_presets_have_a_name_for_their_files() -> None:
    assert len(PRESETS) == len({name.removeprefix("rt4ksr-") for name in PRESETS})

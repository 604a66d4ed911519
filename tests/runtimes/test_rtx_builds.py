"""TensorRT for RTX builds engines ahead of time, on any machine."""

from pathlib import Path

import msgspec
import pytest
from samples import checkpoint

from toolkit.artifact import Artifact
from toolkit.errors import InputError, Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.port import Layout
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build
from toolkit.system.atomic import sha256_of
from toolkit.workloads import Shape

SHAPE = Shape(16, 24)
TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120")
without_gpu = pytest.mark.skipif(bool(cuda_devices()[0]), reason="there is a GPU: it would be used")


@pytest.fixture(scope="module", params=[None, "NHWC"], ids=["float", "uint8"])
def artifacts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    fp32 = export(checkpoint(), ExportOptions(uint8=request.param), tmp_path_factory.mktemp("engines"))
    return {"fp32": fp32} | {name: convert(fp32, name) for name in ("fp16", "bf16", "int8")}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_tensorrt_rtx_builds_every_precision(precision: str, artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    """Turing, sm75, has no bfloat16."""
    targets = TARGETS[1:] if precision == "bf16" else TARGETS
    engine = build(artifacts[precision], "tensorrt-rtx", BuildOptions(target=targets), tmp_path).engine
    assert engine.path.name == f"{artifacts[precision].manifest.name}.tensorrt-rtx.engine"
    assert engine.info.files["plan"].size > 10_000
    assert engine.info.read_back["typing"] == "strong"
    assert int(engine.info.read_back["network layers"]) > 20
    assert engine.info.options["target"] == engine.info.settings["target"] == ",".join(targets)
    assert engine.info.settings["tf32"] == "false"
    assert not build(artifacts[precision], "tensorrt-rtx", BuildOptions(target=targets), tmp_path).fresh


@pytest.mark.parametrize("uint8", [None, "NHWC"], ids=["float", "uint8"])
def test_tensorrt_rtx_builds_static_sizes(uint8: Layout | None, tmp_path: Path) -> None:
    fp32 = export(checkpoint(), ExportOptions(shape=SHAPE, uint8=uint8), tmp_path)
    for artifact in (fp32, *(convert(fp32, name) for name in ("fp16", "bf16", "int8"))):
        targets = TARGETS[1:] if artifact.manifest.precision == "bf16" else TARGETS
        engine = build(artifact, "tensorrt-rtx", BuildOptions(target=targets)).engine
        assert engine.info.shape == (16, 24)
    odd = export(checkpoint(), ExportOptions(shape=Shape(31, 20), uint8=uint8), tmp_path)
    assert build(odd, "tensorrt-rtx", BuildOptions(target=("sm86",))).engine.info.shape == (31, 20)


@pytest.mark.slow
def test_tensorrt_rtx_builds_a_released_network(released_artifact: Artifact, tmp_path: Path) -> None:
    for artifact in (
        released_artifact,
        *(convert(released_artifact, name, directory=tmp_path) for name in ("fp16", "bf16", "int8")),
    ):
        targets = TARGETS[1:] if artifact.manifest.precision == "bf16" else TARGETS
        assert build(artifact, "tensorrt-rtx", BuildOptions(target=targets), tmp_path).fresh


def test_what_a_target_cannot_do_is_said(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    """Turing has no bfloat16: TensorRT's own reason is passed on."""
    with pytest.raises(Unavailable, match="sm75"):
        build(artifacts["bf16"], "tensorrt-rtx", BuildOptions(target=("sm75",)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_parser_errors_name_the_node(tmp_path: Path) -> None:
    """A graph with an operator that TensorRT does not know."""
    import onnx

    artifact = export(checkpoint(), directory=tmp_path)
    model = onnx.load(artifact.path)
    gelu = next(node for node in model.graph.node if node.op_type == "Gelu")
    gelu.op_type, gelu.domain = "Frobnicate", "example"
    model.opset_import.add(domain="example", version=1)
    content = model.SerializeToString()
    manifest = msgspec.structs.replace(artifact.manifest, onnx_sha256=sha256_of(content))
    broken = Artifact.write(tmp_path, content, manifest, artifact.weights_path.read_bytes())
    with pytest.raises(Unavailable, match=r"body\.0\.gelu \(Frobnicate\)"):
        build(broken, "tensorrt-rtx", BuildOptions(target=("sm86",)))


@without_gpu
def test_without_a_gpu_a_target_must_be_named(small_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no GPU here to build for") as caught:
        build(small_artifact, "tensorrt-rtx", directory=tmp_path)
    assert "sm86" in caught.value.remedy

"""What ONNX Runtime's GPU providers are told: checked against the installed package, which has the names built in."""

from pathlib import Path

import onnxruntime
import pytest
from samples import checkpoint

from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.runtimes.onnxruntime.provider import Provider, cuda_provider, tensorrt_provider
from toolkit.runtimes.options import BuildOptions
from toolkit.workloads import Shape

LIBRARIES = Path(onnxruntime.__file__).parent / "capi"
SHAPE = Shape(720, 1280)


def binary(pattern: str) -> bytes:
    if not (found := list(LIBRARIES.glob(pattern))):
        pytest.skip("onnxruntime is installed without its GPU providers")
    return found[0].read_bytes()


def test_the_cuda_provider_knows_every_option() -> None:
    library = binary("libonnxruntime_providers_cuda.so")
    provider = cuda_provider(BuildOptions())
    for name in provider.options:
        assert b"\0" + name.encode() + b"\0" in library
    assert set(provider.on_stream(1).options) - set(provider.options) == {"user_compute_stream"}


def test_the_tensorrt_provider_knows_every_option_and_value(small_artifact: Artifact, tmp_path: Path) -> None:
    """Python's binding reads them one by one; an option that it does not know it refuses."""
    bindings = binary("onnxruntime_pybind11_state*.so")
    if b"trt_engine_cache_path" not in bindings:
        pytest.skip("onnxruntime is installed without its GPU providers")
    provider = tensorrt_provider(small_artifact, SHAPE, BuildOptions()).caching_in(tmp_path).on_stream(1)
    assert "has_user_compute_stream" not in provider.options  # implied, and unknown to Python's binding
    for name, value in provider.options.items():
        takes = b"The value for the key '" + name.encode() + b"' should be "
        assert takes in bindings, name
        if takes + b"'True' or 'False'" in bindings:
            assert value in {"True", "False"}, name
        elif takes + b"a number" in bindings:
            assert value.isdigit(), name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (BuildOptions(), {"use_tf32": "0", "prefer_nhwc": "1", "enable_cuda_graph": "1"}),
        (BuildOptions(tf32=True, nhwc=False), {"use_tf32": "1", "prefer_nhwc": "0", "enable_cuda_graph": "1"}),
        (BuildOptions(cuda_graph=False, nhwc=True), {"use_tf32": "0", "prefer_nhwc": "1", "enable_cuda_graph": "0"}),
    ],
)
def test_options_of_cuda(options: BuildOptions, expected: dict[str, str]) -> None:
    provider = cuda_provider(options)
    assert provider == Provider("CUDAExecutionProvider", expected)
    assert provider.captures_graphs is (expected["enable_cuda_graph"] == "1")
    assert not provider.without_graphs().captures_graphs
    assert provider.on_stream(2**40).options["user_compute_stream"] == str(2**40)


def test_options_of_tensorrt(small_artifact: Artifact, tmp_path: Path) -> None:
    provider = tensorrt_provider(small_artifact, SHAPE, BuildOptions())
    given, smallest = provider.options, small_artifact.manifest.network.smallest
    name = small_artifact.manifest.input.name
    assert given["trt_profile_min_shapes"] == f"{name}:1x3x{smallest}x{smallest}"
    assert given["trt_profile_opt_shapes"] == f"{name}:1x3x720x1280"
    assert given["trt_profile_max_shapes"] == f"{name}:1x3x2160x3840"
    assert given["trt_builder_optimization_level"] == "3"
    # With any of them the network would be weakly typed.
    assert {given[f"trt_{precision}_enable"] for precision in ("fp16", "bf16", "int8")} == {"False"}
    assert given["trt_engine_hw_compatible"] == "False"
    assert provider.captures_graphs
    assert not provider.without_graphs().captures_graphs
    assert provider.caching_in(tmp_path).options["trt_timing_cache_path"] == str(tmp_path)
    tuned = BuildOptions(optimization_level=0, hardware_compatible=True, cuda_graph=False)
    other = tensorrt_provider(small_artifact, SHAPE, tuned)
    assert (other.options["trt_builder_optimization_level"], other.options["trt_engine_hw_compatible"]) == ("0", "True")
    assert not other.captures_graphs


def test_a_static_artifact_has_no_profile(tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(shape=Shape(9, 8)), tmp_path)
    options = tensorrt_provider(artifact, Shape(9, 8), BuildOptions()).options
    assert not [name for name in options if "profile" in name]

"""Scripts that stand in for `toolkit build`: they run without the toolkit, and build and compute the same."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import InputError, Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.runtimes.building import BuildingRuntime
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.onnxruntime.script import generate_script
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import RUNTIMES, build, build_script
from toolkit.runtimes.script import ScriptJob
from toolkit.workloads import Shape

SHAPE = Shape(16, 24)
CPU = ("ort-cpu", "openvino")
ALLOWED = {"numpy", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "polygraphy", *sys.stdlib_module_names}
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=[None, "NHWC"], ids=["float", "uint8"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(checkpoint(), ExportOptions(uint8=request.param), tmp_path_factory.mktemp("scripts"))


def run(script: Path, *arguments: str | Path, cwd: Path) -> str:
    command = [sys.executable, script, *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", CPU)
def test_a_script_computes_what_the_session_does(name: str, artifact: Artifact, tmp_path: Path) -> None:
    """From a directory of its own, run in another."""
    home, elsewhere = tmp_path / "scripts", tmp_path / "elsewhere"
    elsewhere.mkdir()
    build_script(artifact, name, BuildOptions(shape=SHAPE), home / "gen.py")
    said = run(home / "gen.py", "--save", "output.npy", "--engine", "engine", cwd=elsewhere)
    session = toolkit.load_session(artifact, name)
    session.bind(SHAPE)
    expected = session.run(artifact.manifest.input.noise(SHAPE, np.random.default_rng(0)))
    output = np.load(elsewhere / "output.npy")
    assert output.dtype == expected.dtype
    np.testing.assert_array_equal(output, expected)
    assert f"output: {output.dtype} {output.shape}" in said
    assert f"mean {output.mean():.6g}, std {output.std():.6g}" in said
    assert (elsewhere / "engine").stat().st_size > 1000
    assert [path.name for path in home.iterdir()] == ["gen.py"]


def test_another_artifact_may_be_named(artifact: Artifact, tmp_path: Path) -> None:
    text = build_script(artifact, "ort-cpu", BuildOptions(shape=SHAPE, threads=1), tmp_path / "gen.py")
    assert "\nTHREADS = 1 " in text
    uint8 = "NHWC" if artifact.manifest.input.dtype == "uint8" else None
    other = export(checkpoint(seed=1), ExportOptions(uint8=uint8), tmp_path / "other")
    command = [sys.executable, tmp_path / "gen.py", other.path]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "is not the file this script was written for" in result.stderr
    missing = subprocess.run([*command[:2], tmp_path / "missing.onnx"], capture_output=True, text=True)
    assert missing.returncode == 2
    assert "there is no file" in missing.stderr
    assert "Traceback" not in missing.stderr


def scripts(artifact: Artifact) -> dict[str, str]:
    """One for every runtime that has them, and those whose text depends on options."""
    every = BuildOptions(target=("sm86", "sm120"), optimization_level=3, tf32=True)
    beside = artifact.path.with_name("gen.py")
    texts = {
        name: build_script(artifact, name, BuildOptions(shape=SHAPE), beside, overwrite=True)
        for name, runtime in RUNTIMES.items()
        if isinstance(runtime, BuildingRuntime) and type(runtime)._script is not BuildingRuntime._script
    }
    assert texts.keys() >= {*CPU, "tensorrt", "tensorrt-rtx", "ort-cuda", "ort-tensorrt"}
    assert '    "use_tf32": "0",\n' in texts["ort-cuda"]
    assert 'os.environ["NVIDIA_TF32_OVERRIDE"] = "0"' in texts["ort-tensorrt"]
    texts["rtx options"] = build_script(artifact, "tensorrt-rtx", every, beside, overwrite=True)
    options = BuildOptions(version_compatible=True, hardware_compatible=True, tf32=True)
    texts["tensorrt options"] = build_script(artifact, "tensorrt", options, beside, overwrite=True)
    return texts


def test_scripts_are_clean_and_need_no_toolkit(artifact: Artifact, tmp_path: Path) -> None:
    for name, text in scripts(artifact).items():
        tree = ast.parse(text)
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {module.partition(".")[0] for module in imported} <= ALLOWED, name
        facts = ast.get_docstring(tree) or ""
        for fact in (artifact.manifest.name, artifact.manifest.onnx_sha256, f"rt4ksr-toolkit {toolkit.__version__}"):
            assert fact in facts
        (tmp_path / f"gen_{name.replace(' ', '_').replace('-', '_')}.py").write_text(text)
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check"], ["format", "--check"]):
        arguments = [ruff, *command, "--config", PROJECT / "pyproject.toml", "--no-cache", tmp_path]
        result = subprocess.run(arguments, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout


# TensorRT


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    "options",
    [
        BuildOptions(target=("sm86",)),
        BuildOptions(target=("sm89", "sm120"), optimization_level=1),
        BuildOptions(target=("sm86",), tf32=True),
    ],
    ids=["default", "level", "tf32"],
)
def test_tensorrt_rtx_builds_the_same_plan(precision: str, options: BuildOptions, tmp_path: Path) -> None:
    fp32 = export(checkpoint(), ExportOptions(shape=SHAPE), tmp_path)
    artifact = fp32 if precision == "fp32" else convert(fp32, precision)  # type: ignore[arg-type]
    build_script(artifact, "tensorrt-rtx", options, tmp_path / "gen.py")
    said = run(tmp_path / "gen.py", "--engine", "plan", cwd=tmp_path)
    plan = build(artifact, "tensorrt-rtx", options, tmp_path).engine.file("plan").read_bytes()
    assert (tmp_path / "plan").read_bytes() == plan
    if not cuda_devices()[0]:
        assert "not run: there is no NVIDIA GPU here" in said


def test_tensorrt_rtx_builds_the_same_plan_for_many_sizes(artifact: Artifact, tmp_path: Path) -> None:
    """TensorRT numbers a graph's dynamic sides in an order that differs from run to run; all else is the same."""
    options = BuildOptions(target=("sm86",), shape=SHAPE)
    build_script(artifact, "tensorrt-rtx", options, tmp_path / "gen.py")
    run(tmp_path / "gen.py", "--engine", "plan", cwd=tmp_path)
    ours = np.frombuffer(build(artifact, "tensorrt-rtx", options, tmp_path).engine.file("plan").read_bytes(), np.uint8)
    theirs = np.frombuffer((tmp_path / "plan").read_bytes(), np.uint8)
    assert ours.size == theirs.size
    assert (ours != theirs).sum() < 100
    other = build(
        artifact, "tensorrt-rtx", BuildOptions(target=("sm86",), shape=Shape(64, 64)), tmp_path, overwrite=True
    ).engine
    assert other.file("plan").read_bytes() != theirs.tobytes()


def test_the_tensorrt_script_sets_what_our_build_sets(artifact: Artifact, tmp_path: Path) -> None:
    """By TensorRT for RTX in the place of TensorRT, whose interface it has, up to the build itself."""
    pytest.importorskip("tensorrt_rtx")
    for given, tf32 in ((BuildOptions(), False), (BuildOptions(tf32=True), True)):
        options = BuildOptions(shape=SHAPE, tf32=given.tf32, optimization_level=2, version_compatible=True)
        build_script(artifact, "tensorrt", options, tmp_path / "gen.py", overwrite=True)
        code = f"""
import runpy, sys
from pathlib import Path
import tensorrt_rtx as trt
trt.__version__ = "11.0"
sys.modules["tensorrt"] = trt
def finish(network, config):
    builder, network, _parser = network()
    made = config(builder, network)
    print(made.get_flag(trt.BuilderFlag.TF32), made.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE))
    print(made.builder_optimization_level, made.num_optimization_profiles, network.num_layers)
    return lambda: b"plan"
script = runpy.run_path("gen.py")
script["build"].__globals__.update(has_gpu=lambda: True, EngineBytesFromNetwork=finish)
assert script["build"](Path({str(artifact.path)!r})) == b"plan"
"""
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        lines = result.stdout.splitlines()
        assert lines[-2:-1] == [f"{tf32} True"], result.stderr
        level, profiles, layers = lines[-1].split()
        assert (level, profiles) == ("2", "1")
        assert int(layers) > 10
    text = build_script(artifact, "tensorrt", BuildOptions(shape=SHAPE, hardware_compatible=True))
    assert "hardware_compatibility_level=trt.HardwareCompatibilityLevel.AMPERE_PLUS" in text
    layout = artifact.manifest.input.layout
    best, largest = ("1, 3, 16, 24", "1, 3, 2160, 3840") if layout == "NCHW" else ("1, 16, 24, 3", "1, 2160, 3840, 3")
    assert f"opt=({best}), max=({largest})" in text


@pytest.mark.skipif(bool(cuda_devices()[0]), reason="there is a GPU: it would be used")
@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "TensorrtExecutionProvider"])
def test_gpu_scripts_say_that_there_is_no_gpu(provider: str, artifact: Artifact, tmp_path: Path) -> None:
    subject = ScriptJob("ort-cuda", artifact, SHAPE, BuildOptions(), artifact.path)
    (tmp_path / "gen.py").write_text(generate_script(subject, provider, {}))
    result = subprocess.run([sys.executable, tmp_path / "gen.py"], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == "error: there is no NVIDIA GPU here\n"


# Requests


@pytest.mark.parametrize(
    ("runtime", "options", "file", "message"),
    [
        ("torch", BuildOptions(), "gen.py", "builds no engines"),
        ("nonsense", BuildOptions(), "gen.py", "no runtime"),
        ("ort-cpu", BuildOptions(tf32=True), "gen.py", "no option tf32"),
        ("ort-cpu", BuildOptions(shape=Shape(7, 8)), "gen.py", "not even"),
        ("tensorrt-rtx", BuildOptions(target=("ampere",)), "gen.py", "'ampere' is not a target"),
        ("openvino", BuildOptions(), "openvino.py", "in the place of openvino"),
        ("tensorrt-rtx", BuildOptions(), "polygraphy.py", "in the place of polygraphy"),
        ("openvino", BuildOptions(), "/proc/gen.py", "cannot write"),
    ],
)
def test_bad_requests(
    runtime: str, options: BuildOptions, file: str, message: str, artifact: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        build_script(artifact, runtime, options, tmp_path / file)
    assert not list(tmp_path.iterdir())


def test_openvino_wants_a_size(tmp_path: Path) -> None:
    from toolkit.network.architectures.rt4ksr.config import NetworkConfig

    artifact = export(checkpoint(NetworkConfig(scale=5, channels=4, blocks=1, hidden=6)), directory=tmp_path)
    with pytest.raises(InputError, match="no size to build for"):
        build_script(artifact, "openvino")
    assert "FRAME_SHAPE = (1, 3, 720, 1280)" in build_script(artifact, "ort-cpu")


def test_what_cannot_be_built_has_no_script(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(RUNTIMES["openvino"]), "refusal", lambda self, artifact, precision: "it is Tuesday")
    with pytest.raises(Unavailable, match="it is Tuesday"):
        build_script(artifact, "openvino")


def test_the_command(
    small_artifact: Artifact, tmp_path: Path, toolkit_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    arguments = ("build", small_artifact.path, "--runtime", "ort-cpu", "--shape", "24x16", "--gen")
    written = toolkit_command(*arguments, "gen.py", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    assert "output: float32 (1, 3, 32, 48)" in run(tmp_path / "gen.py", cwd=tmp_path)
    printed = toolkit_command(*arguments, "-", cwd=tmp_path)
    assert printed.stdout == (tmp_path / "gen.py").read_text()
    piped = subprocess.run(
        [sys.executable, "-"], input=printed.stdout, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "output: float32 (1, 3, 32, 48)" in piped.stdout
    for more in (("--json",), ("-o", "engines"), ("--list",)):
        refused = toolkit_command(*arguments, "other.py", *more, cwd=tmp_path)
        assert refused.returncode == 2
        assert "--gen" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["gen.py"]
    assert not list(small_artifact.path.parent.glob("*.engine"))

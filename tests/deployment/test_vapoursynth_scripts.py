"""VapourSynth scripts. They are run where VAPOURSYNTH_PYTHON names a Python with VapourSynth and plugins of vs-mlrt."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hostile import texts
from hypothesis import HealthCheck, given, settings
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact, encode
from toolkit.deployment.vapoursynth.script import ARTIFACT_PLUGINS, mpv_command, script
from toolkit.errors import InputError
from toolkit.graph.export import ExportOptions, export
from toolkit.port import Port
from toolkit.runtimes.engine import Engine, EngineInfo, write_engine
from toolkit.workloads import Shape

Command = Callable[..., subprocess.CompletedProcess[str]]

PYTHON = os.environ.get("VAPOURSYNTH_PYTHON")
runs = pytest.mark.skipif(PYTHON is None, reason="VAPOURSYNTH_PYTHON names no Python 3.12 or later with VapourSynth")

RUN = """
import runpy, sys
import numpy as np
import vapoursynth as vs

script, given, returned, kind, matrix, range_ = sys.argv[1:]
frame = np.load(given)  # planes
height, width = frame.shape[1:]

def fill(n, f):
    made = f.copy()
    for plane in range(3):
        np.copyto(np.asarray(made[plane]), frame[plane])
    return made

clip = vs.core.std.BlankClip(width=width, height=height, format=getattr(vs, kind), length=1)
clip = clip.std.ModifyFrame(clip, fill)
if int(matrix):
    clip = clip.resize.Bicubic(format=vs.YUV444P16, matrix=int(matrix), range_s=range_)
runpy.run_path(script, init_globals={"video_in": clip})
result = vs.get_output(0).clip
if int(matrix):
    lowest = np.asarray(result.get_frame(0)[0]).min()
    assert lowest == (0 if range_ == "full" else 16 << 8), lowest  # black, which the networks of the tests return
    result = result.resize.Bicubic(format=getattr(vs, kind), matrix_in=int(matrix))
frame = result.get_frame(0)
np.save(returned, np.stack([np.asarray(frame[plane]) for plane in range(3)]))
"""


def run(text: str, image: np.ndarray, directory: Path, *, matrix: int = 0, range_: str = "limited") -> np.ndarray:
    """A picture (H, W, 3) through a script, as mpv runs it; as YUV444P16 of that range if a matrix is given."""
    path, given, returned = directory / "script.vpy", directory / "in.npy", directory / "out.npy"
    path.write_text(text)
    np.save(given, image.transpose(2, 0, 1))
    kind = "RGB24" if image.dtype == np.uint8 else "RGB48"
    assert PYTHON is not None
    command = [PYTHON, "-c", RUN, path, given, returned, kind, str(matrix), range_]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return np.load(returned).transpose(1, 2, 0)


def expected(given: Artifact | Engine, image: np.ndarray) -> np.ndarray:
    session = toolkit.load_session(given, "ort-cpu" if isinstance(given, Artifact) else None)
    session.bind(Shape(*image.shape[:2]))
    contract = given.contract
    return contract.output.to_image(session.run(contract.input.from_image(image)), image.dtype)


def noise(height: int, width: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (height, width, 3)).astype(dtype)


@pytest.fixture
def swapped(small_artifact: Artifact, tmp_path: Path) -> Artifact:
    """The same graph, said to take BGR in -1..1 and to return BGR in 0..255."""
    manifest = small_artifact.manifest

    def changed(port: Port, low: float, high: float) -> Port:
        return msgspec.structs.replace(port, order="BGR", value_range=(low, high))

    copy = tmp_path / "swapped" / small_artifact.path.name
    copy.parent.mkdir()
    shutil.copy(small_artifact.path, copy)
    ports = {"input": changed(manifest.input, -1.0, 1.0), "output": changed(manifest.output, 0.0, 255.0)}
    copy.with_suffix(".json").write_bytes(encode(msgspec.structs.replace(manifest, **ports)))
    return Artifact.read(copy)


@runs
@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino"])
def test_vs_mlrt_runs_an_artifact(runtime: str, small_artifact: Artifact, swapped: Artifact, tmp_path: Path) -> None:
    """Odd sizes, other value ranges and other channel orders, as sessions of the toolkit."""
    for artifact in (small_artifact, swapped):
        for size in ((24, 32), (23, 31)):
            image = noise(*size)
            made = run(script(artifact, Path("a.vpy"), runtime), image, tmp_path)
            difference = np.abs(made.astype(int) - expected(artifact, image))
            assert difference.max() <= 1
            assert np.mean(difference > 0) < 0.01
    deep = noise(24, 32, np.uint16)
    for range_ in ("limited", "full"):
        yuv = run(script(small_artifact, Path("a.vpy"), runtime), deep, tmp_path, matrix=6, range_=range_)
        # Once to YUV of 16 bits and back before the network, and once after it: a few levels of 65535.
        assert np.abs(yuv.astype(int) - expected(small_artifact, deep)).max() <= 8


@runs
def test_the_plugin_runs_an_engine(small_artifact: Artifact, tmp_path: Path) -> None:
    library = os.environ.get("VAPOURSYNTH_PLUGIN")
    if library is None:
        pytest.skip("VAPOURSYNTH_PLUGIN names no libvsrt4ksr.so")
    engine = toolkit.build(small_artifact, "native", directory=tmp_path).engine
    image = noise(23, 31)
    made = run(script(engine, Path("a.vpy"), plugin=Path(library)), image, tmp_path)
    np.testing.assert_array_equal(made, expected(engine, image))
    deep = noise(24, 32, np.uint16)
    for range_ in ("limited", "full"):
        yuv = run(script(engine, Path("a.vpy"), plugin=Path(library)), deep, tmp_path, matrix=6, range_=range_)
        assert np.abs(yuv.astype(int) - expected(engine, deep)).max() <= 8


def test_every_script_is_python(small_artifact: Artifact, swapped: Artifact, tmp_path: Path) -> None:
    """And calls what the plugin's documentation says."""
    calls = {
        "ort-cpu": 'core.ort.Model([clip], network_path=NETWORK, provider="CPU")',
        "ort-cuda": 'core.ort.Model([clip], network_path=NETWORK, provider="CUDA")',
        "openvino": 'core.ov.Model([clip], network_path=NETWORK, config=lambda: {"INFERENCE_PRECISION_HINT": "f32"})',
    }
    assert set(calls) == set(ARTIFACT_PLUGINS)
    for runtime, call in calls.items():
        for artifact in (small_artifact, swapped):
            text = script(artifact, Path("a.vpy"), runtime)
            ast.parse(text)
            assert call in text and f'NETWORK = "{artifact.path.resolve()}"' in text
            assert ("[2, 1, 0]" in text) == (artifact is swapped)
    assert script(small_artifact, Path("a.vpy")) == script(small_artifact, Path("a.vpy"), "ort-cpu")


def bundle(artifact: Artifact, runtime: str, directory: Path) -> Engine:
    info = EngineInfo(
        runtime=runtime,
        artifact=artifact.manifest.name,
        artifact_sha256=artifact.manifest.onnx_sha256,
        precision="fp32",
        shape=None,
        one_size=False,
        identity={},
        machine={},
        options={},
        settings={},
        build_seconds=1.0,
        files={},
    )
    return write_engine(directory / f"a.{runtime}.engine", info, artifact, {"plan": b""})


def test_engines(small_artifact: Artifact, tmp_path: Path) -> None:
    for runtime, call in (
        ("native", "core.rt4ksr.Upscale(clip, engine=NETWORK"),
        ("tensorrt", "core.trt.Model([clip], engine_path=NETWORK)"),
        ("tensorrt-rtx", "core.trt_rtx.Model([clip], engine_path=NETWORK)"),
    ):
        engine = bundle(small_artifact, runtime, tmp_path)
        text = script(engine, Path("a.vpy"))
        ast.parse(text)
        path = engine.path if runtime == "native" else engine.file("plan")
        assert call in text and f'NETWORK = "{path}"' in text
        with pytest.raises(InputError, match=f"is an engine of {runtime}"):
            script(engine, Path("a.vpy"), "ort-cpu")
    with pytest.raises(InputError, match="no plugin of VapourSynth loads engines of openvino"):
        script(bundle(small_artifact, "openvino", tmp_path), Path("a.vpy"))


def test_what_vs_mlrt_does_not_run(small_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vs-mlrt does not run artifacts with torch"):
        script(small_artifact, Path("a.vpy"), "torch")
    lowered = Artifact(small_artifact.path, msgspec.structs.replace(small_artifact.manifest, precision="bf16"))
    with pytest.raises(InputError, match="ort-cpu does not run bf16"):
        script(lowered, Path("a.vpy"))
    assert "core.ov.Model" in script(lowered, Path("a.vpy"), "openvino")
    bytes_ = export(checkpoint(), ExportOptions(uint8="NHWC"), tmp_path)
    with pytest.raises(InputError, match=r"its input is uint8 NHWC .* not three planes of floating point"):
        script(bytes_, Path("a.vpy"))


def anonymous(text: str) -> str:
    """A program without the text of its strings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=texts())
def test_names_are_no_code(name: str, small_artifact: Artifact) -> None:
    file = name.replace("\x00", "").replace("/", "") or "a"
    made = script(small_artifact, Path(f"{file}.vpy"), plugin=Path(f"{file}.so"))
    assert anonymous(made) == anonymous(script(small_artifact, Path("a.vpy"), plugin=Path("a.so")))


@pytest.mark.parametrize(
    ("file", "value"),
    [("upscale.vpy", "upscale.vpy"), ("my film.vpy", "my film.vpy"), ("C:a,'ü.vpy", "%11%C:a,'ü.vpy")],
)
def test_names_reach_mpv(file: str, value: str) -> None:
    assert shlex.split(mpv_command(Path(file))) == ["mpv", f"--vf=vapoursynth={value}", "film.mkv"]


def test_the_command(small_artifact: Artifact, tmp_path: Path, toolkit_command: Command) -> None:
    done = toolkit_command("vapoursynth", small_artifact.path, cwd=tmp_path)
    path = tmp_path / f"{small_artifact.manifest.name}.vpy"
    assert done.returncode == 0 and "mpv --vf=vapoursynth=" in done.stderr, done.stderr
    assert path.read_text() == script(small_artifact, Path(path.name))
    again = toolkit_command("vapoursynth", small_artifact.path, cwd=tmp_path)
    assert again.returncode == 2 and "--overwrite" in again.stderr
    found = json.loads(
        toolkit_command("vapoursynth", small_artifact.path, "--overwrite", "--json", cwd=tmp_path).stdout
    )
    assert (found["path"], found["network"]) == (path.name, str(small_artifact.path))
    assert found["mpv"] == mpv_command(Path(path.name))
    both = toolkit_command("vapoursynth", small_artifact.path, "--json", "-o", "-", cwd=tmp_path)
    assert both.returncode == 2 and both.stdout == ""
    shown = toolkit_command("vapoursynth", small_artifact.path, "-o", "-", "--runtime", "openvino", cwd=tmp_path)
    assert shown.returncode == 0 and shown.stdout == script(small_artifact, Path("script.vpy"), "openvino")

"""Engine bundles: built, reused, listed, and refused when anything about them does not fit."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import checkpoint, rewrite_engine

from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, InputError, Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.source import source_checkpoint
from toolkit.network.module import numpy_function
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import RUNTIMES, build, list_engines
from toolkit.runtimes.subject import load_session
from toolkit.system.atomic import sha256_of
from toolkit.system.hardware import cpu_model
from toolkit.system.probe import Availability
from toolkit.workloads import Shape

SHAPE = Shape(16, 24)
CPU = ("ort-cpu", "openvino")


@pytest.fixture(params=CPU)
def engine(request: pytest.FixtureRequest, small_artifact: Artifact, tmp_path: Path) -> Engine:
    return build(small_artifact, request.param, BuildOptions(shape=SHAPE), tmp_path).engine


def frame() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, *SHAPE.sides), np.float32)


def test_a_bundle_explains_itself_and_runs(engine: Engine, small_artifact: Artifact) -> None:
    info = json.loads((engine.path / "engine.json").read_text())
    assert info["artifact_sha256"] == small_artifact.manifest.onnx_sha256
    assert info["precision"] == "fp32"
    assert info["shape"] == [16, 24]
    assert info["identity"]["version"]
    assert info["build_seconds"] > 0
    assert info["options"] == {"shape": "24x16"}
    assert info["settings"] == {"threads": "all usable"}
    assert info["identity"]["instructions"] == " ".join(cpu_model()[1])
    assert info["machine"]["processor"] == cpu_model()[0]
    assert {name: file["size"] for name, file in info["files"].items()} == {
        path.name: path.stat().st_size for path in engine.path.iterdir() if path.name != "engine.json"
    }
    session = load_session(engine.path)
    session.bind(SHAPE)
    truth = numpy_function(source_checkpoint(small_artifact).network, "float64")(frame()).clip(0, 1)
    np.testing.assert_allclose(session.run(frame()), truth, rtol=0, atol=1e-5)


def test_building_again_is_instant_until_something_changes(engine: Engine, small_artifact: Artifact) -> None:
    runtime, directory = engine.info.runtime, engine.path.parent
    options = BuildOptions(shape=SHAPE)
    again = build(small_artifact, runtime, options, directory)
    assert not again.fresh
    assert again.engine.info == engine.info
    assert build(small_artifact, runtime, BuildOptions(shape=Shape(8, 8)), directory, overwrite=True).fresh
    (engine.path / "manifest.json").write_text("{}")
    assert build(small_artifact, runtime, options, directory).fresh
    assert not build(small_artifact, runtime, options, directory).fresh
    assert [path.name for path in directory.iterdir()] == [engine.path.name]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused(engine: Engine, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(engine.path.iterdir())))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(changed)
        with pytest.raises(ArtifactError) as caught:
            load_session(engine.path)
        assert f"{engine.info.artifact}.onnx --runtime {engine.info.runtime}" in caught.value.remedy
    finally:
        path.write_bytes(original)


def fields(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all that is no object itself."""
    if not isinstance(value, dict):
        return [path]
    return [inner for name, item in value.items() for inner in fields(item, (*path, name))] or [path]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_edited_field_anywhere_is_refused(engine: Engine, data: st.DataObject) -> None:
    """Written as carefully as we do, but without the seal."""
    path = engine.path / "engine.json"
    original = path.read_bytes()
    info = json.loads(original)
    *parents, last = data.draw(st.sampled_from(fields(info)))
    home = info
    for name in parents:
        home = home[name]
    values = st.none() | st.text() | st.integers() | st.floats(allow_nan=False) | st.dictionaries(st.text(), st.text())
    home[last] = data.draw(values.filter(lambda value: value != home[last]))
    try:
        path.write_text(json.dumps(info, indent=2) + "\n")
        with pytest.raises(ArtifactError, match=r"was edited|cannot be read|has schema") as caught:
            load_session(engine.path)
        assert f"{engine.info.artifact}.onnx --runtime {engine.info.runtime}" in caught.value.remedy
    finally:
        path.write_bytes(original)


def test_the_command_that_rebuilds_can_be_given(engine: Engine) -> None:
    """Options that are on or off take no value; what it was built for does not count, since it is built for here."""
    options = {"target": "sm86,sm89", "tf32": "true", "optimization-level": "3", "cuda-graph": "false"}
    rewrite_engine(engine.path, lambda info: info.update(options=options))
    given = " --tf32 --optimization-level 3 --no-cuda-graph"
    command = Engine.read(engine.path).rebuild_command
    assert f"{given} -o {engine.path.parent}" in command
    assert "--target" not in command


def test_the_command_that_rebuilds_rebuilds(
    small_artifact: Artifact, tmp_path: Path, toolkit_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """From a directory with a space in its name."""
    home = tmp_path / "my engines"
    shutil.copytree(small_artifact.path.parent, home)
    artifact = Artifact.read(home / small_artifact.path.name)
    engine = build(artifact, "ort-cpu", BuildOptions(shape=SHAPE, threads=1)).engine
    for name in ("model.onnx", "engine.json"):
        (engine.path / name).write_bytes(b"damaged")
        refused = toolkit_command("profile", engine.path)
        assert refused.returncode == 2
        _, _, command = refused.stderr.partition("Build it again: ")
        assert toolkit_command(*shlex.split(command)[1:]).returncode == 0, command
        assert Engine.read(engine.path).info.artifact_sha256 == artifact.manifest.onnx_sha256


@pytest.mark.parametrize("field", ["version", "instructions"])
def test_an_engine_for_something_else_is_refused_with_the_command_that_rebuilds_it(field: str, engine: Engine) -> None:
    rewrite_engine(engine.path, lambda info: info["identity"].update({field: "another"}))
    reason = "the processor here lacks another" if field == "instructions" else "it was built for another"
    with pytest.raises(Unavailable, match=reason) as caught:
        load_session(engine.path)
    assert caught.value.exit_code == 3
    command = f"toolkit build rt4ksr_x2_c6b2_fp32.onnx --runtime {engine.info.runtime} --shape 24x16"
    assert command in caught.value.remedy
    (state,) = list_engines(engine.path.parent)
    assert not state.fits
    assert reason in state.reason
    assert command in state.remedy


def test_an_engine_of_a_lesser_processor_is_refused(engine: Engine) -> None:
    """Its kernels, and the layout of its weights, were chosen without what this one has."""
    *_, last = cpu_model()[1] or pytest.skip("this processor has no extension that we know")
    fewer = " ".join(flag for flag in cpu_model()[1] if flag != last)
    rewrite_engine(engine.path, lambda info: info["identity"].update(instructions=fewer))
    with pytest.raises(Unavailable, match=f"the processor here has {last}, and kernels were chosen without"):
        load_session(engine.path)


def test_an_engine_of_another_artifact_is_refused(small_artifact: Artifact, tmp_path: Path) -> None:
    """The one beside it was exported again, from other weights."""
    engine = build(small_artifact, "ort-cpu", BuildOptions(shape=SHAPE), tmp_path).engine
    assert load_session(engine.path)
    artifact = export(checkpoint(seed=1), directory=tmp_path)
    with pytest.raises(Unavailable, match="beside it is another than the one it was built from"):
        load_session(engine.path)
    (state,) = list_engines(tmp_path)
    assert not state.fits
    assert build(artifact, "ort-cpu", BuildOptions(shape=SHAPE)).fresh
    assert load_session(engine.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: info.update(schema=9), "schema 9"),
        (lambda info: info["files"].pop("manifest.json"), "has no manifest"),
        (
            lambda info: info["files"].update({"../x": {"sha256": sha256_of(b"x"), "size": 1}}),
            "missing, or does not match",
        ),
        (lambda info: info.update(precision="fp16"), "belong to different artifacts"),
        (lambda info: info.update(artifact="other"), "belong to different artifacts"),
        (lambda info: info.update(artifact_sha256="0" * 64), "belong to different artifacts"),
    ],
)
def test_a_description_that_does_not_fit_its_files_is_refused(
    change: Callable[[dict], None], message: str, engine: Engine
) -> None:
    """Even with a seal. Of files outside of the bundle it must not speak, though they be as it says."""
    (engine.path.parent / "x").write_bytes(b"x")
    rewrite_engine(engine.path, change)
    with pytest.raises(ArtifactError, match=message):
        load_session(engine.path)


def test_the_bundle_of_before_stays_until_the_new_one_is_there(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two directories cannot be exchanged in one step, and someone presses Ctrl-C in between."""
    engine = build(small_artifact, "ort-cpu", BuildOptions(shape=SHAPE), tmp_path).engine
    monkeypatch.setattr("toolkit.system.atomic._exchanged", lambda one, other: False)
    original = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if Path(target) == engine.path and ".old." not in self.name:
            raise KeyboardInterrupt
        return original(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", interrupted)
        build(small_artifact, "ort-cpu", BuildOptions(shape=Shape(8, 8)), tmp_path, overwrite=True)
    assert Engine.read(engine.path).info == engine.info
    assert build(small_artifact, "ort-cpu", BuildOptions(shape=Shape(8, 8)), tmp_path, overwrite=True).fresh
    assert [path.name for path in tmp_path.iterdir()] == [engine.path.name]


THREADS = """
import os, sys
# Processes of tests have one CPU each, and OpenVINO starts no more threads than the process had CPUs at its start.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, range(os.cpu_count()))
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.subject import load_session
from toolkit.workloads import Shape
for options in (None, SessionOptions(threads=2)):
    session = load_session(sys.argv[1], options=options)
    session.bind(Shape(int(sys.argv[2]), int(sys.argv[3])))
    print(session._compiled.get_property("INFERENCE_NUM_THREADS"))
"""


def test_an_engine_runs_with_the_threads_it_was_built_for(small_artifact: Artifact, tmp_path: Path) -> None:
    engine = build(small_artifact, "openvino", BuildOptions(shape=SHAPE, threads=1), tmp_path).engine
    command = [sys.executable, "-c", THREADS, str(engine.path), *map(str, SHAPE.sides)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["1", "2"]


def test_half_a_bundle_is_refused_and_listed(engine: Engine) -> None:
    next(path for path in engine.path.iterdir() if path.suffix != ".json").unlink()
    with pytest.raises(ArtifactError, match="missing, or does not match"):
        load_session(engine.path)
    (state,) = list_engines(engine.path.parent)
    assert not state.fits
    (engine.path / "engine.json").write_text("{")
    with pytest.raises(ArtifactError, match="cannot be read") as caught:
        load_session(engine.path)
    assert f"toolkit build rt4ksr_x2_c6b2_fp32.onnx --runtime {engine.info.runtime}" in caught.value.remedy
    nameless = engine.path.rename(engine.path.with_name("x.engine"))
    with pytest.raises(ArtifactError, match="cannot be read") as caught:
        load_session(nameless)
    assert caught.value.remedy == "Build it again: `toolkit build`"
    with pytest.raises(ArtifactError, match="is not an engine"):
        load_session(engine.path.parent)


def test_listing_needs_a_directory(tmp_path: Path) -> None:
    assert list_engines(tmp_path) == []
    with pytest.raises(InputError, match="there is no directory"):
        list_engines(tmp_path / "missing")


def test_an_engine_that_fits_may_have_no_runtime_here(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(small_artifact, "ort-cpu", BuildOptions(shape=SHAPE), tmp_path)
    (state,) = list_engines(tmp_path)
    assert (state.fits, state.runs, state.reason, state.remedy) == (True, True, "", "")
    gone = Availability(False, "it is broken", "mend it")
    monkeypatch.setattr(type(RUNTIMES["ort-cpu"]), "probe", lambda self: gone)
    (state,) = list_engines(tmp_path)
    assert (state.fits, state.runs, state.reason, state.remedy) == (True, False, "it is broken", "mend it")


def test_an_openvino_engine_has_one_size(small_artifact: Artifact, tmp_path: Path) -> None:
    engine = build(small_artifact, "openvino", BuildOptions(shape=SHAPE), tmp_path).engine
    with pytest.raises(InputError, match="built for 24x16, not 8x8"):
        load_session(engine).bind(Shape(8, 8))


def test_a_failed_build_leaves_nothing(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "manifest.json":
            raise OSError(28, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        build(small_artifact, "ort-cpu", BuildOptions(shape=SHAPE), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("runtime", "options", "message"),
    [
        ("torch", BuildOptions(), "builds no engines"),
        ("torch-cuda", BuildOptions(), "builds no engines"),
        ("ort-cpu", BuildOptions(tf32=True), "no option tf32"),
        ("ort-cpu", BuildOptions(nhwc=False), "no option nhwc"),
        ("openvino", BuildOptions(target=("sm86",)), "no option target"),
        ("ort-cpu", BuildOptions(shape=Shape(7, 8)), "not even"),
        ("nonsense", BuildOptions(), "no runtime"),
        ("tensorrt-rtx", BuildOptions(target=("sm1",)), "no target 'sm1'"),
    ],
)
def test_bad_requests(
    runtime: str, options: BuildOptions, message: str, small_artifact: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        build(small_artifact, runtime, options, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_static_artifact_is_built_for_its_own_size(tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(shape=SHAPE), tmp_path)
    assert build(artifact, "openvino").engine.info.shape == (16, 24)
    with pytest.raises(InputError, match="accepts only 24x16"):
        build(artifact, "openvino", BuildOptions(shape=Shape(8, 8)))

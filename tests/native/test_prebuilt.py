"""Engines that a wheel carries: found by graph and CPU, run without a compiler, and compiled by the build hook."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.native import prebuilt
from toolkit.native.compiler import find_compiler
from toolkit.native.prebuilt import any_prebuilt, find_prebuilt, prebuild, prebuilt_targets
from toolkit.native.targets import TARGETS, find_target, missing
from toolkit.network.module import numpy_function
from toolkit.runtimes.registry import default_runtime
from toolkit.workloads import Shape

ROOT = Path(__file__).parents[2]
FRAME = np.random.default_rng(0).random((1, 3, 6, 8), np.float32)


@pytest.fixture(scope="module")
def engines(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of the small network, for every target that there is a compiler for."""
    directory = tmp_path_factory.mktemp("prebuilt")
    written, left_out = prebuild([small_artifact], directory)
    built = {path.name.split(".")[1] for path in written}
    assert built | {target.name for target in left_out} == {"x86-64-v3", "x86-64-v4", "aarch64"}
    assert {target.name for target in left_out} == {name for name in ("aarch64",) if find_compiler(name) is None}
    return directory


@pytest.fixture
def installed(engines: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in an installed wheel, on a machine without a compiler."""
    monkeypatch.setattr(prebuilt, "DIRECTORY", engines)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert find_compiler() is None
    return engines


def result_of(artifact: Artifact) -> tuple[np.ndarray, set[str]]:
    """Of the frame, and the devices that computed it."""
    session = toolkit.load_session(artifact, "native")
    session.bind(Shape(6, 8))
    return np.array(session.run(FRAME)), {node.device for node in session.executed().values()}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_every_cpu_has_an_engine_of_its_own_instructions(precision: str) -> None:
    """For lower precisions only those that have such instructions: they are no faster than float32 on others."""
    chosen = prebuilt_targets(precision)
    for target in TARGETS.values():
        if target.machine and (precision == "fp32" or precision in target.fast):
            alike = [item for item in chosen if item.computes_like(target, precision)]
            assert len(alike) == 1
            assert alike[0].machine == target.machine and alike[0].flags <= target.flags
    assert len(chosen) == {"fp32": 3, "bf16": 2, "int8": 2}[precision]


@pytest.mark.slow
def test_without_a_compiler(installed: Path, small_artifact: Artifact, tmp_path: Path) -> None:
    assert default_runtime(small_artifact) == "native"
    result, devices = result_of(small_artifact)
    found = find_prebuilt(small_artifact.manifest)
    assert found is not None
    path, target = found
    assert path.parent == installed
    assert target.computes_like(find_target("native"), "fp32")
    assert devices == {f"CPU, {target.name}"}
    truth = numpy_function(checkpoint().network, "float64")(FRAME).clip(0, 1)
    np.testing.assert_allclose(result, truth, rtol=0, atol=1e-5)
    # Another graph has none, nor has this one where the CPU is too old.
    other = export(checkpoint(seed=1), ExportOptions(), tmp_path)
    assert default_runtime(other) == "ort-cpu"
    with pytest.raises(toolkit.Unavailable, match="no engine of this network comes with the toolkit"):
        toolkit.load_session(other, "native")
    with pytest.raises(toolkit.Unavailable, match=r"needs a C\+\+ compiler"):
        toolkit.build(small_artifact, "native", directory=tmp_path / "bundle")


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other machines have one target")
def test_older_cpus(installed: Path, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = result_of(small_artifact)
    monkeypatch.setattr("toolkit.native.targets.instruction_sets", lambda: frozenset({"avx2", "fma"}))
    result, devices = result_of(small_artifact)
    assert devices == {"CPU, x86-64-v3"}
    np.testing.assert_array_equal(result, expected)
    monkeypatch.setattr("toolkit.native.targets.instruction_sets", lambda: frozenset({"sse2"}))
    assert find_prebuilt(small_artifact.manifest) is None
    with pytest.raises(toolkit.Unavailable, match=r"that come with the toolkit are for other CPUs \(x86-64-v4, "):
        toolkit.load_session(small_artifact, "native")


@pytest.mark.slow
def test_a_compiler_serves_cpus_that_no_engine_was_made_for(
    engines: Path, small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prebuilt engine is used instead of compiling only where it is as fast."""
    fastest = find_target("native")
    for name in ("x86-64-v3", "x86-64-v4", "aarch64"):
        if not missing(TARGETS[name]):
            (alone := tmp_path / name).mkdir()
            for path in engines.glob(f"*.{name}.so"):
                shutil.copy(path, alone)
            monkeypatch.setattr(prebuilt, "DIRECTORY", alone)
            _, devices = result_of(small_artifact)
            used = name if TARGETS[name].computes_like(fastest, "fp32") else fastest.name
            assert devices == {f"CPU, {used}"}


def test_a_source_tree_has_none() -> None:
    assert not any_prebuilt()


@pytest.mark.slow
def test_the_wheel_carries_them(tmp_path: Path) -> None:
    """The build hook, in a source tree with one small graph."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("toolkit", "README.md", "LICENSE", "pyproject.toml", "hatch_build.py"):
        (tree / name).symlink_to(ROOT / name)
    (tree / "exported").mkdir()
    for path in (ROOT / "exported").glob("rt4ksr_x2_int_int8.*"):
        shutil.copy(path, tree / "exported")
    weights = Artifact.read(ROOT / "exported" / "rt4ksr_x2_int_int8.onnx").weights_path
    assert weights is not None
    shutil.copy(weights, tree / "exported")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(tree)]
    environment = {"PATH": "/usr/bin:/bin", "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"}
    done = subprocess.run(build, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    carried = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    assert all(name.startswith("toolkit/native/prebuilt/rt4ksr_x2_int_int8-") for name in carried)
    assert len(carried) == len(prebuilt_targets("int8"))

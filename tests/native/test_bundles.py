"""What a bundle holds for programs: CMake and pkg-config files, clean headers, and the engine that fits the CPU."""

from __future__ import annotations

import ctypes
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from native.graphs import artifact
from native.networks import gated, strided, unshuffled_later
from native.running import Native
from native.test_programs import CROSS, DRIVER, drive

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import OutputExists
from toolkit.native.compiler import require_compiler
from toolkit.native.interface import SHARED, interface
from toolkit.native.targets import TARGETS, find_target, find_targets, missing
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import BuildOptions
from toolkit.sizes import SizeRule
from toolkit.workloads import Shape

STRICT = ("-Wall", "-Wextra", "-pedantic", "-Werror")
SIZE = (6, 10)


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


DEFINITIONS = ("SYMBOL=first", "UNIT=FIRST_UNIT", "SCALE=FIRST_SCALE", "CHANNELS=3")
"""Of the driver."""

SEVERAL = ("scalar", "x86-64-v3", "x86-64-amx") if platform.machine() == "x86_64" else ("scalar", "native")
ONE, MANY = pytest.param(("native",), id="one target"), pytest.param(SEVERAL, id="several targets")


@pytest.fixture(scope="module")
def network(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Native:
    """A small one, named `first`."""
    return Native(artifact(strided(channels=(2, 3)), small_artifact, tmp_path_factory.mktemp("network"), 2, "first"))


@pytest.fixture(scope="module")
def bundle(network: Native, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Engine]:
    """Its bundle for some targets, built once."""

    @cache
    def built(targets: tuple[str, ...]) -> Engine:
        directory = tmp_path_factory.mktemp("bundle")
        return toolkit.build(network.artifact, "native", BuildOptions(target=targets), directory).engine

    return lambda *targets: built(tuple(target.name for target in find_targets(targets)))


@pytest.mark.parametrize(("compiler", "standard", "suffix"), [("cc", "-std=c99", "c"), ("c++", "-std=c++11", "cpp")])
def test_headers_are_clean(
    compiler: str, standard: str, suffix: str, bundle: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = bundle("native")
    included = ("first.h", "loading.h", "engine.h")
    source = tmp_path / f"program.{suffix}"
    source.write_text("".join(f'#include "{name}"\n' for name in included) + "int main(void) { return 0; }\n")
    run(compiler, standard, *STRICT, "-I", engine.path, "-c", source, cwd=tmp_path)


BOTH = """#include <stdio.h>
#include "first.h"
#include "second.h"

int main(void) {
  first_engine* x2 = NULL;
  second_engine* x3 = NULL;
  int height = 0;
  if (first_create(&x2, 4, 8, 1) != first_ok || second_create(&x3, 4, 8, 1) != second_ok) return 1;
  second_shape(x3, NULL, NULL, &height, NULL);
  printf("%d %s", height, first_error(first_create(&x2, 5, 8, 1)));
  second_destroy(x3);
  return 0;
}
"""
PROJECT = """cmake_minimum_required(VERSION 3.16)
project(upscale LANGUAGES C CXX)
find_package(first CONFIG REQUIRED)
find_package(second CONFIG REQUIRED)
add_compile_options({flags})
foreach(language c cpp)
  add_executable(driver_${{language}} driver.${{language}})
  target_compile_definitions(driver_${{language}} PRIVATE {definitions})
  target_link_libraries(driver_${{language}} PRIVATE first::engine)
  add_executable(both_${{language}} both.${{language}})
  target_link_libraries(both_${{language}} PRIVATE first::engine second::engine)
endforeach()
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake (apt install cmake)")
def test_cmake_finds_engines(
    network: Native, bundle: Callable[..., Engine], small_artifact: Artifact, tmp_path: Path
) -> None:
    """One, and two in one program, in C and in C++; one is for a single target, the other for first."""
    second = toolkit.build(artifact(unshuffled_later(), small_artifact, tmp_path, 3, "second"), "native").engine
    for suffix in ("c", "cpp"):
        shutil.copy(DRIVER, tmp_path / f"driver.{suffix}")
        (tmp_path / f"both.{suffix}").write_text(BOTH)
    text = PROJECT.format(flags=" ".join(STRICT), definitions=" ".join(DEFINITIONS))
    (tmp_path / "CMakeLists.txt").write_text(text)
    prefixes = ";".join(str(engine.path) for engine in (bundle(*SEVERAL), second))
    run("cmake", "-S", ".", "-B", "made", f"-DCMAKE_PREFIX_PATH={prefixes}", cwd=tmp_path)
    run("cmake", "--build", "made", cwd=tmp_path)
    for suffix in ("c", "cpp"):
        got = drive([str(tmp_path / "made" / f"driver_{suffix}")], network, SIZE, tmp_path)
        np.testing.assert_array_equal(got, network.run(network.noise(*SIZE), "scalar"))
        said = run(tmp_path / "made" / f"both_{suffix}", cwd=tmp_path)
        assert said.startswith("12 height and width must be even, and 4 to 65536")


@pytest.mark.skipif(shutil.which("cmake") is None, reason="there is no cmake (apt install cmake)")
def test_cmake_refuses_an_engine_for_another_machine(bundle: Callable[..., Engine], tmp_path: Path) -> None:
    text = "cmake_minimum_required(VERSION 3.16)\nproject(p LANGUAGES NONE)\n"
    text += "set(CMAKE_SYSTEM_PROCESSOR riscv64)\nfind_package(first CONFIG REQUIRED)\n"
    (tmp_path / "CMakeLists.txt").write_text(text)
    command = ["cmake", ".", f"-Dfirst_DIR={bundle('native').path}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert f"it was built for {find_target('native').name}, not for riscv64" in " ".join(done.stderr.split())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pkg-config") is None, reason="there is no pkg-config (apt install pkg-config)")
@pytest.mark.parametrize("targets", [ONE, MANY])
def test_pkg_config_finds_an_engine_wherever_it_is(
    targets: tuple[str, ...], network: Native, bundle: Callable[..., Engine], tmp_path: Path
) -> None:
    place = shutil.copytree(bundle(*targets).path, tmp_path / "a place")
    asked = ["env", f"PKG_CONFIG_PATH={place}", "pkg-config"]
    assert run(*asked, "--modversion", "first", cwd=tmp_path).strip() == version("rt4ksr-toolkit")
    flags = shlex.split(run(*asked, "--cflags", "--libs", "first", cwd=tmp_path))
    defined = [f"-D{text}" for text in DEFINITIONS]
    for compiler, suffix in (("cc", "c"), ("c++", "cpp")):
        shutil.copy(DRIVER, tmp_path / f"driver.{suffix}")
        command = [compiler, *STRICT, *defined, f"driver.{suffix}", *flags, f"-Wl,-rpath,{place}", "-o", suffix]
        run(*command, cwd=tmp_path)
        got = drive([str(tmp_path / suffix)], network, SIZE, tmp_path)
        np.testing.assert_array_equal(got, network.run(network.noise(*SIZE), "scalar"))


def loaded(library: Path, name: str) -> tuple[int, set[str]]:
    """What `create` of an engine returns to a C program, and which files of the bundle are then in memory."""
    code = (
        "import ctypes, sys\n"
        "create = getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2] + '_create')\n"
        "print(create(ctypes.byref(ctypes.c_void_p()), 8, 8, 1))\n"
        "print(*{line.split()[-1] for line in open('/proc/self/maps') if line.endswith('.so\\n')}, sep='\\n')"
    )
    code, *paths = run(sys.executable, "-c", code, library, name, cwd=library.parent).splitlines()
    return int(code), {Path(path).name for path in paths if Path(path).parent == library.parent}


def test_the_fastest_engine_that_fits_is_loaded(
    network: Native, bundle: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Python and by C programs."""
    engine = bundle(*SEVERAL)
    built = engine.info.identity["target"].split(",")
    best = next(name for name in TARGETS if name in built and not missing(TARGETS[name]))
    frame = network.noise(*SIZE)
    for fitting in (best, "scalar"):
        if fitting == "scalar":
            monkeypatch.setattr("toolkit.native.targets.instruction_sets", frozenset)
        session = toolkit.load_session(engine)
        session.bind(Shape(*SIZE))
        assert {node.device for node in session.executed().values()} == {f"CPU, {fitting}"}
        np.testing.assert_array_equal(session.run(frame), network.run(frame, "scalar"))
    assert loaded(engine.file("engine.so"), "first") == (0, {"engine.so", f"first.{best}.so"})


@pytest.mark.parametrize("damage", ["missing", "empty", "another library"])
def test_the_next_engine_is_loaded_if_the_fastest_cannot(
    damage: str, bundle: Callable[..., Engine], tmp_path: Path
) -> None:
    (tmp_path / "empty.cpp").touch()
    run(require_compiler().path, "-shared", "empty.cpp", "-o", "another.so", cwd=tmp_path)
    engine = bundle(*SEVERAL)
    place = shutil.copytree(engine.path, tmp_path / "place")
    fitting = [name for name in engine.info.identity["target"].split(",") if not missing(TARGETS[name])]
    assert len(fitting) > 1
    for name in fitting:
        assert loaded(place / "engine.so", "first") == (0, {"engine.so", f"first.{name}.so"})
        file = place / f"first.{name}.so"
        file.unlink()
        if damage == "empty":
            file.touch()
        elif damage == "another library":
            shutil.copy(tmp_path / "another.so", file)
    assert loaded(place / "engine.so", "first") == (5, {"engine.so"})


def test_several_targets_are_one_bundle(network: Native, tmp_path: Path) -> None:
    options = BuildOptions(target=("scalar", "native", "scalar"))
    built = toolkit.build(network.artifact, "native", options, tmp_path)
    assert built.engine.info.identity["target"] == f"{find_target('native').name},scalar"
    assert not toolkit.build(network.artifact, "native", options, tmp_path).fresh
    with pytest.raises(OutputExists, match="other options"):
        toolkit.build(network.artifact, "native", BuildOptions(target=("scalar",)), tmp_path)
    with pytest.raises(toolkit.InputError, match="there is no target 'sm86'"):
        toolkit.build(network.artifact, "native", BuildOptions(target=("scalar", "sm86")), tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize("targets", [ONE, MANY])
def test_engines_need_no_libstdcxx(targets: tuple[str, ...], bundle: Callable[..., Engine], tmp_path: Path) -> None:
    """The program that they are shipped with may come with an older one."""
    if not require_compiler().has("libstdc++.a"):
        pytest.skip("this compiler has no static C++ library")
    for library in bundle(*targets).path.glob("*.so"):
        needed = run("readelf", "-d", library, cwd=tmp_path)
        assert "libc.so" in needed
        assert "libstdc++" not in needed


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(CROSS) is None, reason=f"there is no {CROSS} (apt install g++-aarch64-linux-gnu)")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="for other machines there is another cross compiler")
def test_a_bundle_for_two_kinds_of_machine(bundle: Callable[..., Engine], tmp_path: Path) -> None:
    engine = bundle("aarch64", "x86-64-v3")
    heads = {name: run("readelf", "-h", engine.file(name), cwd=tmp_path) for name in engine.info.files if ".so" in name}
    assert {name for name, head in heads.items() if "AArch64" in head} == {"first.aarch64.so"}
    assert 'set(_first_aarch64 "first.aarch64.so")' in engine.file("firstConfig.cmake").read_text()
    assert {"engine.so", "libfirst.so", "first.x86-64-v3.so"} < heads.keys()


def test_no_compiler_for_another_machine(network: Native, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    (tmp_path / "c++").symlink_to(require_compiler().path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    options = BuildOptions(target=("aarch64",))
    with pytest.raises(toolkit.Unavailable, match=r"none was found .aarch64-linux-gnu-g") as caught:
        toolkit.build(network.artifact, "native", options, tmp_path)
    assert "apt install g++-aarch64-linux-gnu (Debian, Ubuntu), or conda install" in caught.value.remedy


@pytest.mark.parametrize("name", ["engine.so", f"first.{find_target('native').name}.so"])
def test_what_c_programs_get_wrong_has_a_code_and_a_text(name: str, bundle: Callable[..., Engine]) -> None:
    """Of the library that chooses an engine, and of an engine itself."""
    library = ctypes.CDLL(str(bundle(*SEVERAL, find_target("native").name).file(name)))
    library.first_error.restype = library.first_version.restype = ctypes.c_char_p
    library.first_working_bytes.restype = ctypes.c_size_t
    assert library.first_version().decode() == version("rt4ksr-toolkit")
    made, frame = ctypes.c_void_p(), ctypes.create_string_buffer(4)
    made.value = 1
    assert library.first_create(None, 8, 8, 1) == library.first_create(ctypes.byref(made), 8, 8, -1) == 2
    assert made.value is None
    for size in ((5, 8), (8, 5), (2, 8), (0, 0), (-4, 8), (8, 65538)):
        assert library.first_create(ctypes.byref(made), *size, 1) == 1
        assert made.value is None
    assert library.first_run(None, frame, frame) == library.first_run_rows(None, frame, frame, 0, 4) == 2
    assert library.first_create(ctypes.byref(made), 8, 8, 1) == 0
    for given, result in ((None, frame), (frame, None)):
        assert library.first_run(made, given, result) == library.first_run_rows(made, given, result, 0, 4) == 2
    assert library.first_run_yuv420(None, frame, frame, 0, 8) == 2
    assert library.first_run_yuv420(made, None, frame, 0, 8) == library.first_run_yuv420(made, frame, None, 0, 8) == 2
    for rows in ((1, 2), (0, 3), (-4, 4), (4, 8), (0, 0), (0, -4), (2**30, 2**30)):
        assert library.first_run_rows(made, frame, frame, *rows) == 1
    library.first_destroy(made)
    library.first_destroy(None)
    side = ctypes.c_int(7)
    library.first_shape(None, ctypes.byref(side), None, None, None)
    assert side.value == library.first_working_bytes(None) == 0
    texts = [library.first_error(code).decode() for code in range(6)]
    if name == "engine.so":
        files = ", ".join(f"first.{target.name}.so" for target in find_targets({*SEVERAL, "native"}))
        assert texts[5].endswith(f"engine.so; it looks for {files}")
    assert texts[1] == "height and width must be even, and 4 to 65536; rows must be in the frame and multiples of 2"
    assert len(set(texts)) == 6
    assert library.first_error(-1) == library.first_error(6) == b"not a code of this engine"


def test_texts_of_sizes(small_artifact: Artifact, tmp_path: Path) -> None:
    network = Native(artifact(gated(), small_artifact, tmp_path, 3, sizes=SizeRule(1, 1)))
    fixed = replace(network.program, shape=(270, 480))
    for program, sides in (
        (network.program, "height and width must be 1 to 65536"),
        (fixed, "height must be 270 and width 480"),
    ):
        texts = interface(SHARED, program, network.artifact.manifest, find_target("scalar"))
        assert f'"{sides}; rows must be in the frame; sizes and rows of video must be even"' in texts

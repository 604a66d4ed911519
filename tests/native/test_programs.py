"""Engines without Python: the C interface, on another processor, and the example program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from native.graphs import artifact
from native.networks import NETWORKS, luma, strided
from native.running import Native
from PIL import Image

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.source import source_checkpoint
from toolkit.native.compiler import FLAGS, sources
from toolkit.native.interface import HEADER, common_headers, interface, symbol
from toolkit.native.targets import TARGETS, Target, find_target
from toolkit.runtimes.engine import EngineInfo
from toolkit.runtimes.options import BuildOptions
from toolkit.workloads import Shape

DRIVER = Path(__file__).with_name("driver.c")
CROSS, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
SIZES = [(4, 4), (6, 10), (4, 38), (20, 130)]


def build(network: Native, target: Target, compiler: str, directory: Path, *options: str, main: Path = DRIVER) -> Path:
    """An executable of an engine and a C++ program, which sees the headers of a bundle only. An engine with tiles takes
    it for granted that there are tiles."""
    manifest = network.artifact.manifest
    for name, text in sources(network.program, manifest, target).items():
        (directory / name).write_text(text.replace("tiles::available()", "true"))
    (directory / "c").mkdir()
    (directory / "c" / HEADER).write_text(interface(HEADER, network.program, manifest, target))
    for name, text in common_headers().items():
        (directory / "c" / name).write_text(text)
    common = [*(flag for flag in FLAGS if flag != "-O3"), *target.options]
    prefix, channels = symbol(manifest.name), manifest.input.channels
    constants = (f"-D{name}={prefix.upper()}_{name}" for name in ("UNIT", "SCALE"))
    defined = f"-DSYMBOL={prefix}", *constants, f"-DCHANNELS={channels}"
    run(compiler, *common, *options, "-c", "engine.cpp", "-o", "engine.o", cwd=directory)
    compiled = "-x", "c++", "-Ic", str(main), "-x", "none", "engine.o", "-o", "driver", "-pthread"
    run(compiler, "-std=c++17", *options, *defined, *compiled, cwd=directory)
    return directory / "driver"


def run(*command: str, cwd: Path) -> None:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr


def drive(
    program: list[str], network: Native, size: tuple[int, int], directory: Path, **environment: str
) -> np.ndarray:
    """What the driver writes for a frame of noise."""
    frame = network.noise(*size)
    output = network.empty(frame)
    source, result = directory / "frame", directory / "result"
    source.write_bytes(frame.tobytes())
    arguments = [*map(str, size), str(frame.nbytes), str(output.nbytes), str(source), str(result)]
    ran = subprocess.run(
        [*program, *arguments], capture_output=True, text=True, timeout=300, check=False, env=os.environ | environment
    )
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr
    return np.frombuffer(result.read_bytes(), output.dtype).reshape(output.shape)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which(CROSS) is None, reason=f"there is no {CROSS} (apt install g++-aarch64-linux-gnu)")
@pytest.mark.skipif(shutil.which(EMULATOR) is None, reason=f"there is no {EMULATOR} (apt install qemu-user)")
@pytest.mark.parametrize("name", NETWORKS)
def test_neon_computes_the_same_bits(name: str, native: Callable[..., Native], tmp_path: Path) -> None:
    make, scale = NETWORKS[name]
    network = native(make(), scale)
    driver = build(network, find_target("aarch64"), CROSS, tmp_path, "-static", "-O2")
    for size in SIZES:
        got = drive([EMULATOR, str(driver)], network, size, tmp_path)
        np.testing.assert_array_equal(got, network.run(network.noise(*size), "scalar"))


def uint8_network(like: Artifact, directory: Path) -> Artifact:
    return export(source_checkpoint(like), ExportOptions(uint8="NHWC"), directory)


def luma_network(like: Artifact, directory: Path) -> Artifact:
    return artifact(luma(), like, directory, 2)


def in_range(low: float, high: float, make: Callable[[], onnx.ModelProto]) -> Callable[[Artifact, Path], Artifact]:
    """A network whose frames have other values for black and white."""

    def made(like: Artifact, directory: Path) -> Artifact:
        found = artifact(make(), like, directory, 2)
        ends = (found.manifest.input, found.manifest.output)
        given, returned = (msgspec.structs.replace(port, value_range=(low, high)) for port in ends)
        manifest = msgspec.structs.replace(found.manifest, name="ranged", input=given, output=returned)
        return Artifact.write(directory, found.path.read_bytes(), manifest, b"")

    return made


@pytest.mark.parametrize(
    ("make", "suffix"),
    [
        pytest.param(lambda like, _: like, "ppm", id="float32"),
        pytest.param(uint8_network, "ppm", id="uint8 NHWC"),
        pytest.param(in_range(-1.0, 1.0, strided), "ppm", id="-1..1", marks=pytest.mark.slow),
        pytest.param(in_range(0.0, 1023.0, strided), "ppm", id="0..1023"),
        pytest.param(luma_network, "pgm", id="luma"),
        pytest.param(in_range(16.0, 235.0, luma), "pgm", id="luma 16..235", marks=pytest.mark.slow),
    ],
)
def test_the_example_program(
    make: Callable[[Artifact, Path], Artifact], suffix: str, small_artifact: Artifact, tmp_path: Path
) -> None:
    """A C program that reads and writes pictures, built as the bundle says, gives the bytes of a session.

    The picture is so large that some results lie exactly between two bytes.
    """
    engine = toolkit.build(make(small_artifact, tmp_path), "native", directory=tmp_path).engine
    command = ["cc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2", "example.c", "./engine.so"]
    subprocess.run([*command, "-o", "upscale", f"-Wl,-rpath,{engine.path}"], cwd=engine.path, check=True, timeout=300)
    shape = Shape(500, 600)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape.sides, 1 if suffix == "pgm" else 3)).astype(np.uint8)
    Image.fromarray(pixels.squeeze()).save(tmp_path / f"in.{suffix}")
    upscale = engine.path / "upscale"
    subprocess.run([upscale, tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"], check=True, timeout=60)
    session = toolkit.load_session(engine)
    session.bind(shape)
    given, returned = session.contract.input, session.contract.output
    expected = returned.to_image(session.run(given.from_image(pixels)))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"out.{suffix}")), expected.squeeze())
    for arguments in ([], ["missing.ppm", "x.ppm"], [engine.path / "engine.json", "x.ppm"]):
        assert subprocess.run([upscale, *arguments], capture_output=True, timeout=60, check=False).returncode == 1


def test_engines_of_two_artifacts_have_names_of_their_own(small_artifact: Artifact) -> None:
    assert symbol("rt4ksr_x2_fp32_uint8-nhwc") == "rt4ksr_x2_fp32_uint8_nhwc"
    assert symbol("4k") == "n4k"


def test_a_bundle_goes_where_its_target_is_and_nowhere_else(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = toolkit.build(small_artifact, "native", BuildOptions(target=("scalar",)), tmp_path)
    assert built.fresh and not toolkit.build(small_artifact, "native", BuildOptions(target=("scalar",)), tmp_path).fresh
    assert built.engine.info.identity["target"] == "scalar"
    assert built.engine.info.shape is None, "sizes are dynamic"
    monkeypatch.setenv("PATH", "")
    session = toolkit.load_session(built.engine)  # needs no compiler
    session.bind(Shape(4, 4))
    assert {node.device for node in session.executed().values()} == {"CPU, scalar"}
    monkeypatch.setattr("toolkit.native.targets.instruction_sets", frozenset)
    identity = built.engine.info.identity | {"target": "x86-64-v4"}
    info = EngineInfo(**{**_fields(built.engine.info), "identity": identity})
    elsewhere = toolkit.Engine(built.engine.path, info, built.engine.manifest)
    with pytest.raises(toolkit.Unavailable, match="built for x86-64-v4, and this machine lacks avx2, avx512bw"):
        toolkit.load_session(elsewhere)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(toolkit.Unavailable, match="built for x86-64-v4, and this CPU is riscv64, not x86_64") as caught:
        toolkit.load_session(elsewhere)
    assert "--target" not in caught.value.remedy


def _fields(info: EngineInfo) -> dict:
    return {name: getattr(info, name) for name in info.__struct_fields__}


def test_what_c_callers_get_wrong(native: Callable[..., Native]) -> None:
    network = native(strided())
    library = network.library()
    for height, width in ((2, 4), (5, 8), (4, 70000), (0, 0), (-2, 8)):
        with pytest.raises(toolkit.InputError, match="height and width must be even, and 4 to 65536"):
            library.engine(height, width, 1)
    engine, frame = library.engine(8, 8, 1), network.noise(8, 8)
    for first, count in ((1, 2), (0, 3), (-2, 4), (4, 6), (8, 2), (0, 0)):
        with pytest.raises(toolkit.InputError, match="rows must be in the frame"):
            engine.run_rows(frame, network.empty(frame), first, count)
    with pytest.raises(toolkit.Unavailable, match="number of threads is negative"):
        library.engine(8, 8, -1)


def test_all_targets_name_headers_that_exist() -> None:
    headers = Path(toolkit.__file__).parent / "native" / "headers"
    assert {target.header for target in TARGETS.values()} == {path.name for path in headers.glob("simd_*.h")}
    tiles = {target.tiles for target in TARGETS.values() if target.tiles}
    assert tiles | {"tiles_emulated.h"} == {path.name for path in headers.glob("tiles_*.h")}

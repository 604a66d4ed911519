"""Engines without Python: the C interface, on another processor, and the example program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from native.graphs import artifact
from native.networks import NETWORKS, float64, luma, strided
from native.running import Native
from PIL import Image

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.source import source_checkpoint
from toolkit.native.compiler import FLAGS, sources
from toolkit.native.interface import HEADER, interface, symbol
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
    common = [*(flag for flag in FLAGS if flag != "-O3"), *target.options]
    prefix = symbol(manifest.name)
    defined = f"-DSYMBOL={prefix}", f"-DUNIT={prefix.upper()}_UNIT"
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


@pytest.mark.parametrize("uint8", [None, "NHWC"])
def test_the_example_program(uint8: str | None, small_artifact: Artifact, tmp_path: Path) -> None:
    """A C program that reads and writes pictures, built as the bundle says, gives what a session gives."""
    made = small_artifact
    if uint8 is not None:
        made = export(source_checkpoint(small_artifact), ExportOptions(uint8=uint8), tmp_path)
    engine = toolkit.build(made, "native", directory=tmp_path).engine
    command = ["cc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2", "example.c", "./engine.so"]
    subprocess.run([*command, "-o", "upscale", f"-Wl,-rpath,{engine.path}"], cwd=engine.path, check=True, timeout=300)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 14, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.ppm")
    upscale = engine.path / "upscale"
    subprocess.run([upscale, tmp_path / "in.ppm", tmp_path / "out.ppm"], check=True, timeout=60)
    session = toolkit.load_session(engine)
    session.bind(Shape(10, 14))
    if uint8 is None:
        planes = (pixels / np.float32(255)).astype(np.float32).transpose(2, 0, 1)[None]
        expected = session.run(planes)[0].transpose(1, 2, 0) * 255
    else:
        expected = session.run(pixels[None])[0]
    written = np.asarray(Image.open(tmp_path / "out.ppm"))
    assert np.abs(written - expected.clip(0, 255)).max() <= 0.5 + 1e-3
    for arguments in ([], ["missing.ppm", "x.ppm"], [engine.path / "engine.json", "x.ppm"]):
        assert subprocess.run([upscale, *arguments], capture_output=True, timeout=60, check=False).returncode == 1


def test_the_example_program_of_a_luma_network(small_artifact: Artifact, tmp_path: Path) -> None:
    """It reads and writes PGM, of one channel."""
    engine = toolkit.build(artifact(luma(), small_artifact, tmp_path, 2), "native", directory=tmp_path).engine
    command = ["cc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2", "example.c", "./engine.so"]
    subprocess.run([*command, "-o", "upscale", f"-Wl,-rpath,{engine.path}"], cwd=engine.path, check=True, timeout=300)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 14)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.pgm")
    subprocess.run([engine.path / "upscale", tmp_path / "in.pgm", tmp_path / "out.pgm"], check=True, timeout=60)
    written = np.asarray(Image.open(tmp_path / "out.pgm")).astype(int)
    assert np.abs(written - float64(luma())(pixels[None, None])[0, 0]).max() <= 1


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
        with pytest.raises(toolkit.InputError, match="rows of run_rows must be in the frame"):
            engine.run_rows(frame, network.empty(frame), first, count)
    with pytest.raises(toolkit.Unavailable, match="number of threads is negative"):
        library.engine(8, 8, -1)


def test_all_targets_name_headers_that_exist() -> None:
    headers = Path(toolkit.__file__).parent / "native" / "headers"
    assert {target.header for target in TARGETS.values()} == {path.name for path in headers.glob("simd_*.h")}
    tiles = {target.tiles for target in TARGETS.values() if target.tiles}
    assert tiles | {"tiles_emulated.h"} == {path.name for path in headers.glob("tiles_*.h")}

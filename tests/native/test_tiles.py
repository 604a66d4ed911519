"""Convolutions by tile operations: emulated ones on every machine, the instructions of AMX where the CPU has them, and
elsewhere those instructions as `amx_trap.cpp` executes them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from native.graphs import Builder, artifact
from native.lowering import lowered
from native.networks import NETWORKS, branched, exact_gelu, float64, rounding_to_bf16, strided
from native.reference import Reference, activated, bf16, tile_product
from native.running import EMULATED, Native
from native.test_programs import build, drive, run
from onnx.reference import ReferenceEvaluator

import toolkit
from toolkit.artifact import Artifact
from toolkit.native import targets
from toolkit.native.compiler import cached_library, sources
from toolkit.native.library import Library
from toolkit.native.program import Activation
from toolkit.native.targets import TARGETS, Target, find_target, missing
from toolkit.precisions import Precision
from toolkit.system import hardware

HERE = Path(__file__).parent
HEADERS = Path(toolkit.__file__).parent / "native" / "headers"
EXPORTED = HERE.parents[1] / "exported"
AMX = find_target("x86-64-amx")
TRAPPED = replace(TARGETS["x86-64-v3"], name="x86-64-v3-amx", tiles=AMX.tiles)
"""The instructions of AMX with vectors that more CPUs have, so that only the former have to be executed for the CPU."""
SIZES = [(4, 4), (6, 10), (14, 38)]

needs_avx2 = pytest.mark.skipif(bool(missing(TRAPPED)), reason=f"this machine lacks {missing(TRAPPED)}")
needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason=f"this CPU is {platform.machine()}, not x86_64")
needs_objdump = pytest.mark.skipif(shutil.which("objdump") is None, reason="there is no objdump (apt install binutils)")


def wide() -> onnx.ModelProto:
    """More output channels than two tiles have rows, taps that fill the last group, 1x1 and 5x5 kernels."""
    b = Builder(3)
    x = b.node("Gelu", b.conv("input", 3, 33, 5))
    x = b.node("Add", b.conv(x, 33, 33, 1), x)
    x = b.norm(b.node("Relu", b.conv(x, 33, 64, 3)), 64)
    return b.model(b.shuffled(b.conv(x, 64, 12, 1), 2))


GRAPHS = {name: NETWORKS[name] for name in ("strided", "branched", "unshuffled-later", "luma")} | {"wide": (wide, 2)}
LOW: tuple[Precision, ...] = ("bf16", "int8")


@pytest.fixture(scope="module", params=[(name, precision) for name in GRAPHS for precision in LOW], ids="-".join)
def network(request: pytest.FixtureRequest, native: Callable[..., Native]) -> Native:
    name, precision = request.param
    make, scale = GRAPHS[name]
    whole = native(make(), scale)
    return native(lowered(make(), whole.artifact.manifest, precision), scale)


@pytest.fixture(scope="session")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that executes instructions of AMX."""
    path = tmp_path_factory.mktemp("trap") / "trap.so"
    run("c++", "-std=c++17", "-O2", "-fPIC", "-shared", str(HERE / "amx_trap.cpp"), "-o", str(path), cwd=path.parent)
    return path


def program(network: Native, target: Target, main: str, directory: Path, *options: str) -> Path:
    """An executable of an engine and a program of the tests."""
    return build(network, target, "c++", directory, "-O1", f"-I{HEADERS}", *options, main=HERE / main)


def drive_as_reference(executable: Path, network: Native, size: tuple[int, int], **environment: str) -> None:
    """Run `driver.c` on a frame of noise: in several ways with the same bits, those of the reference."""
    written = drive([str(executable)], network, size, executable.parent, **environment)
    np.testing.assert_array_equal(written, reference(network, network.noise(*size)))


def reference(network: Native, frame: np.ndarray, *, tiles: bool = True) -> np.ndarray:
    return Reference(network.program, tiles=tiles).run(frame)


@pytest.mark.parametrize("precision", ["fp32", *LOW])
def test_the_reference_is_that_of_the_scalar_target(
    precision: Precision, native: Callable[..., Native], small_artifact: Artifact
) -> None:
    """Without tiles, too: what it says about an order of sums is right."""
    model = strided() if precision == "fp32" else lowered(strided(), small_artifact.manifest, precision)
    network = native(model)
    frame = network.noise(6, 10)
    np.testing.assert_array_equal(network.run(frame, "scalar"), reference(network, frame, tiles=False))


@pytest.mark.parametrize("target", ["x86-64-v3-tiles", "x86-64-v4-bf16-tiles", AMX.name])
def test_programs_compute_the_bits_of_the_reference(target: str, network: Native) -> None:
    for size in SIZES:
        frame = network.noise(*size)
        np.testing.assert_array_equal(network.run(frame, target), reference(network, frame))


def test_threads_and_bands_change_no_bit(network: Native) -> None:
    frame = network.noise(20, 74)
    whole = network.run(frame, "x86-64-v3-tiles")
    np.testing.assert_array_equal(network.run(frame, "x86-64-v3-tiles", threads=3), whole)
    engine, banded = network.library("x86-64-v3-tiles").engine(20, 74, 1), network.empty(frame)
    for first, last in pairwise((0, 2, 8, 18, 20)):
        engine.run_rows(frame, banded, first, last - first)
    np.testing.assert_array_equal(banded, whole)


@pytest.mark.parametrize("precision", LOW)
def test_parts_and_the_width_of_vectors_change_no_bit(
    precision: Precision, native: Callable[..., Native], small_artifact: Artifact
) -> None:
    network = native(lowered(strided(), small_artifact.manifest, precision))
    frame = network.noise(14, 74)
    whole = network.run(frame, "x86-64-v3-tiles")
    np.testing.assert_array_equal(network.run(frame, "x86-64-v3-tiles", threads=2, tile_columns=5), whole)
    np.testing.assert_array_equal(network.run(frame, "scalar-tiles"), whole)


@pytest.mark.parametrize("make", [strided, branched])
def test_bf16_rounds_what_convolutions_read(
    make: Callable[[], onnx.ModelProto], native: Callable[..., Native], small_artifact: Artifact
) -> None:
    """As close to ONNX's reference as the targets without tiles (test_precisions.py)."""
    network = native(lowered(make(), small_artifact.manifest, "bf16"))
    frame = network.noise(14, 38)
    model = rounding_to_bf16(onnx.load(network.artifact.path))
    (expected,) = ReferenceEvaluator(model).run(None, {"input": frame})
    difference = np.abs(network.run(frame, "x86-64-v3-tiles") - expected)
    assert difference.max() < 0.02
    assert difference.mean() < 2e-4


def test_the_shorter_gelu() -> None:
    x = np.linspace(-9, 9, 100_001, dtype=np.float32)
    exact = exact_gelu(x.astype(np.float64), tanh=False)
    assert np.abs(activated(Activation("gelu"), x, coarse=True) - exact).max() < 5.5e-5


def wide_range(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Numbers of all magnitudes, most of them near those where products become denormal."""
    exponents = random.choice([-127, -80, -64, -63, -62, -20, 0, 20, 60], shape) + random.integers(-3, 4, shape)
    values = np.ldexp(random.uniform(1, 2, shape) * random.choice([-1, 1], shape), exponents)
    return np.where(random.random(shape) < 0.1, 0, values).astype(np.float32)


def pairs(values: np.ndarray) -> np.ndarray:
    """bf16 values (..., 2) as 32-bit lanes."""
    bits = values.view(np.uint32)
    return bits[..., 0] >> 16 | bits[..., 1] & 0xFFFF0000


def product(executable: Path, kind: str, sums: np.ndarray, a: np.ndarray, b: np.ndarray, **preload: str) -> np.ndarray:
    """What `tile_products.cpp` computes."""
    sizes = map(str, (*a.shape, b.shape[1]))
    content = b"".join(np.ascontiguousarray(matrix).tobytes() for matrix in (sums, a, b))
    ran = subprocess.run(
        [executable, kind, *sizes],
        input=content,
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | preload,
    )
    assert ran.returncode == 0, ran.stderr
    return np.frombuffer(ran.stdout, sums.dtype).reshape(sums.shape)


@pytest.fixture(scope="module", params=["emulated", pytest.param("trapped", marks=needs_x86), "amx"])
def products(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., np.ndarray]:
    """Products by the emulation, by the instructions under the trap, and by the CPU's own."""
    header, available, preload = {
        "emulated": ("tiles_emulated.h", "true", {}),
        "trapped": ("tiles_amx.h", "true", {}),
        "amx": ("tiles_amx.h", "tiles::available()", {}),
    }[request.param]
    if request.param == "amx" and (lacking := missing(AMX)):
        pytest.skip(f"this machine lacks {lacking}")
    if request.param == "trapped":
        preload = {"LD_PRELOAD": str(request.getfixturevalue("trap"))}
    executable = tmp_path_factory.mktemp("products") / "products"
    defined = f'-DTILES="{header}"', f"-DAVAILABLE={available}"
    made = str(HERE / "tile_products.cpp"), "-o", str(executable)
    run("c++", "-std=c++17", "-O2", f"-I{HEADERS}", *defined, *made, cwd=executable.parent)
    return lambda *operands: product(executable, *operands, **preload)


@pytest.mark.parametrize("shape", [(16, 16, 16), (12, 16, 16), (1, 1, 1), (5, 3, 8)], ids=str)
def test_products_of_tiles(shape: tuple[int, int, int], products: Callable[..., np.ndarray]) -> None:
    m, k, n = shape
    random = np.random.default_rng(sum(shape))
    for _ in range(10):
        sums = wide_range(random, m, n)
        a, b = bf16(wide_range(random, m, k, 2)), bf16(wide_range(random, k, n, 2))
        with np.errstate(over="ignore", invalid="ignore"):
            expected = tile_product(sums, a, b)
        np.testing.assert_array_equal(products("bf16", sums, pairs(a), pairs(b)), expected)
        integers, left = random.integers(-1000, 1000, (m, n)).astype(np.int32), random.integers(-128, 128, (m, k, 4))
        right = random.integers(0, 256, (k, n, 4))
        lanes = [x.astype(kind).view(np.uint32)[..., 0] for x, kind in ((left, np.int8), (right, np.uint8))]
        exact = integers + np.einsum("mkc,knc->mn", left, right)
        np.testing.assert_array_equal(products("int8", integers, *lanes), exact)


@needs_avx2
@pytest.mark.parametrize("precision", LOW)
def test_the_instructions_compute_the_bits_of_the_reference(
    precision: Precision, native: Callable[..., Native], small_artifact: Artifact, trap: Path, tmp_path: Path
) -> None:
    network = native(lowered(strided(), small_artifact.manifest, precision))
    network.program.tile_columns = 40
    executable = program(network, TRAPPED, "driver.c", tmp_path)
    drive_as_reference(executable, network, (6, 46), LD_PRELOAD=str(trap))


@pytest.mark.slow
@needs_avx2
@pytest.mark.parametrize(
    ("graph", "sanitizer"), [("strided", "thread"), *((name, "address,undefined") for name in GRAPHS)]
)
def test_sanitizers_find_nothing(graph: str, sanitizer: str, native: Callable[..., Native], tmp_path: Path) -> None:
    make, scale = GRAPHS[graph]
    whole = native(make(), scale)
    network = native(lowered(make(), whole.artifact.manifest, "bf16"), scale)
    network.program.tile_columns = 40
    options = f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-g"
    executable = program(network, EMULATED["x86-64-v3-tiles"], "driver.c", tmp_path, *options)
    for size in ((4, 4), (4, 38), (20, 130)):
        drive_as_reference(executable, network, size)


@needs_avx2
def test_a_caller_finds_its_own_tiles_unchanged(
    native: Callable[..., Native], small_artifact: Artifact, trap: Path, tmp_path: Path
) -> None:
    network = native(lowered(strided(), small_artifact.manifest, "bf16"))
    executable = program(network, TRAPPED, "tile_caller.cpp", tmp_path)
    environment = os.environ | {"LD_PRELOAD": str(trap), "AMX_COUNTS": str(tmp_path / "counts")}
    ran = subprocess.run([executable], capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "tdpbf16ps 0" not in (tmp_path / "counts").read_text()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, Native]:
    """The network that ships, x2."""
    whole = Artifact.read(EXPORTED / "rt4ksr_x2_fp32.onnx")
    low = lowered(onnx.load(whole.path), whole.manifest, "bf16")
    made = artifact(low, whole, tmp_path_factory.mktemp("released"), 2)
    return {"bf16": Native(made), "int8": Native(Artifact.read(EXPORTED / "rt4ksr_x2_int_int8.onnx"))}


@pytest.mark.slow
@pytest.mark.parametrize("precision", LOW)
def test_the_released_network(precision: Precision, released: dict[Precision, Native]) -> None:
    network = released[precision]
    for size in ((4, 4), (10, 26), (18, 38)):
        frame = network.noise(*size)
        np.testing.assert_array_equal(network.run(frame, "x86-64-v3-tiles"), reference(network, frame))


@pytest.mark.slow
def test_the_order_of_sums_and_the_shorter_gelu_cost_nothing(released: dict[Precision, Native]) -> None:
    """Compared with float64: rounding to bf16 makes nearly all of the error."""
    network = released["bf16"]
    y, x = np.mgrid[:32, :48]
    planes = [0.5 + 0.4 * np.sin(0.3 * x + 0.2 * y + phase) for phase in range(3)]
    frame = np.stack(planes)[None].astype(np.float32)
    exact = float64(onnx.load(EXPORTED / "rt4ksr_x2_fp32.onnx"))(frame)
    tiles, others = (
        float(np.sqrt(np.square(network.run(frame, target) - exact).mean()))
        for target in ("x86-64-v3-tiles", "x86-64-v3")
    )
    assert tiles < 1.02 * others


@pytest.mark.slow
@needs_avx2
def test_operations_for_a_vector_of_pixels_of_the_released_network(
    released: dict[Precision, Native], trap: Path, tmp_path: Path
) -> None:
    """The least that groups of 16 lanes allow: 54 taps and five times 108 to 24 channels, 108 taps to 48.

    A tile of weights is loaded once for two vectors of pixels, a tile of pixels once for two tiles of weights.
    """
    executable = program(released["bf16"], TRAPPED, "tile_caller.cpp", tmp_path)
    environment = os.environ | {"LD_PRELOAD": str(trap), "AMX_COUNTS": str(tmp_path / "counts")}
    subprocess.run([executable], check=True, timeout=60, env=environment)
    counts = {name: int(count) for name, count in map(str.split, (tmp_path / "counts").read_text().splitlines())}
    sums, products = 6 * 2 + 3, 4 * 2 + 5 * 7 * 2 + 7 * 3
    vectors = counts["tilezero"] // sums
    assert counts["tilezero"] == vectors * sums
    assert counts["tdpbf16ps"] == vectors * products
    assert counts["tdpbsud"] == 0
    weights, pixels = products / 2, 4 + 5 * 7 + 7 * 2
    own = 7 * (counts["ldtilecfg"] // 2)  # registers of the calling program, before and after a row
    assert 0 <= counts["tileloadd"] - vectors * (weights + pixels) <= own
    assert 0 <= counts["tilestored"] - vectors * sums <= own


@pytest.mark.slow
@needs_x86
@needs_objdump
def test_only_the_target_with_tiles_has_their_instructions(released: dict[Precision, Native]) -> None:
    expected: dict[Precision, str] = {"bf16": "tdpbf16ps", "int8": "tdpbsud"}
    for precision, instruction in expected.items():
        assert {instruction, "tileloadd", "tilerelease"} <= tile_instructions(released[precision], AMX)
    assert not tile_instructions(released["bf16"], find_target("x86-64-v4-bf16"))
    for target in TARGETS.values():
        network = released["int8"]
        generated = sources(network.program, network.artifact.manifest, target)["engine.cpp"]
        assert ("tiles_amx.h" in generated) == (target is AMX)


def tile_instructions(network: Native, target: Target) -> set[str]:
    library = cached_library(network.program, network.artifact.manifest, target)
    code = subprocess.run(["objdump", "-d", library], capture_output=True, text=True, check=True, timeout=60).stdout
    return set(re.findall(r"\t(tdp\w+|tile\w+|[ls]dtilecfg|sttilecfg)", code))


def test_why_a_machine_has_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = AMX.flags
    monkeypatch.setattr(targets.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(targets, "instruction_sets", lambda: everything - {"amx_bf16", "amx_tile"})
    assert missing(AMX) == "amx_bf16, amx_tile"
    assert find_target("native").name == "x86-64-v4-bf16"
    monkeypatch.setattr(targets, "instruction_sets", lambda: everything)
    monkeypatch.setattr(targets, "tile_refusal", lambda: "")
    assert find_target("native") is AMX
    monkeypatch.setattr(targets, "tile_refusal", lambda: "permission")
    assert missing(AMX) == "permission"
    assert find_target("native").name == "x86-64-v4-bf16"


@pytest.mark.skipif(not missing(AMX), reason="this machine has tiles")
@needs_avx2
def test_engines_refuse_machines_without_tiles(native: Callable[..., Native], small_artifact: Artifact) -> None:
    """What the kernel says, in words; and the engine itself, which asks again."""
    if "amx_tile" not in hardware.instruction_sets():
        assert "the kernel says" in hardware.tile_refusal()
    network = native(lowered(strided(), small_artifact.manifest, "bf16"))
    library = Library(
        cached_library(network.program, network.artifact.manifest, TRAPPED), network.artifact.manifest.name
    )
    with pytest.raises(toolkit.Unavailable, match="CPU"):
        library.engine(8, 8, 1)

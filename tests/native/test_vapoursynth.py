"""The VapourSynth plugin in VapourSynth's own core: frames are what the toolkit computes, to the bit.

The core comes from VapourSynth's package, which needs a later Python than this one; `vapoursynth_host.c` uses it as a
library, without Python.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
from native.graphs import artifact as graph_artifact
from native.networks import luma
from numpy.typing import NDArray
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact, encode
from toolkit.graph.export import ExportOptions, export
from toolkit.port import Port
from toolkit.runtimes.engine import Engine
from toolkit.workloads import Shape

SOURCE = Path(toolkit.__file__).parent / "native" / "vapoursynth"
GREY, RGB, YUV = 1, 2, 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="the wheel is for Linux on x86-64"
    ),
]


def identifier(family: int, bits: int, *, floating: bool = False, width: int = 0, height: int = 0) -> int:
    """Of a format, as VapourSynth makes it of its parts; chroma is halved `width` and `height` times."""
    return family << 28 | int(floating) << 24 | bits << 16 | width << 8 | height


@dataclass(frozen=True)
class Result:
    """What the host printed and wrote."""

    format: str
    width: int
    height: int
    properties: dict[str, int]
    data: bytes

    def planes(self, dtype: type, channels: int = 3) -> NDArray[np.generic]:
        """All frames, (N, H, W, C)."""
        frames = np.frombuffer(self.data, dtype).reshape(-1, channels, self.height, self.width)
        return frames.transpose(0, 2, 3, 1)


@dataclass(frozen=True)
class Host:
    """The host program, VapourSynth and the plugin."""

    program: Path
    library: Path
    plugin: Path
    scratch: Path

    def run(
        self,
        kind: int,
        size: tuple[int, int],
        data: bytes,
        *steps: str,
        frames: int = 1,
        threads: int = 2,
        properties: dict[str, int] | None = None,
    ) -> Result:
        """A clip through steps. Size is height, width.

        Raises:
            AssertionError: with VapourSynth's message, where it reports an error.
        """
        given, returned = self.scratch / "in.raw", self.scratch / "out.raw"
        given.write_bytes(data)
        words = [self.program, self.library, self.plugin, threads, kind, size[1], size[0], frames, given, returned]
        named = [f"{name}={value}" for name, value in (properties or {}).items()]
        command = [str(word) for word in (*words, *named, "--", *steps)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        first, *lines = done.stdout.splitlines()
        name, width, height, _ = first.split()
        found = {key: int(value) for key, value in (line.split("=") for line in lines)}
        return Result(name, int(width), int(height), found, returned.read_bytes())


@pytest.fixture(scope="session")
def vapoursynth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VapourSynth's package, unpacked."""
    directory = tmp_path_factory.mktemp("vapoursynth")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    wanted = ["--python-version", "3.13", "--dest", str(directory), "vapoursynth>=70"]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot download vapoursynth: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = directory.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(directory)
    return directory / "vapoursynth"


def built(vapoursynth: Path, scratch: Path, *options: str) -> Host:
    """The plugin, built as its users do, without a warning; and the host, with the same compiler options."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    include, build, program = vapoursynth / "include", scratch / "build", scratch / "host"
    flags = f"-DCMAKE_CXX_FLAGS={' '.join(('-Werror', *options))}"
    subprocess.run(
        ["cmake", "-S", SOURCE, "-B", build, f"-DVAPOURSYNTH_INCLUDE={include}", flags], capture_output=True, check=True
    )
    made = subprocess.run(["cmake", "--build", build], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    source = Path(__file__).with_name("vapoursynth_host.c")
    compile_ = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", include, *options, source, "-o", program]
    subprocess.run([*compile_, "-ldl", "-pthread"], check=True)
    (library,) = vapoursynth.glob("libvapoursynth.so*")
    return Host(program, library, build / "libvsrt4ksr.so", scratch)


@pytest.fixture(scope="session")
def host(vapoursynth: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    return built(vapoursynth, tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="session")
def planar(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """float32 NCHW, RGB 0..1."""
    return toolkit.build(small_artifact, "native", directory=tmp_path_factory.mktemp("planar")).engine


@pytest.fixture(scope="session")
def interleaved(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """uint8 NHWC."""
    directory = tmp_path_factory.mktemp("interleaved")
    made = export(checkpoint(), ExportOptions(uint8="NHWC"), directory)
    return toolkit.build(made, "native", directory=directory).engine


@pytest.fixture(scope="session")
def swapped(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The same graph, said to take BGR in -1..1 and to return BGR in 0..255."""
    directory, manifest = tmp_path_factory.mktemp("swapped"), small_artifact.manifest

    def changed(port: Port, low: float, high: float) -> Port:
        return msgspec.structs.replace(port, order="BGR", value_range=(low, high))

    copy = directory / small_artifact.path.name
    shutil.copy(small_artifact.path, copy)
    ports = {"input": changed(manifest.input, -1.0, 1.0), "output": changed(manifest.output, 0.0, 255.0)}
    copy.with_suffix(".json").write_bytes(encode(msgspec.structs.replace(manifest, **ports)))
    return toolkit.build(Artifact.read(copy), "native", directory=directory).engine


def step(engine: Engine | Path, **arguments: int) -> str:
    path = engine.path if isinstance(engine, Engine) else engine
    return ";".join(["rt4ksr.Upscale", f"engine=s{path}", *(f"{key}=i{value}" for key, value in arguments.items())])


def picture(size: tuple[int, int], dtype: type, white: int | float, channels: int = 3, seed: int = 0) -> NDArray:
    random = np.random.default_rng(seed).random((*size, channels))
    return (random * white).astype(dtype)


def planes_of(image: NDArray) -> bytes:
    return np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes()


def expected(engine: Engine, image: NDArray, white: float) -> NDArray:
    """By a session and the ports of the toolkit."""
    session = toolkit.load_session(engine)
    session.bind(Shape(*image.shape[:2]))
    contract = engine.contract
    frame = session.run(contract.input.from_image(image, white=white))
    return contract.output.to_image(frame, image.dtype, white=white)


SIZES = [(24, 40), (23, 41), (2, 3), (1, 1)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("name", "bits", "dtype"),
    [("RGB24", 8, np.uint8), ("RGB30", 10, np.uint16), ("RGB48", 16, np.uint16), ("RGBS", 32, np.float32)],
)
@pytest.mark.parametrize("kind", ["planar", "swapped", "interleaved"])
def test_rgb_clips(
    kind: str, name: str, bits: int, dtype: type, size: tuple[int, int], host: Host, request: pytest.FixtureRequest
) -> None:
    engine = request.getfixturevalue(kind)
    floating = dtype is np.float32
    white = 1 if floating else (1 << bits) - 1
    image = picture(size, dtype, white)
    clip = identifier(RGB, bits, floating=floating)
    if kind == "interleaved" and bits > 8:
        with pytest.raises(AssertionError, match=rf"rt4ksr.Upscale: .* take {name}: .*format=vs\.RGB24"):
            host.run(clip, size, planes_of(image), step(engine))
        return
    result = host.run(clip, size, planes_of(image), step(engine), properties={"_Matrix": 0, "_Primaries": 9})
    assert (result.format, result.height, result.width) == (name, 2 * size[0], 2 * size[1])
    assert result.properties == {"_Matrix": 0, "_Primaries": 9}
    np.testing.assert_array_equal(result.planes(dtype)[0], expected(engine, image, white))


def test_frames_are_those_of_upscale(planar: Engine, interleaved: Engine, host: Host) -> None:
    """`toolkit.Upscaler` is what `toolkit upscale` runs on every picture and every frame."""
    size = (37, 51)
    frames = [picture(size, np.uint8, 255, seed=seed) for seed in range(5)]
    data = b"".join(planes_of(frame) for frame in frames)
    for engine in (planar, interleaved):
        with toolkit.Upscaler(engine) as upscale:
            wanted = np.stack([upscale(frame) for frame in frames])
        for threads in (0, 1, 2, 3):
            for core in (1, 4):
                made = host.run(identifier(RGB, 8), size, data, step(engine, threads=threads), frames=5, threads=core)
                np.testing.assert_array_equal(made.planes(np.uint8), wanted)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_grey_clips(bits: int, dtype: type, planar: Engine, host: Host) -> None:
    """As `upscale` does: three equal channels, and the mean of what they become."""
    white, size = (1 << bits) - 1, (15, 22)
    image = picture(size, dtype, white, channels=1)
    made = host.run(identifier(GREY, bits), size, planes_of(image), step(planar)).planes(dtype, 1)[0]
    colour = expected(planar, image, white)
    wanted = np.rint(colour.mean(axis=2, dtype=np.float32, keepdims=True)).astype(dtype)
    np.testing.assert_array_equal(made, wanted)


def test_a_network_of_luma(small_artifact: Artifact, tmp_path: Path, host: Host) -> None:
    engine = toolkit.build(graph_artifact(luma(), small_artifact, tmp_path, 2), "native", directory=tmp_path).engine
    image = picture((12, 15), np.uint8, 255, channels=1)
    made = host.run(identifier(GREY, 8), (12, 15), planes_of(image), step(engine)).planes(np.uint8, 1)[0]
    np.testing.assert_array_equal(made, expected(engine, image, 255))
    with pytest.raises(AssertionError, match=r"takes grey clips, not YUV420P8: .*std\.ShufflePlanes"):
        host.run(identifier(YUV, 8, width=1, height=1), (12, 16), bytes(12 * 16 * 3 // 2), step(engine))


@pytest.mark.parametrize(
    ("name", "kind", "rgb"),
    [
        ("YUV420P8", identifier(YUV, 8, width=1, height=1), identifier(RGB, 16)),
        ("YUV420P10", identifier(YUV, 10, width=1, height=1), identifier(RGB, 16)),
        ("YUV422P16", identifier(YUV, 16, width=1), identifier(RGB, 16)),
        ("YUV444PS", identifier(YUV, 32, floating=True), identifier(RGB, 32, floating=True)),
    ],
)
def test_yuv_clips_are_converted_by_vapoursynth(name: str, kind: int, rgb: int, planar: Engine, host: Host) -> None:
    size, bits = (26, 34), kind >> 16 & 0xFF
    count = size[0] * size[1] + 2 * (size[0] >> (kind & 1)) * (size[1] >> (kind >> 8 & 1))
    random = np.random.default_rng(0)
    if "S" in name:
        data = (random.random(count, np.float32) - 0.25).tobytes()
    else:
        unit = 1 << (bits - 8)
        data = random.integers(16 * unit, 235 * unit, count).astype(np.uint8 if bits == 8 else np.uint16).tobytes()
    properties = {"_Matrix": 1, "_ChromaLocation": 2}
    made = host.run(kind, size, data, step(planar), properties=properties)
    back = f"resize.Bicubic;format=i{kind};matrix=i1;range_s=slimited;chromaloc=i2"
    around = host.run(kind, size, data, f"resize.Bicubic;format=i{rgb}", step(planar), back, properties=properties)
    assert (made.format, made.height, made.width) == (name, 52, 68)
    assert made == around
    assert made.properties["_Matrix"] == 1
    assert made.properties.get("_ChromaLocation") == (None if "444" in name else 2)


def test_the_matrix_of_a_clip_that_has_none(planar: Engine, host: Host) -> None:
    kind, size = identifier(YUV, 8, width=1, height=1), (16, 16)
    data = np.random.default_rng(0).integers(16, 235, 384).astype(np.uint8).tobytes()
    with pytest.raises(AssertionError, match=r"frame 0 has no _Matrix.*matrix=1 for BT\.709"):
        host.run(kind, size, data, step(planar))
    given = host.run(kind, size, data, step(planar, matrix=6))
    tagged = host.run(kind, size, data, step(planar), properties={"_Matrix": 6})
    assert given.data == tagged.data != host.run(kind, size, data, step(planar, matrix=1)).data
    for wrong in (0, 2, -1):
        with pytest.raises(AssertionError, match="matrix must be a number"):
            host.run(kind, size, data, step(planar, matrix=wrong))


def test_full_range_stays(planar: Engine, host: Host) -> None:
    kind, size = identifier(YUV, 8), (16, 16)
    data = np.random.default_rng(0).integers(0, 256, 768).astype(np.uint8).tobytes()
    full, limited = {"_Matrix": 1, "_ColorRange": 0, "_Range": 1}, {"_Matrix": 1, "_ColorRange": 1, "_Range": 0}
    first, second = (host.run(kind, size, data, step(planar), properties=item) for item in (full, limited))
    untagged = {name: value for name, value in full.items() if name != "_Matrix"}
    assert host.run(kind, size, data, step(planar, matrix=1), properties=untagged).data == first.data
    assert first.data != second.data
    for made, properties, value_range in ((first, full, "full"), (second, limited, "limited")):
        back = f"resize.Bicubic;format=i{kind};matrix=i1;range_s=s{value_range}"
        steps = f"resize.Bicubic;format=i{identifier(RGB, 16)}", step(planar), back
        assert made == host.run(kind, size, data, *steps, properties=properties)


def test_errors_name_what_is_wrong(planar: Engine, interleaved: Engine, host: Host, tmp_path: Path) -> None:
    size, data = (8, 8), bytes(8 * 8 * 3)

    def refused(words: str, *steps: str, kind: int = identifier(RGB, 8), size: tuple[int, int] = size) -> None:
        with pytest.raises(AssertionError, match=f"rt4ksr.Upscale: .*{words}"):
            host.run(kind, size, data * 4, *steps)

    empty = tmp_path / "empty.engine"
    empty.mkdir()
    refused("there is no engine /nowhere", step(Path("/nowhere")))
    refused(r"empty\.engine is not an engine of the native runtime: it has no engine\.so", step(empty))
    refused("cannot be loaded: .*invalid ELF header|cannot be loaded: .*file too short", step(planar.file("engine.h")))
    refused("does not describe itself: build the engine again", step(host.plugin))
    refused("threads must be 0", step(planar, threads=-1))
    refused("threads must be 0", step(planar, threads=513))
    refused("does not take RGBH: .*format=vs.RGBS", step(planar), kind=identifier(RGB, 16, floating=True))
    refused("does not take RGBS: .*format=vs.RGB24", step(interleaved), kind=identifier(RGB, 32, floating=True))
    refused(
        "does not take YUV420P10: .*format=vs.RGB24", step(interleaved), kind=identifier(YUV, 10, width=1, height=1)
    )


def test_an_engine_of_one_size(tmp_path: Path, host: Host) -> None:
    """Also an odd one, which the engine takes extended by one row and column."""
    made = export(checkpoint(), ExportOptions(shape=Shape(9, 13)), tmp_path)
    engine = toolkit.build(made, "native", directory=tmp_path).engine
    image = picture((9, 13), np.uint8, 255)
    result = host.run(identifier(RGB, 8), (9, 13), planes_of(image), step(engine)).planes(np.uint8)[0]
    np.testing.assert_array_equal(result, expected(engine, image, 255))
    with pytest.raises(AssertionError, match="does not take 16x8, only 14x10"):
        host.run(identifier(RGB, 8), (8, 16), bytes(8 * 16 * 3), step(engine))


def test_sanitizers_find_nothing(planar: Engine, interleaved: Engine, vapoursynth: Path, tmp_path: Path) -> None:
    """No access out of bounds, no undefined operation, and nothing that is not released."""
    checked = built(vapoursynth, tmp_path, "-fsanitize=address,undefined", "-fno-sanitize-recover", "-g")
    data = np.random.default_rng(0).integers(0, 256, 60_000).astype(np.uint8).tobytes()
    yuv = identifier(YUV, 8, width=1, height=1)
    for engine in (planar, interleaved):
        for size in ((1, 1), (23, 41)):
            for threads in (1, 3):
                checked.run(identifier(RGB, 8), size, data, step(engine, threads=threads), frames=5, threads=3)
            checked.run(identifier(GREY, 8), size, data, step(engine), frames=5)
        checked.run(yuv, (22, 42), data, step(engine, matrix=1), frames=5)
    with pytest.raises(AssertionError, match="frame 0 has no _Matrix") as caught:
        checked.run(yuv, (22, 42), data, step(planar))
    assert "Sanitizer" not in str(caught.value)

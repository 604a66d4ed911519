"""Video frames in 4:2:0 against the formulas of ITU-R BT.601, BT.709 and BT.2020 and cubic filters in float64."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from native.graphs import artifact
from native.networks import NETWORKS, float64, gated, strided
from native.running import Native
from numpy.typing import NDArray

import toolkit
from toolkit.artifact import Artifact
from toolkit.media.videos.colour import Colour, FromRgb, ToRgb
from toolkit.media.videos.transparency import plane_samples
from toolkit.native.library import LoadedEngine
from toolkit.native.yuv420 import Yuv420
from toolkit.port import Port
from toolkit.runtimes.subject import load_session
from toolkit.sizes import SizeRule

Array = NDArray[np.float64]
Network = Callable[[Array], Array]
"""RGB (3, H, W) in 0..1 to the same, larger."""

RED_AND_BLUE = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
OFFSETS = {0: (0.5, 0.0), 1: (0.5, 0.5), 2: (0.0, 0.0), 3: (0.0, 0.5), 4: (1.0, 0.0), 5: (1.0, 0.5)}
"""Down and right from the first of four luma samples to their chroma sample, by its location."""
KINDS = [
    Yuv420(np.empty(0), None, None, *kind)
    for kind in (
        (8, 1, False, 0),
        (8, 9, True, 1),
        (8, 6, False, 2),
        (10, 9, False, 2),
        (16, 5, False, 3),
        (12, 4, True, 4),
        (9, 7, False, 5),
    )
]


def cubic(distance: Array) -> Array:
    """Keys's kernel with FFmpeg's parameter."""
    a, x = -0.6, np.abs(distance)
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def filtered(count: int, places: Array, stretch: float) -> Array:
    """A matrix from `count` samples to those at `places`, by a kernel of this width; the ends are repeated."""
    made = np.zeros((len(places), count))
    for row, place in enumerate(places):
        samples = np.arange(np.floor(place) - 8, np.floor(place) + 9)
        weights = cubic((samples - place) / stretch)
        np.add.at(made[row], np.clip(samples, 0, count - 1).astype(int), weights / weights.sum())
    return made


@dataclass(frozen=True)
class Reference:
    """The conversions of one kind of frame, in float64."""

    kind: Yuv420

    def rgb(self, luma: Array, cb: Array, cr: Array) -> Array:
        black, span, middle, chroma_span = self._levels
        down, right = OFFSETS[self.kind.location]
        rows, columns = (
            filtered(side // 2, (np.arange(side) - offset) / 2, 1)
            for side, offset in zip(luma.shape, (down, right), strict=True)
        )
        b, r = (rows @ ((plane - middle) / chroma_span) @ columns.T for plane in (cb, cr))
        red, blue = RED_AND_BLUE[self.kind.matrix]
        y = (luma - black) / span
        first, last = y + 2 * (1 - red) * r, y + 2 * (1 - blue) * b
        return np.stack([first, (y - red * first - blue * last) / (1 - red - blue), last]).clip(0, 1)

    def samples(self, rgb: Array) -> list[Array]:
        """Luma, Cb and Cr, not rounded."""
        black, span, middle, chroma_span = self._levels
        red, blue = RED_AND_BLUE[self.kind.matrix]
        rgb = rgb.clip(0, 1)
        y = red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2]
        down, right = OFFSETS[self.kind.location]
        rows, columns = (
            filtered(side, 2 * np.arange(side // 2) + offset, 2)
            for side, offset in zip(y.shape, (down, right), strict=True)
        )
        chroma = ((rgb[2] - y) / 2 / (1 - blue), (rgb[0] - y) / 2 / (1 - red))
        return [y * span + black, *(rows @ plane @ columns.T * chroma_span + middle for plane in chroma)]

    @property
    def _levels(self) -> tuple[float, float, float, float]:
        unit, most = 2.0 ** (self.kind.bits - 8), 2.0**self.kind.bits - 1
        return (0, most, 128 * unit, most) if self.kind.full else (16 * unit, 219 * unit, 128 * unit, 224 * unit)


def noise(kind: Yuv420, height: int, width: int) -> Yuv420:
    """Every level; what lies beyond black and white is limited."""
    random, type_ = np.random.default_rng(0), np.uint8 if kind.bits == 8 else np.uint16
    shapes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
    luma, cb, cr = (random.integers(0, 1 << kind.bits, shape).astype(type_) for shape in shapes)
    return replace(kind, luma=luma, cb=cb, cr=cr)


def blank(kind: Yuv420, height: int, width: int) -> Yuv420:
    type_ = np.uint8 if kind.bits == 8 else np.uint16
    cb, cr = np.zeros((2, height // 2, width // 2), type_)
    return replace(kind, luma=np.zeros((height, width), type_), cb=cb, cr=cr)


def run(
    network: Native, frame: Yuv420, kind: Yuv420, target: str = "native", threads: int = 1, columns: int = 0
) -> Any:
    """Luma, Cb and Cr."""
    height, width = frame.luma.shape
    scale = network.artifact.manifest.network.scale
    made = blank(kind, height * scale, width * scale)
    network.library(target, columns).engine(height, width, threads).run_yuv420(frame, made)
    return made.luma, made.cb, made.cr


def exact(network: Native) -> Network:
    """The graph in float64, with the values of its ports."""
    given, returned = network.artifact.manifest.input, network.artifact.manifest.output
    compute = float64(onnx.load(network.artifact.path))

    def function(rgb: Array) -> Array:
        frame = ported(rgb, given)
        made = compute(frame)[0]
        made = made if returned.layout == "NCHW" else made.transpose(2, 0, 1)
        return (made[::-1] if returned.order == "BGR" else made).astype(float) / returned.span - (
            returned.value_range[0] / returned.span
        )

    return function


def ported(rgb: Array, port: Port) -> Array:
    values = (rgb[::-1] if port.order == "BGR" else rgb) * port.span + port.value_range[0]
    return (values if port.layout == "NCHW" else values.transpose(1, 2, 0))[None]


def check(got: Any, wanted: list[Array], most: float) -> None:
    """Levels of the type that a sample may be off from its exact value, before that is rounded."""
    for plane, truth in zip(got, wanted, strict=True):
        assert np.abs(plane - np.clip(truth, 0, None)).max() <= most


@pytest.fixture(scope="module", params=[name for name in NETWORKS if name != "luma"])
def network(request: pytest.FixtureRequest, native: Callable[..., Native]) -> Native:
    model, scale = NETWORKS[request.param]
    return native(model(), scale)


@pytest.fixture(scope="module")
def simple(native: Callable[..., Native]) -> Native:
    return native(strided(), 2)


@pytest.mark.parametrize("size", [(4, 4), (4, 34), (30, 6), (22, 70)], ids=str)
def test_every_network(size: tuple[int, int], network: Native) -> None:
    """Half a level is what rounding costs. Networks of bytes round RGB in their graph, the engine does not."""
    kind, rounded = KINDS[0], network.artifact.manifest.output.dtype == "uint8"
    frame = noise(kind, *size)
    truth = Reference(kind).samples(exact(network)(Reference(kind).rgb(frame.luma, frame.cb, frame.cr)))
    check(run(network, frame, kind), truth, 1.0 if rounded else 0.51)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.bits} bits, {kind.matrix}, {kind.location}")
def test_every_kind_of_frame(kind: Yuv420, simple: Native) -> None:
    frame = noise(kind, 22, 70)
    truth = exact(simple)(Reference(kind).rgb(frame.luma, frame.cb, frame.cr))
    fine = max(0.51, 2.0 ** (kind.bits - 16))  # float32 has about 16 bits after some sums
    for other in (kind, KINDS[0], KINDS[3]):  # what is returned need not be of the same kind
        check(run(simple, frame, other), Reference(other).samples(truth), fine)


def test_ports_of_other_values(small_artifact: Artifact, tmp_path: Path) -> None:
    ports = [
        Port(name, "NCHW", "float32", (-1.0, 3.0), (1, 3, "height", "width"), "BGR") for name in ("input", "output")
    ]
    made = artifact(strided(), small_artifact, tmp_path, 2)
    manifest = replace_ports(made, *ports)
    network = Native(Artifact(made.path, manifest))
    frame = noise(KINDS[0], 22, 70)
    truth = exact(network)(Reference(KINDS[0]).rgb(frame.luma, frame.cb, frame.cr))
    check(run(network, frame, KINDS[0]), Reference(KINDS[0]).samples(truth), 0.51)


def replace_ports(made: Artifact, given: Port, returned: Port) -> Any:
    import msgspec

    return msgspec.structs.replace(made.manifest, input=given, output=returned)


@pytest.mark.parametrize("name", ["strided", "gated"])
def test_threads_parts_and_targets_change_no_bit(name: str, native: Callable[..., Native]) -> None:
    (model, scale), kind = NETWORKS[name], KINDS[0]
    network = native(model(), scale)
    for size in ((4, 10), (22, 70)):
        frame = noise(kind, *size)
        whole = run(network, frame, kind)
        engine, banded = network.library().engine(*size, 2), blank(kind, size[0] * scale, size[1] * scale)
        for row in range(0, size[0], 2):
            engine.run_yuv420(frame, banded, (row, row + 2))
        for plane, again in zip(whole, (banded.luma, banded.cb, banded.cr), strict=True):
            np.testing.assert_array_equal(again, plane)
        for how in ({"threads": 3}, {"threads": 2, "columns": 5}, {"target": "scalar"}, {"target": "x86-64-v3"}):
            for plane, again in zip(whole, run(network, frame, kind, **how), strict=True):
                np.testing.assert_array_equal(again, plane)


def test_rows_and_samples_apart_in_memory(simple: Native) -> None:
    """NV12 and P010 in the middle of larger pictures, of which nothing else is written."""
    for kind in (KINDS[0], KINDS[4]):
        frame = noise(kind, 22, 70)
        wanted = run(simple, frame, kind)
        type_ = frame.luma.dtype
        given, pairs = np.full((30, 90), 7, type_), np.full((20, 100), 7, type_)
        given[3:25, 5:75], pairs[2:13, 6:76:2], pairs[2:13, 7:77:2] = frame.luma, frame.cb, frame.cr
        inside = replace(frame, luma=given[3:25, 5:75], cb=pairs[2:13, 6:76:2], cr=pairs[2:13, 7:77:2])
        large, large_pairs = np.full((50, 150), 9, type_), np.full((30, 150), 9, type_)
        made = replace(
            kind, luma=large[4:48, 6:146], cb=large_pairs[3:25, 5:145:2], cr=large_pairs[3:25, 4:144:2]
        )  # NV21
        simple.library().engine(22, 70, 2).run_yuv420(inside, made)
        for plane, other in zip((made.luma, made.cb, made.cr), wanted, strict=True):
            np.testing.assert_array_equal(plane, other)
            plane[:] = 9
        assert (large == 9).all()
        assert (large_pairs == 9).all()


def test_luma_alone(network: Native) -> None:
    frame = noise(KINDS[0], 22, 70)
    luma = run(network, frame, KINDS[0])[0]
    height, width = luma.shape
    made = np.zeros_like(luma)
    network.library().engine(22, 70, 2).run_yuv420(frame, replace(KINDS[0], luma=made))
    assert made.shape == (height, width)
    np.testing.assert_array_equal(made, luma)


@pytest.mark.parametrize(("full", "drift"), [(False, 0.05), (True, 0.55)], ids=["limited", "full"])
def test_against_ffmpeg(full: bool, drift: float, small_artifact: Artifact) -> None:
    """What `upscale` makes of a frame through FFmpeg's RGB: rounded twice more, so a level off at most. FFmpeg writes
    chroma of full range half a level too low, and weights the third row of chroma otherwise (see test_triton_nv12)."""
    av = pytest.importorskip("av")
    height, width = 96, 160
    y, x = np.mgrid[:height, :width]
    luma = 128 + 60 * np.sin(x / 9) + 40 * np.cos(y / 7)
    cb, cr = 128 + 50 * np.sin(x[::2, ::2] / 15), 120 + 40 * np.cos(y[::2, ::2] / 11)
    frame = replace(KINDS[0], luma=luma.astype(np.uint8), cb=cb.astype(np.uint8), cr=cr.astype(np.uint8), full=full)
    decoded = av.VideoFrame(width, height, "yuv420p")
    for plane, samples in zip(decoded.planes, (frame.luma, frame.cb, frame.cr), strict=True):
        plane_samples(plane, np.uint8, samples.shape[1])[:] = samples
    colour, manifest = Colour(1, full, "left"), small_artifact.manifest
    session = load_session(small_artifact, "ort-cpu")
    session.bind((height, width))
    rgb = ToRgb(decoded, colour, deep=False)(decoded).transpose(1, 2, 0)
    upscaled = manifest.output.to_image(session.run(manifest.input.from_image(rgb)), np.uint8).transpose(2, 0, 1)
    scale = manifest.network.scale
    made = FromRgb(width * scale, height * scale, 255, colour, "yuv420p")(upscaled)
    planes = run(Native(small_artifact), frame, frame)
    for plane, samples in zip(made.planes, planes, strict=True):
        difference = plane_samples(plane, np.uint8, samples.shape[1]).astype(int) - samples
        assert np.abs(difference).max() <= 1 + full
        assert abs(difference.mean()) <= drift


def test_what_cannot_be_computed_is_refused(
    simple: Native, native: Callable[..., Native], small_artifact: Artifact
) -> None:
    engine, frame = simple.library().engine(22, 70, 1), noise(KINDS[0], 22, 70)
    made = blank(KINDS[0], 44, 140)
    for wrong in (
        replace(frame, bits=7),
        replace(frame, bits=17, luma=frame.luma.astype(np.uint16)),
        replace(frame, matrix=0),
        replace(frame, matrix=8),
        replace(frame, matrix=-1),
        replace(frame, matrix=10),
        replace(frame, location=6),
        replace(frame, luma=frame.luma[1:]),
        replace(frame, luma=frame.luma.astype(np.uint16)),
        replace(frame, cb=frame.cb[:, ::2]),
        replace(frame, cr=None),
        replace(frame, cb=None, cr=None),
    ):
        with pytest.raises(toolkit.InputError):
            engine.run_yuv420(wrong, made)
    with pytest.raises(toolkit.InputError, match="140x44"):
        engine.run_yuv420(frame, frame)
    for rows in ((1, 3), (0, 3), (-2, 2), (20, 24), (4, 4), (6, 4)):
        with pytest.raises(toolkit.InputError, match="rows"):
            engine.run_yuv420(frame, made, rows)
    assert not made.luma.any()
    graph, scale = NETWORKS["luma"]
    with pytest.raises(toolkit.InputError, match="takes luma only"):
        run(native(graph(), scale), frame, KINDS[0])
    odd = native(gated(), 3, SizeRule(1, 1))
    with pytest.raises(toolkit.InputError, match="sizes and rows of video must be even"):
        refused_by_c(odd.library().engine(13, 32, 1))


def refused_by_c(engine: LoadedEngine) -> None:
    """Python refuses such planes before."""
    from toolkit.native.yuv420 import CYuv420

    memory = ctypes.create_string_buffer(1 << 16)
    address = ctypes.addressof(memory)
    frame = CYuv420(address, address, address, 96, 48, 1, 8, 1, 0, 0)
    run = engine._library._function("run_yuv420")
    engine._check(run(engine._handle, ctypes.byref(frame), ctypes.byref(frame), 0, 12))

"""Known colours, ramps and a zone plate through the whole path, file to file, against ITU-R BT.601/709/2020 and BT.2100
in float64. The network repeats pixels, so what comes out is known exactly but for the conversions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.films import plane
from media.nearest import nearest_artifact
from numpy.typing import NDArray

from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos import planar_frames, rgb_frames
from toolkit.media.videos.colour import UNSPECIFIED, Colour, ToRgb, chroma_location
from toolkit.media.videos.encoding import VideoFormat
from toolkit.native.yuv420 import Yuv420

Array = NDArray[np.float64]

SIDE = 64
MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
OFFSETS = {"left": (0.0, 0.5), "center": (0.5, 0.5), "topleft": (0.0, 0.0)}
PATCH = 16
RUNTIMES = ["ort-cpu", "native"]
"""Through FFmpeg's RGB, and in luma and chroma all the way."""

# Most that a sample may be off, in steps of its own bits, by range and depth. Two conversions round; swscale's full
# range is less exact.
WORST = {(False, 8): 1.5, (False, 10): 1.5, (True, 8): 2.0, (True, 10): 2.5}
DRIFT = {False: 0.2, True: 0.75}
"""Most that chroma ramps may be off on average, in 8-bit steps, by range. Half a pixel of wrong chroma location is half
a step; swscale writes chroma of full range half a step too low."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nearest_artifact(tmp_path_factory.mktemp("nearest")).path


def patches(x: Array, y: Array) -> Array:
    colours = np.random.default_rng(0).uniform(0, 1, (SIDE // PATCH, SIDE // PATCH, 3))
    colours[0, :3] = [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]
    colours[1, :3] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    return colours[np.clip(y // PATCH, 0, 3).astype(int), np.clip(x // PATCH, 0, 3).astype(int)]


def zone_plate(x: Array, y: Array) -> Array:
    wave = 0.5 + 0.5 * np.cos(np.pi * ((x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2) / (2 * SIDE))
    return np.stack([wave] * 3, axis=-1)


def to_samples(rgb: Array, matrix: int, depth: int, *, full: bool) -> Array:
    """Y, Cb, Cr in steps, not rounded."""
    red, blue = MATRICES[matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    return steps(luma, (rgb[..., 2] - luma) / 2 / (1 - blue), (rgb[..., 0] - luma) / 2 / (1 - red), depth, full=full)


def steps(luma: Array, blue: Array, red: Array, depth: int, *, full: bool) -> Array:
    fine = 2.0 ** (depth - 8)
    if full:
        most = 2**depth - 1
        return np.stack([luma * most, blue * most + 128 * fine, red * most + 128 * fine])
    return np.stack([(luma * 219 + 16) * fine, (blue * 224 + 128) * fine, (red * 224 + 128) * fine])


def ramps(x: Array, y: Array, depth: int, *, full: bool) -> Array:
    """Chroma that rises by 0.93 8-bit levels a pixel: blue to the right, red downwards. By no simple fraction, and with
    a luma that needs no rounding, so that roundings cancel out."""
    unit = 0.93 / (255 if full else 224)
    grey = np.full_like(x, (120 << depth - 8) / (2**depth - 1) if full else 110 / 219)
    return steps(grey, (x - SIDE / 2) * unit, (y - SIDE / 2) * unit, depth, full=full)


class Case:
    """One way of writing colour down."""

    def __init__(self, matrix: int, depth: int, subsampling: str, location: str, *, full: bool) -> None:
        self.matrix, self.full, self.depth, self.location = matrix, full, depth, location
        self.across, self.down = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}[subsampling]
        self.pix_fmt = f"yuv{subsampling}p{'' if depth == 8 else '10le'}"
        right, low = OFFSETS[location]
        self.offset = (right if self.across == 2 else 0.0, low if self.down == 2 else 0.0)

    def charts(self) -> list[Callable[[Array, Array], Array]]:
        def of(chart: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
            return lambda x, y: to_samples(chart(x, y), self.matrix, self.depth, full=self.full)

        return [of(patches), of(zone_plate), lambda x, y: ramps(x, y, self.depth, full=self.full)]

    def places(self, side: int, index: int) -> tuple[Array, Array]:
        """Where samples of a plane lie, in pixels of a frame of this size."""
        across, down = (self.across, self.down) if index else (1, 1)
        right, low = self.offset if index else (0.0, 0.0)
        x, y = np.meshgrid(np.arange(side // across) * across + right, np.arange(side // down) * down + low)
        return x.astype(float), y.astype(float)

    def write(self, path: Path) -> None:
        with av.open(str(path), "w") as container:
            options = {"chroma_sample_location": self.location}
            stream: Any = container.add_stream("ffv1", 25, options=options)
            stream.width = stream.height = SIDE
            stream.pix_fmt, context = self.pix_fmt, stream.codec_context
            context.colorspace, context.color_range = self.matrix, 2 if self.full else 1
            context.color_primaries = context.color_trc = 1
            for number, chart in enumerate(self.charts()):
                frame = av.VideoFrame(SIDE, SIDE, self.pix_fmt)
                for index in range(3):
                    samples = np.rint(chart(*self.places(SIDE, index))[index])
                    plane(frame, index)[:] = np.clip(samples, 0, 2**self.depth - 1)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def errors(self, path: Path) -> tuple[float, float]:
        """Of what came out: the worst sample, and the average drift of the ramps."""
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        assert len(frames) == 3
        worst, drift = 0.0, 0.0
        for number, (frame, chart) in enumerate(zip(frames, self.charts(), strict=True)):
            assert (frame.width, frame.height, frame.format.name) == (2 * SIDE, 2 * SIDE, self.pix_fmt)
            assert (frame.colorspace, frame.color_range) == (self.matrix, 2 if self.full else 1)
            assert (frame.color_primaries, frame.color_trc) == (1, 1)
            for index in range(3):
                x, y = ((place + 0.5) / 2 - 0.5 for place in self.places(2 * SIDE, index))
                smooth = number == 2
                wanted = chart(x, y)[index] if smooth else chart(np.rint(x), np.rint(y))[index]
                wrong = (plane(frame, index) - wanted)[self.inside(x, y, patched=number == 0)]
                worst = max(worst, float(np.abs(wrong).max()))
                if smooth and index:
                    drift = max(drift, abs(float(wrong.mean())) / 2 ** (self.depth - 8))
        return worst, drift

    def inside(self, x: Array, y: Array, *, patched: bool) -> NDArray[np.bool_]:
        """Away from edges, where subsampled chroma is a mixture."""
        margin, period = (5, PATCH) if patched else (8, SIDE)
        if not patched and self.across == 1:
            margin = 0
        ok = [(place % period >= margin) & (place % period <= period - 1 - margin) for place in (x, y)]
        return ok[0] & ok[1]


def convert(case: Case, directory: Path, network: Path, runtime: str) -> tuple[float, float]:
    source, result = directory / "in.mkv", directory / "out.mkv"
    case.write(source)
    options = UpscaleOptions(models=(network,), runtime=runtime, threads=1, video=VideoFormat(codec="ffv1"))
    report = upscale([source], result, options)
    assert not report.files[0].notes, "nothing had to be assumed"
    return case.errors(result)


KINDS = [
    *((8, "420", location) for location in OFFSETS),
    (8, "422", "left"),
    (8, "444", "left"),
    (10, "420", "left"),
    (10, "420", "topleft"),
    (10, "444", "left"),
]


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES, ids=["709", "601", "2020"])
@pytest.mark.parametrize(
    ("runtime", "depth", "subsampling", "location"),
    # Anything but 4:2:0 goes through RGB with every runtime.
    [(runtime, *kind) for kind in KINDS for runtime in RUNTIMES[: 2 if kind[1] == "420" else 1]],
)
def test_conformance(
    runtime: str, depth: int, subsampling: str, location: str, matrix: int, full: bool, tmp_path: Path, network: Path
) -> None:
    worst, drift = convert(Case(matrix, depth, subsampling, location, full=full), tmp_path, network, runtime)
    assert worst <= WORST[full, depth]
    assert drift <= DRIFT[full]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    "wrong",
    [Colour(6, False, "left", 1, 1), Colour(1, True, "left", 1, 1), Colour(1, False, "center", 1, 1)],
    ids=["matrix", "range", "location"],
)
def test_the_suite_sees_a_wrong_reading(
    wrong: Colour, runtime: str, tmp_path: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading is wrong and the writing right: what passes through twice would undo itself."""
    if runtime == "native":
        right, moved = planar_frames.yuv420_of, replace(wrong, primaries=UNSPECIFIED)  # the input has other primaries

        def reading(frame: av.VideoFrame, colour: Colour, **how: bool) -> Yuv420:
            return right(frame, moved if frame.width == SIDE else colour, **how)

        monkeypatch.setattr(planar_frames, "yuv420_of", reading)
    else:
        usual = rgb_frames.ToRgb
        monkeypatch.setattr(rgb_frames, "ToRgb", lambda frame, _colour, **how: usual(frame, wrong, **how))
    worst, drift = convert(Case(1, 8, "420", "left", full=False), tmp_path, network, runtime)
    assert worst > 2 * WORST[False, 8] or drift > 2 * DRIFT[False]


def test_location_is_read_from_ffmpegs_own_words() -> None:
    assert chroma_location("Video: h264 (High), yuv420p(tv, bt709, progressive, topleft), 64x48") == "topleft"
    assert chroma_location("Video: vp9 (Profile 0), yuv420p(tv), 64x48") is None


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("bits", [8, 10])
def test_grey_has_the_range_that_its_file_says(bits: int, full: bool) -> None:
    """Every level, against BT.601; swscale itself reads grey as full range."""
    levels = np.arange(1 << bits)
    frame = av.VideoFrame(len(levels), 1, "gray" if bits == 8 else "gray10le")
    plane(frame, 0)[:] = levels
    to_rgb = ToRgb(frame, Colour(6, full), deep=True)
    shift = 1 << (bits - 8)
    exact = levels / (len(levels) - 1) if full else (levels - 16 * shift) / (219 * shift)
    usual = (exact >= 0) & (exact <= 1)
    for made in to_rgb(frame):
        np.testing.assert_allclose(made[0][usual] / to_rgb.white, exact[usual], atol=0.51 / to_rgb.white)

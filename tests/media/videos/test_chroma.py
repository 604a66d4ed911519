"""Chroma planes that bypass the network, against Lanczos interpolation in float64 at the places that the standards
give them (ITU-T H.273, figure 2)."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.films import done, moving, plane, write_film
from numpy.typing import NDArray

from toolkit.media.options import UpscaleOptions
from toolkit.media.preview import preview
from toolkit.media.target import Target
from toolkit.media.videos.chroma import ChromaEnlarger, ChromaReader, grid_of
from toolkit.media.videos.colour import Colour
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.orientation import Orientation
from toolkit.media.videos.video_file import read_video
from toolkit.workloads import Shape

Array = NDArray[np.float64]

SITES = {
    "left": (0.5, 0.0),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.0, 0.5),
    "bottomleft": (1.0, 0.0),
    "bottom": (1.0, 0.5),
}
"""Rows and columns of luma from the first one to the first chroma sample, in 4:2:0."""


def places(count: int, cell: int, site: float) -> Array:
    """Luma coordinates of chroma samples along an axis; luma samples lie at whole numbers."""
    return np.arange(count) * cell + (site if cell == 2 else 0.0)


def weights(given: Array, wanted: Array) -> Array:
    """A row of Lanczos weights (a = 3) for each wanted place; samples beyond the ends repeat the last ones."""
    step = given[1] - given[0]
    padded = np.concatenate([given[0] - step * np.arange(8, 0, -1), given, given[-1] + step * np.arange(1, 9)])
    spread = max(1.0, (wanted[1] - wanted[0]) / step)
    away = (padded[None] - wanted[:, None]) / (step * spread)
    kernel = np.where(np.abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
    kernel /= kernel.sum(axis=1, keepdims=True)
    inner = kernel[:, 8:-8].copy()
    inner[:, 0] += kernel[:, :8].sum(axis=1)
    inner[:, -1] += kernel[:, -8:].sum(axis=1)
    return inner


def lanczos(planes: NDArray[Any], low: Shape, high: Shape, cell: tuple[int, int], site: tuple[float, float]) -> Array:
    """Planes (2, h, w) of frames of size `low` as those of `high`, of the same subsampling; not rounded."""
    axes = []
    for count, small, large, step, first in zip(planes.shape[1:], low.sides, high.sides, cell, site, strict=True):
        wanted = (places(-(-large // step), step, first) + 0.5) * (small / large) - 0.5
        axes.append(weights(places(count, step, first), wanted))
    return axes[0] @ planes.astype(float) @ axes[1].T


@pytest.mark.parametrize("location", SITES)
@pytest.mark.parametrize("size", [(2, 2), (3, 3), (1.5, 1.25), (0.5, 0.8)], ids=["x2", "x3", "between", "reduced"])
def test_all_locations(location: str, size: tuple[float, float]) -> None:
    low = Shape(36, 52)
    high = Shape(*(int(side * factor) // 2 * 2 for side, factor in zip(low.sides, size, strict=True)))
    planes = np.random.default_rng(0).integers(16, 241, (2, 18, 26), np.uint8)
    source, target = (grid_of(shape, "yuv420p", Colour(1, False, location)) for shape in (low, high))
    assert source is not None
    assert target is not None
    made = ChromaEnlarger(source, target)(planes)
    truth = lanczos(planes, low, high, (2, 2), SITES[location])
    assert made.dtype == np.uint8
    np.testing.assert_allclose(made, np.clip(truth, 0, 255), rtol=0, atol=0.502)


@pytest.mark.parametrize(
    ("given", "returned"), itertools.permutations([(8, False), (10, False), (8, True), (10, True)], 2)
)
def test_depth_and_range(given: tuple[int, bool], returned: tuple[int, bool]) -> None:
    """A constant keeps its colour: Cb = -0.5..0.5 in the steps of either side."""
    names = {8: "yuv420p", 10: "yuv420p10le"}

    def steps(share: float, depth: int, full: bool) -> float:
        most = 2**depth - 1 if full else 224 * 2 ** (depth - 8)
        return 2 ** (depth - 1) + share * most

    source, target = (grid_of(Shape(8, 8), names[depth], Colour(1, full)) for depth, full in (given, returned))
    assert source is not None
    assert target is not None
    for share in (-0.4, 0.0, 0.3):
        value = round(steps(share, *given))
        exact = (value - steps(0, *given)) / (steps(1, *given) - steps(0, *given))
        made = ChromaEnlarger(source, target)(np.full((2, 4, 4), value, np.uint16))
        assert set(made.flat) == {round(steps(exact, *returned))}


def chroma_film(path: Path, pix_fmt: str, colour: Colour, shape: Shape, *, count: int = 2) -> list[NDArray[Any]]:
    """A film without loss, with random chroma; returns its planes, (2, h, w) of each frame."""
    random, depth = np.random.default_rng(1), 10 if "10" in pix_fmt else 8
    made = []
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", 25, options={"chroma_sample_location": colour.location})
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_range = colour.matrix, 2 if colour.full else 1
        for number in range(count):
            frame = av.VideoFrame(shape.width, shape.height, pix_fmt)
            for index in range(3):
                samples = random.integers(100 << depth - 8, 150 << depth - 8, plane(frame, index).shape)
                plane(frame, index)[:] = samples
            made.append(np.stack([plane(frame, index).copy() for index in (1, 2)]))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return made


def read(path: Path) -> list[list[NDArray[Any]]]:
    with av.open(str(path)) as container:
        return [[plane(frame, index).copy() for index in range(3)] for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("pix_fmt", "location", "full", "size"),
    [
        ("yuv420p", "left", False, "64x48"),
        ("yuv420p", "topleft", True, "62x46"),
        ("yuv422p10le", "left", False, "64x48"),
        ("yuv444p", "left", False, "63x47"),
        ("yuv420p", "center", False, "63x47"),
    ],
)
def test_a_file(pix_fmt: str, location: str, full: bool, size: str, tmp_path: Path, nearest: Path) -> None:
    """Chroma comes from the file's own samples, and luma is what it is with the network's chroma."""
    width, height = map(int, size.split("x"))
    low = Shape(height, width)
    source = tmp_path / "in.mkv"
    given = chroma_film(source, pix_fmt, Colour(1, full, location), low)
    cell = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}[pix_fmt[3:6]]
    options = UpscaleOptions(models=(nearest,), threads=1, video=VideoFormat(codec="ffv1"), chroma="lanczos")
    assert done(source, tmp_path / "lanczos.mkv", options).chroma == "lanczos"
    plain = UpscaleOptions(models=(nearest,), threads=1, video=VideoFormat(codec="ffv1"), chroma="network")
    assert done(source, tmp_path / "network.mkv", plain).chroma == "network"
    results, others = read(tmp_path / "lanczos.mkv"), read(tmp_path / "network.mkv")
    assert len(results) == len(given) == 2
    for planes, (luma, *chroma), other in zip(given, results, others, strict=True):
        truth = lanczos(planes, low, low.upscaled(2), cell, SITES[location])
        np.testing.assert_allclose(np.stack(chroma), truth, rtol=0, atol=0.52)
        np.testing.assert_array_equal(luma, other[0])
        assert np.abs(chroma[0] - other[1].astype(float)).max() > 2


@pytest.mark.parametrize("turn", [Orientation(*flags) for flags in itertools.product((False, True), repeat=3)])
@pytest.mark.parametrize("size", [Shape(12, 20), Shape(11, 19)])
def test_turned_frames(turn: Orientation, size: Shape) -> None:
    """Samples stay on the pixels that they belong to: a ramp over the frame is the same ramp when both are turned."""
    grid = grid_of(size, "yuv420p10le", Colour(1, False, "topleft"))
    assert grid is not None
    rows, columns = (places(count, 2, 0.0) for count in grid.shape.sides)
    ramp = np.rint(400 + 7 * rows[:, None] + 4 * columns[None])
    planes = turn.upright(np.stack([ramp, ramp]).astype(np.uint16))
    turned = grid.upright(turn)
    assert turned.shape.sides == planes.shape[1:]
    fine = grid_of(turned.luma, "yuv444p10le", Colour(1, False))
    assert fine is not None
    made = ChromaEnlarger(turned, fine)(planes)[0].astype(float)
    full = 400 + 7 * np.arange(size.height)[:, None] + 4.0 * np.arange(size.width)[None]
    truth = turn.upright(full[None])[0]
    inner = (slice(5, -5) if side > 10 else slice(None) for side in truth.shape)
    error = (made - truth)[tuple(inner)]
    assert np.abs(error).max() < 1.5
    assert abs(error.mean()) < 0.25, "half a pixel is 2 to 3.5 steps"


@pytest.mark.parametrize(
    ("packed", "planar"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le"), ("yuv420p10be", "yuv420p10le")]
)
def test_formats_that_are_not_planar(packed: str, planar: str) -> None:
    frame = av.VideoFrame(16, 12, planar)
    for index in range(3):
        samples = plane(frame, index)
        samples[:] = np.random.default_rng(index).integers(70, 900 if "10" in planar else 230, samples.shape)
    truth = np.stack([plane(frame, index).copy() for index in (1, 2)])
    arranged = frame.reformat(format=packed)
    np.testing.assert_array_equal(ChromaReader(arranged, Colour(1, False))(arranged), truth)


def test_frames_without_chroma_say_so(tmp_path: Path, nearest: Path) -> None:
    write_film(tmp_path / "rgb.mkv", moving(2), codec="libx264rgb", pix_fmt="rgb24", tags={})
    options = UpscaleOptions(models=(nearest,), video=VideoFormat(codec="ffv1"), chroma="lanczos")
    report = done(tmp_path / "rgb.mkv", tmp_path / "out.mkv", options)
    assert report.chroma == "network"
    assert "rgb.mkv: its frames have no chroma planes, so its colours are the network's" in report.notes


def test_a_preview_shows_them(tmp_path: Path, nearest: Path) -> None:
    """The right half of the picture has the colours of the file that `upscale` writes."""
    source = tmp_path / "in.mkv"
    chroma_film(source, "yuv444p", Colour(1, False), Shape(48, 64), count=3)
    options = UpscaleOptions(Target(2), models=(nearest,), threads=1, video=VideoFormat(codec="ffv1"), chroma="lanczos")
    done(source, tmp_path / "out.mkv", options)
    preview([source], tmp_path / "split.mkv", options)
    result, split = read(tmp_path / "out.mkv")[1], read(tmp_path / "split.mkv")[1]
    for one, other in zip(result, split, strict=True):
        half = np.s_[:, 68:]
        assert np.abs(one[half].astype(float) - other[half]).max() <= 2
    assert read_video(tmp_path / "split.mkv").pix_fmt == "yuv444p"

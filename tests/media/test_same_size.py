"""Networks of scale 1 through pictures, videos, strips and the choice by size; every result is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.films import moving, write_film
from media.nearest import lowering_artifact, nearest_artifact
from numpy.typing import NDArray
from photographs import picture
from PIL import Image

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.images.reading import read_picture
from toolkit.media.networks import Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscale import upscale
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.encoding import VideoFormat
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape


@pytest.fixture(scope="module")
def lowering(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return lowering_artifact(tmp_path_factory.mktemp("lowering"))


@pytest.fixture
def options(lowering: Artifact) -> UpscaleOptions:
    return UpscaleOptions(Target.of(1, None), (lowering.path,), runtime="ort-cpu", threads=1)


def lowered(samples: NDArray[Any]) -> NDArray[Any]:
    """What the network does, in whatever type the samples have."""
    return np.concatenate([np.zeros_like(samples[:1]), samples[:-1]])


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "I;16"])
def test_pictures_keep_their_size(mode: str, tmp_path: Path, options: UpscaleOptions) -> None:
    pixels = picture(33, 46)
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 251 + 3)
    source = tmp_path / "in.tif"
    (deep if mode == "I;16" else Image.fromarray(pixels).convert(mode)).save(source)
    (report,) = upscale([source], None, options).files
    assert Path(report.output).name == "in_x1.tif"
    before, after = read_picture(source), read_picture(tmp_path / "in_x1.tif")
    # Of ink the network sees the paper that it leaves white, so that a black row is full of ink.
    wanted = 255 - lowered(255 - before.samples) if mode == "CMYK" else lowered(before.samples)
    assert after.mode == before.mode
    np.testing.assert_array_equal(after.samples, wanted)


def test_transparency_stays_between_its_neighbours(lowering: Artifact) -> None:
    pixels = np.dstack([picture(20, 24), picture(20, 24)[..., 1] // 2 + 64])
    with toolkit.Upscaler(lowering, runtime="ort-cpu") as network:
        result = network(pixels)
    np.testing.assert_array_equal(result[1:, :, :3], pixels[:-1, :, :3])
    np.testing.assert_array_equal(result[1:, :, 3], pixels[:-1, :, 3])
    around = np.lib.stride_tricks.sliding_window_view(np.pad(pixels[..., 3], 1, mode="edge"), (3, 3))[0]
    np.testing.assert_array_equal(result[0, :, 3], around.min(axis=(1, 2)))


@pytest.mark.parametrize("reuse", [False, True])
def test_strips_are_the_whole_frame(reuse: bool, lowering: Artifact) -> None:
    frame = np.ascontiguousarray(picture(90, 64).transpose(2, 0, 1))
    network = FrameUpscaler(Subject(lowering, "ort-cpu", 1), memory=40_000, reuse=reuse)
    wanted = lowered(frame.transpose(1, 2, 0)).transpose(2, 0, 1)
    for _ in range(2):
        np.testing.assert_array_equal(network(frame, 255), wanted)
    assert len(network._strips) > 2
    assert network.reused.share == (0.5 if reuse else 0)


def test_videos_keep_their_size(tmp_path: Path, options: UpscaleOptions) -> None:
    """All three planes move by a row; 4:4:4 without loss, so that only rounding in RGB remains."""
    source = write_film(tmp_path / "in.mkv", moving(3), codec="ffv1", pix_fmt="yuv444p")
    exact = replace(options, video=VideoFormat("ffv1", pix_fmt="yuv444p"))
    (report,) = upscale([source], tmp_path / "out.mkv", exact).files
    assert (report.outcome, report.frames) == ("done", 3)
    for before, after in zip(planes(source), planes(tmp_path / "out.mkv"), strict=True):
        assert before.shape == after.shape == (3, 48, 64)
        # Colours beyond what RGB holds are the only ones that change by more than rounding.
        assert np.abs(after[:, 1:].astype(int) - before[:, :-1]).mean() < 0.6
        assert np.abs(after.astype(int) - before).mean() > 3
    subsampled = write_film(tmp_path / "in.mp4", moving(3))
    upscale([subsampled], tmp_path / "out.mp4", options)
    assert [plane.shape for plane in planes(tmp_path / "out.mp4")] == [(3, 48, 64), (3, 24, 32), (3, 24, 32)]


def planes(path: Path) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
    """Y, Cb and Cr of all frames, each (frames, height, width)."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [np.stack([samples(frame.planes[index]) for frame in frames]) for index in range(3)]


def samples(plane: Any) -> NDArray[np.uint8]:
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


@pytest.fixture
def artifacts(tmp_path: Path) -> Callable[..., tuple[Path, ...]]:
    """Paths of networks of some scales."""

    def make(*scales: int) -> tuple[Path, ...]:
        return tuple(nearest_artifact(tmp_path / f"x{scale}", scale).path for scale in scales)

    return make


FOUR_K = Shape(2160, 3840)


@pytest.mark.parametrize(
    ("there", "shape", "scale"),
    [
        ((1, 2, 3, 4), Shape(1080, 1920), 2),
        ((1, 2, 3, 4), Shape(540, 960), 4),
        ((1, 2, 4), Shape(720, 1280), 4),  # 4 reaches it, 2 does not
        ((2, 3), Shape(540, 960), 3),  # none reaches it
        ((1, 8), Shape(1080, 1920), 8),
    ],
)
def test_the_smallest_network_that_reaches_a_size(there: tuple[int, ...], shape: Shape, scale: int) -> None:
    target = Target(None, FOUR_K, there)
    assert target.result(shape) == (scale, FOUR_K)
    reached = min(shape.upscaled(scale).sides[0], 2160) == 2160
    assert (target.note(shape) == "") == reached


def test_networks_that_are_there(artifacts: Callable[..., tuple[Path, ...]], tmp_path: Path) -> None:
    """Named ones alone; else those of the directory and the toolkit's own, which are fp32."""
    none = UpscaleOptions(directory=tmp_path / "empty")
    assert Networks(none).scales == (2, 3)
    assert Networks(replace(none, precision="fp16")).scales == ()
    assert Networks(replace(none, models=artifacts(4, 1))).scales == (1, 4)
    nearest_artifact(tmp_path / "stored", 4)
    stored = replace(none, directory=tmp_path / "stored", target=Target.of(None, "4k"))
    assert Networks(stored).target == Target(None, FOUR_K, (2, 3, 4))
    assert Networks(stored)(4).name == "nearest_x4_fp32"
    with pytest.raises(InputError, match=r"no network for x8: .* the toolkit's own are x2 and x3\n"):
        Networks(none)(8)


def test_a_size_that_no_network_reaches(artifacts: Callable[..., tuple[Path, ...]], tmp_path: Path) -> None:
    Image.fromarray(picture(20, 30)).save(tmp_path / "in.png")
    options = UpscaleOptions(Target(None, Shape(60, 90)), artifacts(1, 2), runtime="ort-cpu", threads=1)
    (report,) = upscale([tmp_path / "in.png"], tmp_path / "out.png", options).files
    assert Image.open(tmp_path / "out.png").size == (90, 60)
    assert report.notes == ("x2 reaches 60x40; Lanczos interpolation enlarged it to 90x60",)
    with pytest.raises(InputError, match="needs a network that enlarges, and the only ones here are x1"):
        upscale([tmp_path / "in.png"], tmp_path / "out.png", replace(options, models=artifacts(1)))

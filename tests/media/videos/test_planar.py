"""Films whose frames stay in luma and chroma: against the way through RGB, and against frames on their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.films import done, moving, packets, plane, write_film
from media.nearest import nearest_artifact
from native.graphs import artifact
from native.networks import luma

from toolkit.artifact import Artifact
from toolkit.media.item import Item
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.chroma import Chroma
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.planar_frames import PlanarFrames
from toolkit.media.videos.run import begin_video
from toolkit.media.videos.segments import SegmentRun
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

FFV1 = VideoFormat(codec="ffv1")


def options_of(artifact: Artifact, **more: Any) -> UpscaleOptions:
    return UpscaleOptions(**{"models": (artifact.path,), "runtime": "native", "threads": 2, "video": FFV1} | more)


def frames_of(path: Path) -> list[list[Any]]:
    with av.open(str(path)) as container:
        return [[plane(frame, index).astype(int) for index in range(3)] for frame in container.decode(video=0)]


@pytest.mark.parametrize("chroma", ["network", "lanczos"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_the_way_through_rgb_differs_by_rounding(
    pix_fmt: str, chroma: Chroma, tmp_path: Path, small_artifact: Artifact
) -> None:
    film = write_film(tmp_path / "in.mkv", mild(4), codec="ffv1", pix_fmt=pix_fmt)
    options = options_of(small_artifact, chroma=chroma)
    assert done(film, tmp_path / "planar.mkv", options).notes == ()
    done(film, tmp_path / "rgb.mkv", replace(options, runtime="ort-cpu"))
    for ours, theirs in zip(frames_of(tmp_path / "planar.mkv"), frames_of(tmp_path / "rgb.mkv"), strict=True):
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            difference = np.abs(a - b)
            if number and chroma == "lanczos":
                assert not difference.any()
            # FFmpeg interpolates chroma of the third row otherwise: test_triton_nv12.py.
            away = difference[16:] if number == 0 else difference[8:]
            assert away.max() <= 1
            assert 0 < difference.mean() < 0.3 or (number and chroma == "lanczos")


def mild(count: int, height: int = 96, width: int = 64) -> list[Any]:
    """Frames whose colours RGB holds."""
    return [(128 + (frame.astype(int) - 128) // 3).astype(np.uint8) for frame in moving(count, height, width)]


def planned(film: Path, artifact: Artifact, tmp_path: Path, **more: Any) -> Any:
    options = options_of(artifact, **more)
    subject = Subject.parse(artifact.path, options.runtime, threads=1)
    item = Item(film, tmp_path / "out.mkv", "video")
    with begin_video(item, options.target, options.video_settings, lambda _scale: subject) as run:
        run.parts.remove()
        return run.job


def test_which_films_stay_in_luma_and_chroma(tmp_path: Path, small_artifact: Artifact) -> None:
    plain = write_film(tmp_path / "plain.mkv", mild(2), codec="ffv1")
    assert planned(plain, small_artifact, tmp_path).planar
    others: dict[str, tuple[Path, dict[str, Any]]] = {
        "another runtime": (plain, {"runtime": "ort-cpu"}),
        "another size": (plain, {"target": Target(None, Shape(150, 100))}),
        "full chroma": (write_film(tmp_path / "444.mkv", mild(2), codec="ffv1", pix_fmt="yuv444p"), {}),
        "to full chroma": (plain, {"video": VideoFormat(codec="ffv1", pix_fmt="yuv444p")}),
        "odd": (write_film(tmp_path / "odd.mkv", mild(2, 45, 63), codec="ffv1", pix_fmt="yuv420p"), {}),
        "rotated": (write_film(tmp_path / "turned.mp4", mild(2), rotation=90), {}),
    }
    for what, (film, more) in others.items():
        assert not planned(film, small_artifact, tmp_path, **more).planar, what


def test_a_split_view_is_made_in_rgb(tmp_path: Path, small_artifact: Artifact) -> None:
    plain = write_film(tmp_path / "in.mkv", mild(2), codec="ffv1")
    job = planned(plain, small_artifact, tmp_path)
    assert job.planar
    results = []
    for chosen in (job, replace(job, planar=False)):
        run, parts = SegmentRun(replace(chosen, split=True)), list[Any]()
        run.run(job.video.segments, lambda part, _: parts.append(part))  # noqa: B023
        results.append([packet.data for part in parts for packet in part.packets])
    assert results[0] == results[1]


def test_a_network_of_luma_is_given_rgb(tmp_path: Path, small_artifact: Artifact) -> None:
    film = write_film(tmp_path / "in.mkv", mild(2), codec="ffv1")
    assert not planned(film, artifact(luma(), small_artifact, tmp_path, 2), tmp_path).planar


def test_only_changed_strips_are_computed(tmp_path: Path, small_artifact: Artifact) -> None:
    """A square moves in the upper part of a tall film: the rest is computed once, to the same bits."""
    frames = [np.full((320, 64, 3), 90, np.uint8) for _ in range(5)]
    for number, frame in enumerate(frames):
        frame[8 + number : 24 + number, 8:24] = 160
        frame[200:240, 10:50] = 40
    film = write_film(tmp_path / "in.mkv", frames, codec="ffv1")
    options = options_of(small_artifact)
    assert planned(film, small_artifact, tmp_path).planar
    report = done(film, tmp_path / "reused.mkv", options)
    assert 0.4 < report.reused < 0.8  # of five frames the first is new
    assert done(film, tmp_path / "fresh.mkv", replace(options, reuse="off")).reused == 0
    assert packets(tmp_path / "reused.mkv", "video") == packets(tmp_path / "fresh.mkv", "video")


def test_what_an_output_row_depends_on(tmp_path: Path) -> None:
    """A changed row of chroma changes no row that is taken from the frame before."""
    film = write_film(tmp_path / "in.mkv", mild(1, 320, 64), codec="ffv1")
    job = planned(film, nearest_artifact(tmp_path), tmp_path)  # a pixel depends on no other pixel
    assert job.planar
    with av.open(str(film)) as container:
        (frame,) = container.decode(video=0)
    upscaler, height = FrameUpscaler(job.subject), job.video.shape.height
    reach, edge = upscaler.reach, height // 2  # where a strip ends and the next begins
    assert reach is not None
    near = {edge + side * (reach + more) for side in (-1, 1) for more in range(-2, 9)}
    for row in sorted(near | {0, height - 1}):
        changed = av.VideoFrame(frame.width, frame.height, frame.format.name)
        for index in range(3):
            plane(changed, index)[:] = plane(frame, index)
        plane(changed, 1)[row // 2] ^= 255
        paths = [PlanarFrames(replace(job, reuse=reuse), upscaler) for reuse in (True, False)]
        results = [[path.convert(path.upscale(item)) for item in (frame, changed)][1] for path in paths]
        for index in range(3):
            np.testing.assert_array_equal(plane(results[0], index), plane(results[1], index))

"""Segments of videos that are decoded by themselves, sound that does not begin with its video, and damage."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media.films import decoded_luma, moving, read_film, write_film
from media.nearest import nearest_artifact

from toolkit.errors import InputError
from toolkit.media.options import OnError, UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos import video_file
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.video_file import read_video

OPEN = {"x265-params": "log-level=none:keyint=6:min-keyint=6:open-gop=1:bframes=3"}
REFRESHED = {"x264-params": "intra-refresh=1:keyint=6"}
HIDDEN = {"auto-alt-ref": "1", "lag-in-frames": "8", "deadline": "realtime"}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=VideoFormat(codec="ffv1"))


@pytest.mark.parametrize(
    ("name", "codec", "settings"),
    [
        ("clean_random_access.mkv", "libx265", OPEN),
        ("clean_random_access.mp4", "libx265", OPEN),
        ("clean_random_access.ts", "libx265", OPEN),
        ("recovery_points.mp4", "libx264", REFRESHED),
        ("recovery_points.ts", "libx264", REFRESHED),
        ("open.mkv", "mpeg2video", {"bf": "2", "g": "6"}),
        ("hidden.mkv", "libvpx-vp9", HIDDEN),
        ("hidden.mp4", "libsvtav1", {"preset": "12", "g": "6"}),
        ("no_times.avi", "mpeg4", {"bf": "2", "g": "6"}),
        ("no_times.avi", "libx264", {"g": "6"}),
    ],
)
def test_segments_decoded_alone_are_those_of_the_whole(
    name: str, codec: str, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what follows a key frame is shown before it, or needs what was before it."""
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)
    monkeypatch.setenv("SVT_LOG", "1")
    video = read_video(write_film(tmp_path / name, moving(30), codec=codec, options=settings))
    assert len(video.segments) > 3

    whole = decoded_luma(video, video.segments)
    assert [pts for pts, _ in whole] == list(video.times)
    assert len(whole) == 30
    assert [frame for segment in video.segments for frame in decoded_luma(video, (segment,))] == whole


def first_sound(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return next(item.pts * item.time_base for item in packets if item.pts is not None and not item.is_discard)


@pytest.mark.parametrize("before", [".mp4", ".mkv", ".ts", ".flv"])
@pytest.mark.parametrize("after", [".mp4", ".mkv", ".ts"])
def test_sound_that_begins_before_the_video(before: str, after: str, tmp_path: Path, options: UpscaleOptions) -> None:
    late = list(range(10, 20))
    source = write_film(tmp_path / f"in{before}", moving(10), times=late, sound=True)
    output = tmp_path / f"out{after}"
    (report,) = upscale([source], output, replace(options, video=VideoFormat())).files
    assert report.frames == 10
    lead = read_film(output)[0][0] - first_sound(output)
    # MP4 hides the packet of sound with which a decoder begins, 1024 samples.
    assert abs(lead - (read_film(source)[0][0] - first_sound(source))) <= Fraction(1024, 48000) * (after == ".mp4") + (
        Fraction(1, 1000)
    )
    assert lead > Fraction(38, 100)


@pytest.mark.parametrize(("on_error", "frames"), [("stop", 0), ("skip", 29), ("repeat", 30)])
def test_damage_moves_no_frame_where_times_are_counted(
    on_error: OnError, frames: int, tmp_path: Path, options: UpscaleOptions
) -> None:
    film = write_film(tmp_path / "film.avi", moving(30), codec="libx264", options={"g": "10"})
    content = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        place, size = [(packet.pos, packet.size) for packet in container.demux(video=0)][4]
    content[place + 20 : place + size - 8] = b"\xff" * (size - 28)
    source = tmp_path / "in.avi"
    source.write_bytes(content)
    asked = replace(options, on_error=on_error)
    if not frames:
        with pytest.raises(InputError, match=r"frame at 0\.12 s is corrupt"):
            upscale([source], tmp_path / "out.mkv", asked)
        return
    (report,) = upscale([source], tmp_path / "out.mkv", asked).files
    assert (report.frames, report.corrupt) == (frames, 1)
    times = [round(time * 25) for time, _ in read_film(tmp_path / "out.mkv")]
    assert times == [number for number in range(30) if number != 3 or frames == 30]


def test_a_file_that_ends_early_is_named(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mp4", moving(60), sound=True, muxer={"movflags": "faststart"})
    source = tmp_path / "in.mp4"
    source.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    (report,) = upscale([source], tmp_path / "out.mkv", replace(options, on_error="skip")).files
    assert 0 < report.frames < 40
    (note,) = [note for note in report.notes if "is cut off" in note]
    assert note.startswith("in.mp4 is cut off: it should last 2.40 s, and ends at 1.")
    (whole,) = upscale([film], tmp_path / "whole.mkv", options).files
    assert whole.frames == 60
    assert not whole.notes

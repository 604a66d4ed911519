"""Options that an encoder cannot take are found by opening it, before there is a frame."""

from __future__ import annotations

import os
import re

import av
import pytest

from toolkit.errors import InputError, Unavailable
from toolkit.media.videos import encoder_check
from toolkit.media.videos.encoder_check import check_encoder
from toolkit.media.videos.encoding import VideoFormat


def needs(codec: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")


@pytest.mark.parametrize(
    ("codec", "video", "words", "remedy"),
    [
        ("libx264", VideoFormat(crf=52), "does not support crf=52", "0 to 51"),
        ("libx264", VideoFormat(crf=-1), "does not support crf=-1", "0 to 51"),
        ("libx264", VideoFormat(preset="meduim"), "does not support preset=meduim", "Did you mean medium"),
        ("libx264", VideoFormat(crf=20, options=(("bf", "many"),)), "does not support bf=many", ""),
        ("libx264", VideoFormat(options=(("frobnicate", "1"),)), "has no option frobnicate", "ffmpeg -h"),
        ("libx265", VideoFormat(crf=52), "does not support crf=52", "0 to 51"),
        ("libx265", VideoFormat(preset="fastest"), "does not support preset=fastest", "Did you mean"),
        ("libsvtav1", VideoFormat(crf=71), "does not support crf=71", "0 to 63|0 to 70"),
        ("libvpx-vp9", VideoFormat(preset="medium"), "has no option preset", ""),
        ("ffv1", VideoFormat(crf=20), "has no option crf", ""),
        ("libx264", VideoFormat(codec="libx246"), "no encoder 'libx246'", "Did you mean .*libx264"),
        ("libx264", VideoFormat(codec="libx264", pix_fmt="yuv420"), "does not support yuv420", "Did you mean yuv420p"),
        ("aac", VideoFormat(codec="aac"), "does not encode video", ""),
    ],
)
def test_what_no_frame_could_make_right(codec: str, video: VideoFormat, words: str, remedy: str) -> None:
    needs(codec)
    wanted = VideoFormat(video.codec or codec, video.crf, video.preset, video.pix_fmt, video.options)
    with pytest.raises(InputError, match=words) as caught:
        check_encoder(wanted, ".mkv")
    assert re.search(remedy, caught.value.remedy), caught.value.remedy


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".webm"), ("ffv1", ".mov"), ("prores_ks", ".mp4")])
def test_a_container_that_does_not_take_the_codec(codec: str, suffix: str) -> None:
    needs(codec)
    with pytest.raises(InputError, match=f"{suffix} does not support {codec}"):
        check_encoder(VideoFormat(codec), suffix)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".nut"])
def test_containers_that_take_h264(suffix: str) -> None:
    needs("libx264")
    check_encoder(VideoFormat("libx264", crf=20), suffix)


@pytest.mark.parametrize(
    "video",
    [
        VideoFormat(),
        VideoFormat("libx264", 0, "placebo"),
        VideoFormat("libx264", 51, options=(("bf", "2"), ("profile", "high422"))),
        VideoFormat("libx265", 51, "ultrafast", "yuv420p10le"),
        VideoFormat("libx265", options=(("profile", "main10"),)),
        VideoFormat("libsvtav1", 63, "13"),
        VideoFormat("prores_ks"),
        VideoFormat("mjpeg"),
        VideoFormat(options=(("x265-params", "aq-mode=1"),)),
    ],
    ids=str,
)
def test_what_some_frames_allow_is_allowed(video: VideoFormat) -> None:
    needs(video.codec or "libx265")
    check_encoder(video, ".mkv")


def test_an_encoder_that_does_not_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of a GPU without its driver."""
    monkeypatch.setattr(encoder_check, "_opened", lambda *_arguments, **_settings: None)
    with pytest.raises(Unavailable, match="libx264 does not work here"):
        check_encoder(VideoFormat("libx264", 20), ".mkv")


def test_encoders_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """x264 writes about a preset to the file descriptor, once for each trial; the error says it once."""
    needs("libx264")
    with pytest.raises(InputError, match="does not support preset=fastr"):
        check_encoder(VideoFormat("libx264", preset="fastr"), ".mkv")
    assert capfd.readouterr() == ("", "")
    os.write(2, b"later")
    assert capfd.readouterr().err == "later"

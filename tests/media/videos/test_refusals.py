"""Videos that are damaged, or cannot be read or encoded."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media.films import done, moving, read_film, write_film

from toolkit.errors import InputError, ToolkitError
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat


def damaged(film: Path) -> Path:
    """One packet in the middle is noise."""
    path = film.with_name("damaged.mkv")
    with av.open(str(film)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is None:
                continue
            if number == 3:
                replaced = av.Packet(b"\x00\x00\x00\x10" + b"\xff" * 60)
                replaced.pts, replaced.dts, replaced.time_base = packet.pts, packet.dts, packet.time_base
                packet = replaced
            packet.stream = stream
            container.mux(packet)
    return path


def test_a_corrupt_frame_by_policy(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mkv", moving(12), codec="ffv1", options={"g": "1", "slicecrc": "1"})
    source = damaged(film)
    with pytest.raises(InputError, match=r"frame at 0\.12 s is corrupt"):
        upscale([source], tmp_path / "out.mkv", options)
    assert not (tmp_path / "out.mkv").exists()
    skipped = done(source, tmp_path / "skip.mkv", replace(options, on_error="skip"))
    repeated = done(source, tmp_path / "repeat.mkv", replace(options, on_error="repeat"))
    assert (skipped.frames, repeated.frames, skipped.corrupt, repeated.corrupt) == (11, 12, 1, 1)
    assert "0.12 s" in skipped.notes[-1]
    frames = read_film(tmp_path / "repeat.mkv")
    assert [time for time, _ in frames] == [Fraction(40 * number, 1000) for number in range(12)]
    np.testing.assert_array_equal(frames[3][1], frames[2][1])


def test_a_file_that_is_cut_off_ends_where_it_ends(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mkv", moving(30), sound=True)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    report = done(cut, tmp_path / "out.mkv", replace(options, on_error="skip"))
    assert 10 < report.frames < 30


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "cannot read video"), (b"not a film" * 100, "cannot read video"), (None, "there is no file")],
)
def test_what_is_no_video(content: bytes | None, words: str, tmp_path: Path, options: UpscaleOptions) -> None:
    source = tmp_path / "in.mp4"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(InputError, match=words):
        upscale([source], tmp_path / "out.mp4", options)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("height", "width", "words"),
    [(16, 20000, "20000x16 is not a valid video size"), (10000, 16, "libx264 does not support 32x20000")],
)
def test_absurd_dimensions(height: int, width: int, words: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """Of what is read, and of what would be written."""
    source = write_film(tmp_path / "in.mkv", [np.zeros((height, width, 3), np.uint8)] * 2, codec="ffv1")
    with pytest.raises(InputError, match=words):
        upscale([source], tmp_path / "out.mp4", replace(options, video=VideoFormat()))
    assert not (tmp_path / "out.mp4").exists()


def test_sound_alone_is_no_video(tmp_path: Path, options: UpscaleOptions, film: Path) -> None:
    source = tmp_path / "sound.mp4"
    with av.open(str(film)) as whole, av.open(str(source), "w") as container:
        stream = container.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    with pytest.raises(InputError, match="no video stream"):
        upscale([source], tmp_path / "out.mp4", options)


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (VideoFormat(codec="frobnicate"), "no encoder 'frobnicate'"),
        (VideoFormat(pix_fmt="pal8"), "does not support pal8"),
        (VideoFormat(preset="tomorrow"), "does not support"),
        (VideoFormat(codec="prores_ks", pix_fmt="yuv422p10le"), "cannot write|does not support"),
    ],
)
def test_what_cannot_be_encoded_is_said_before_any_work(
    video: VideoFormat, words: str, tmp_path: Path, options: UpscaleOptions, film: Path
) -> None:
    good = tmp_path / "out.webm" if video.codec == "prores_ks" else tmp_path / "out.mp4"
    good.write_bytes(b"a good file")
    with pytest.raises(ToolkitError, match=words):
        upscale([film], good, replace(options, video=video, overwrite=True))
    assert good.read_bytes() == b"a good file"
    assert not list(tmp_path.glob(".*"))

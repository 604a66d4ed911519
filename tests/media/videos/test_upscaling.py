"""Videos from file to file: every frame, every time, every stream."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.films import done, moving, packets, plane, read_film, write_film, write_mpeg2
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscale import upscale
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.colour import ToRgb
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.video_file import read_video
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

LOSSLESS = VideoFormat(codec="ffv1")


def test_frames_are_those_of_pictures(film: Path, tmp_path: Path, small_artifact: Any) -> None:
    """Per-frame image upscaling, and the video's own conversion to YCbCr, give exactly what the file holds."""
    from toolkit.media.videos.colour import FromRgb

    runtime = "ort-cpu"
    options = UpscaleOptions(models=(small_artifact.path,), runtime=runtime, threads=2, video=LOSSLESS, memory=1 << 20)
    report = done(film, tmp_path / "out.mkv", options)
    assert (report.frames, report.notes) == (12, ())
    colour = read_video(film).colour
    alone = FrameUpscaler(Subject(small_artifact, runtime, threads=1))
    with av.open(str(film)) as source, av.open(str(tmp_path / "out.mkv")) as result:
        convert = back = None
        for before, after in zip(source.decode(video=0), result.decode(video=0), strict=True):
            convert = convert or ToRgb(before, colour, deep=True)
            made = alone(convert(before), 255)
            back = back or FromRgb(after.width, after.height, 255, colour, after.format.name)
            wanted = back(made)
            for index in range(3):
                np.testing.assert_array_equal(plane(after, index), plane(wanted, index))


@pytest.mark.parametrize("runtime", ["ort-cpu", "native"])
def test_reuse_and_memory_change_nothing(runtime: str, tmp_path: Path, small_artifact: Any) -> None:
    options = UpscaleOptions(models=(small_artifact.path,), runtime=runtime, threads=1, video=LOSSLESS)
    big = write_film(tmp_path / "big.mkv", moving(6, 192, 64), codec="ffv1")
    report = done(big, tmp_path / "reused.mkv", options)
    done(big, tmp_path / "fresh.mkv", replace(options, reuse="off"))
    assert packets(tmp_path / "reused.mkv", "video") == packets(tmp_path / "fresh.mkv", "video")
    # Of six frames the first is new; in the others one or two of the strips have changed.
    assert report.reused > 0.4


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_times_sound_and_metadata(suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """Frames of uneven length, through containers with different clocks."""
    times = [0, 1, 4, 5, 9, 10, 11, 20]
    source = write_film(tmp_path / f"in{suffix}", moving(8), times=times, sound=True)
    result = tmp_path / f"out{suffix}"
    done(source, result, replace(options, video=VideoFormat()))
    assert [time for time, _ in read_film(result)] == [time for time, _ in read_film(source)]
    assert packets(result, "audio") == packets(source, "audio")
    with av.open(str(result)) as container:
        assert container.metadata["title"] == "A film"
        assert container.streams.video[0].metadata["language"] == "fin"


def test_chapters_and_subtitles(tmp_path: Path, options: UpscaleOptions) -> None:
    plain = write_film(tmp_path / "plain.mkv", moving(10))
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n\n")
    source = tmp_path / "in.mkv"
    with (
        av.open(str(plain)) as pictures,
        av.open(str(words)) as text,
        av.open(str(source), "w") as container,
    ):
        chapter = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}
        container.set_chapters([chapter])
        video = container.add_stream_from_template(pictures.streams.video[0])
        said = container.add_stream_from_template(text.streams.subtitles[0])
        for stream, packet in [
            *((video, packet) for packet in pictures.demux(video=0) if packet.dts is not None),
            *((said, packet) for packet in text.demux(subtitles=0) if packet.dts is not None),
        ]:
            packet.stream = stream
            container.mux(packet)
    done(source, tmp_path / "out.mkv", options)
    assert packets(tmp_path / "out.mkv", "subtitle") == packets(source, "subtitle")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One"]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_is_applied(turn: int, tmp_path: Path, options: UpscaleOptions) -> None:
    source = write_film(tmp_path / "in.mp4", moving(1), rotation=turn)
    done(source, tmp_path / "out.mkv", options)
    ((_, luma),) = read_film(tmp_path / "out.mkv")
    with av.open(str(source)) as container:
        frame = next(container.decode(video=0))
        # FFmpeg gives the turn counter-clockwise that makes a frame upright.
        upright = np.rot90(plane(frame, 0), frame.rotation // 90)
    doubled = upright.repeat(2, 0).repeat(2, 1)
    assert luma.shape == doubled.shape
    # Colours beyond what RGB holds are the only ones that change.
    assert np.abs(luma.astype(int) - doubled).mean() < 0.5
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_to_a_size_and_odd_sides(tmp_path: Path, options: UpscaleOptions) -> None:
    source = write_film(tmp_path / "in.mkv", moving(2, 45, 63), codec="ffv1", pix_fmt="yuv444p")
    done(source, tmp_path / "out.mkv", replace(options, target=Target(None, Shape(80, 100))))
    assert read_film(tmp_path / "out.mkv")[0][1].shape == (71, 100)
    done(source, tmp_path / "even.mp4", replace(options, video=VideoFormat(), target=Target(None, Shape(80, 100))))
    assert read_film(tmp_path / "even.mp4")[0][1].shape == (71, 100), "4:4:4 needs no even sides"


def test_interlaced_is_refused_or_woven(tmp_path: Path, options: UpscaleOptions) -> None:
    source = write_mpeg2(tmp_path / "in.mkv", 6, interlaced=True)
    with pytest.raises(InputError, match="interlaced") as caught:
        upscale([source], tmp_path / "out.mkv", options)
    assert "--deinterlace" in caught.value.remedy
    report = done(source, tmp_path / "out.mkv", replace(options, deinterlace=True))
    assert report.frames == 6
    assert [time for time, _ in read_film(tmp_path / "out.mkv")] == [time for time, _ in read_film(source)]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))


def test_ten_bits_stay_ten_bits(tmp_path: Path, options: UpscaleOptions) -> None:
    source = tmp_path / "in.mkv"
    ramp = np.tile(np.arange(64, 64 + 64 * 13, 13, dtype=np.uint16), (48, 1))
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        plane(frame, 0)[:] = ramp
        for index in (1, 2):
            plane(frame, index)[:] = 512
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    done(source, tmp_path / "out.mp4", replace(options, video=VideoFormat(crf=0)))
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "yuv420p10le"
    made: NDArray[Any] = plane(frame, 0)[::2, ::2].astype(int)
    assert np.abs(made - ramp).max() <= 2
    assert len(np.unique(made)) == 64

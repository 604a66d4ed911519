"""Videos from file to file: every frame, every time, every stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.films import moving, plane, read_film, write_film
from media.nearest import nearest_artifact
from numpy.typing import NDArray

from toolkit.errors import InputError, OutputExists, ToolkitError, UnexpectedError
from toolkit.media.model import Model
from toolkit.media.options import UpscaleOptions
from toolkit.media.report import FileReport
from toolkit.media.target import Target
from toolkit.media.upscale import upscale
from toolkit.media.upscaler import Upscaler
from toolkit.media.videos import video_file
from toolkit.media.videos.colour import ToRgb
from toolkit.media.videos.decoding import Damage, Decoding, decoded
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.pipeline import pipelined
from toolkit.media.videos.video_file import read_video
from toolkit.runtimes.registry import default_runtime
from toolkit.system.progress import Progress
from toolkit.workloads import Shape

LOSSLESS = VideoFormat(codec="ffv1")


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nearest_artifact(tmp_path_factory.mktemp("nearest")).path


@pytest.fixture
def options(nearest: Path) -> UpscaleOptions:
    return UpscaleOptions(models=(nearest,), threads=1, video=LOSSLESS)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4", moving(12), sound=True)


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The films here have a key frame every five frames."""
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)
    yield


def done(source: Path, output: Path, options: UpscaleOptions) -> FileReport:
    (report,) = upscale([source], output, options).files
    assert report.outcome == "done"
    assert not list(output.parent.glob(".*")), "nothing is left behind"
    return report


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]


def test_frames_are_those_of_pictures(film: Path, tmp_path: Path, small_artifact: Any) -> None:
    """Per-frame image upscaling, and the video's own conversion to YCbCr, give exactly what the file holds."""
    from toolkit.media.videos.colour import FromRgb

    options = UpscaleOptions(models=(small_artifact.path,), threads=2, video=LOSSLESS, memory=1 << 20)
    report = done(film, tmp_path / "out.mkv", options)
    assert (report.frames, report.notes) == (12, ())
    colour = read_video(film).colour
    alone = Upscaler(Model(small_artifact, default_runtime(small_artifact), threads=1))
    with av.open(str(film)) as source, av.open(str(tmp_path / "out.mkv")) as result:
        convert = back = None
        for before, after in zip(source.decode(video=0), result.decode(video=0), strict=True):
            convert = convert or ToRgb(before, colour, deep=True)
            made = alone(convert(before), 255)
            back = back or FromRgb(after.width, after.height, 255, colour, after.format.name)
            wanted = back(made)
            for index in range(3):
                np.testing.assert_array_equal(plane(after, index), plane(wanted, index))


def test_reuse_and_memory_change_nothing(film: Path, tmp_path: Path, small_artifact: Any) -> None:
    options = UpscaleOptions(models=(small_artifact.path,), threads=1, video=LOSSLESS)
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


def interlaced(path: Path) -> Path:
    """Mpeg-2, whose decoder says so."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg2video", 25, options={"flags": "+ildct+ilme", "q:v": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        graph = av.filter.Graph()
        source = graph.add_buffer(width=64, height=48, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25))
        graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
        for number, pixels in enumerate(moving(6)):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            graph.vpush(frame)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode(None))
    return path


def test_interlaced_is_refused_or_woven(tmp_path: Path, options: UpscaleOptions) -> None:
    source = interlaced(tmp_path / "in.mkv")
    with pytest.raises(InputError, match="interlaced") as caught:
        upscale([source], tmp_path / "out.mkv", options)
    assert "--deinterlace" in caught.value.remedy
    report = done(source, tmp_path / "out.mkv", replace(options, deinterlace=True))
    assert report.frames == 6
    assert [time for time, _ in read_film(tmp_path / "out.mkv")] == [time for time, _ in read_film(source)]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))


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
    [(16, 20000, "20000x16 is no size of a video"), (10000, 16, "libx264 does not take 32x20000")],
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
        (VideoFormat(pix_fmt="pal8"), "takes no pal8"),
        (VideoFormat(preset="tomorrow"), "does not take"),
        (VideoFormat(codec="prores_ks", pix_fmt="yuv422p10le"), "cannot write|does not take"),
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


def test_segments_resume_to_the_same_file(tmp_path: Path, options: UpscaleOptions, short_segments: None) -> None:
    """A run that dies between segments, and one that goes on from what is left."""
    from toolkit.media.videos import run

    source = write_film(tmp_path / "in.mp4", moving(20), sound=True)
    encoded = replace(options, video=VideoFormat())
    done(source, tmp_path / "whole.mp4", encoded)
    count = len(read_video(source).segments)
    assert count == 4

    class Killed(Exception):
        pass

    taken = run.VideoRun.take

    def dies(self: run.VideoRun, part: Any) -> None:
        taken(self, part)
        if part.number == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.VideoRun, "take", dies)
        with pytest.raises(UnexpectedError, match="Killed") as caught:
            upscale([source], tmp_path / "out.mp4", encoded)
    assert isinstance(caught.value.__cause__, Killed)
    assert "2 of 4 parts are done, and --resume goes on" in caught.value.remedy
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(InputError, match="2 finished parts of a run that was interrupted"):
        upscale([source], tmp_path / "out.mp4", encoded)
    with pytest.raises(InputError, match="another job"):
        upscale([source], tmp_path / "out.mp4", replace(encoded, resume=True, video=VideoFormat(crf=3)))
    report = done(source, tmp_path / "out.mp4", replace(encoded, resume=True))
    assert report.frames == 20
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_stopping_leaves_a_playable_file(
    tmp_path: Path, options: UpscaleOptions, short_segments: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C does it, in the middle of the third segment; and going on makes the whole file."""
    import signal

    source = write_film(tmp_path / "in.mp4", moving(20), sound=True)
    done(source, tmp_path / "whole.mp4", replace(options, video=VideoFormat()))
    encoded = replace(options, video=VideoFormat())
    (tmp_path / "out.mp4").write_bytes(b"a good file")
    steps = 0

    def progress(_: Progress) -> None:
        nonlocal steps
        steps += 1
        if steps == 7:
            signal.raise_signal(signal.SIGINT)

    report = upscale([source], tmp_path / "out.mp4", replace(encoded, overwrite=True), progress=progress)
    assert report.stopped
    assert report.files[0].output == str(tmp_path / "out.stopped.mp4")
    frames = read_film(tmp_path / "out.stopped.mp4")
    whole = read_film(tmp_path / "whole.mp4")
    assert 7 <= len(frames) < 20
    assert [time for time, _ in frames] == [time for time, _ in whole[: len(frames)]]
    assert packets(tmp_path / "out.stopped.mp4", "audio")[-1][0] <= frames[-1][0] + Fraction(1, 25)
    assert (tmp_path / "out.mp4").read_bytes() == b"a good file"
    resumed = replace(encoded, resume=True)
    with pytest.raises(OutputExists, match=r"out\.mp4 exists"):
        upscale([source], tmp_path / "out.mp4", resumed)
    (report_2,) = upscale([source], tmp_path / "out.mp4", replace(resumed, overwrite=True)).files
    assert report_2.outcome == "done"
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "codec", "settings"),
    [
        ("closed.mp4", "libx264", {}),
        ("open.mp4", "libx264", {"x264-params": "open-gop=1:keyint=6:bframes=3"}),
        ("open.ts", "libx264", {"x264-params": "open-gop=1:keyint=6:bframes=3"}),
        ("hidden.webm", "libvpx", {}),
    ],
)
def test_segments_decoded_alone_are_those_of_the_whole(
    name: str, codec: str, settings: dict[str, str], tmp_path: Path, short_segments: None
) -> None:
    """Frames before an open key frame belong to the segment before it; not all containers have an index."""
    video = read_video(write_film(tmp_path / name, moving(30), codec=codec, options=settings))
    assert len(video.segments) > 3

    def frames(segments: tuple[video_file.Segment, ...]) -> list[tuple[int, bytes]]:
        return [
            (timed.pts, plane(timed.frame, 0).tobytes())
            for _, made in decoded(video, segments, Decoding(), Damage())
            for timed in made
        ]

    whole = frames(video.segments)
    assert [pts for pts, _ in whole] == list(video.times)
    assert [frame for segment in video.segments for frame in frames((segment,))] == whole


def test_jobs_give_the_same_file(tmp_path: Path, options: UpscaleOptions) -> None:
    long = write_film(tmp_path / "long.mp4", moving(4), times=[0, 260, 520, 780], options={"g": "1"})
    encoded = replace(options, video=VideoFormat())
    assert len(read_video(long).segments) == 4
    done(long, tmp_path / "one.mp4", encoded)
    done(long, tmp_path / "two.mp4", replace(encoded, jobs=2))
    assert (tmp_path / "two.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()


def test_a_full_pipeline_hands_errors_on_and_ends_its_threads() -> None:
    import threading

    before = threading.active_count()
    for stage in range(3):

        def fails(item: int, stage: int = stage, here: int = 0) -> int:
            if here == stage and item == 50:
                raise ValueError(f"stage {stage}")
            return item

        source = (fails(item, here=0) for item in range(100))
        with pytest.raises(ValueError, match=f"stage {stage}"):
            pipelined(source, lambda item: fails(item, here=1), lambda item: fails(item, here=2))
    assert threading.active_count() == before
    got: list[int] = []
    pipelined(iter(range(100)), lambda item: item * 2, got.append)
    assert got == [item * 2 for item in range(100)]

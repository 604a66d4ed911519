"""YUV4MPEG2 streams: the frames of `upscale` on a file of the same frames, written by hand and read back by FFmpeg."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from media.films import done, moving
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.media.options import UpscaleOptions
from toolkit.media.piping import upscale_stream
from toolkit.media.report import UpscaleReport
from toolkit.media.videos.encoding import VideoFormat

LOSSLESS = VideoFormat(codec="ffv1")
TAGS = {
    "yuv420p": "420mpeg2",
    "yuv422p": "422",
    "yuv444p": "444",
    "gray": "mono",
    "yuv420p10le": "420p10",
    "yuv422p10le": "422p10",
    "yuv444p10le": "444p10",
}


@pytest.fixture
def options(small_artifact: Artifact) -> UpscaleOptions:
    return UpscaleOptions(models=(small_artifact.path,), runtime="ort-cpu", threads=1)


def stream(path: Path, frames: Sequence[NDArray[np.uint8]], pix_fmt: str, more: str = "Ip A1:1") -> Path:
    """Write frames (H, W, 3) as a stream."""
    height, width = frames[0].shape[:2]
    content = f"YUV4MPEG2 W{width} H{height} F25:1 {more} C{TAGS[pix_fmt]}\n".encode()
    for pixels in frames:
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt)
        content += b"FRAME\n" + packed(frame)
    path.write_bytes(content)
    return path


def packed(frame: av.VideoFrame) -> bytes:
    """The planes of a frame without the gaps at the ends of rows."""
    deep = 2 if frame.format.components[0].bits > 8 else 1
    rows = [np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    return b"".join(
        part[: plane.height, : plane.width * deep].tobytes() for plane, part in zip(frame.planes, rows, strict=True)
    )


def piped(source: Path, output: Path, options: UpscaleOptions) -> UpscaleReport:
    with source.open("rb") as reader, output.open("wb") as writer:
        return upscale_stream(reader.fileno(), writer.fileno(), options)


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def header(path: Path) -> str:
    return path.read_bytes().split(b"\n", 1)[0].decode()


@pytest.mark.parametrize("size", [(48, 64), (37, 51)], ids=["even", "odd"])
@pytest.mark.parametrize("pix_fmt", TAGS)
def test_frames_are_those_of_a_file(
    pix_fmt: str, size: tuple[int, int], tmp_path: Path, options: UpscaleOptions
) -> None:
    """Whose decoded frames are compared byte by byte."""
    source = stream(tmp_path / "in.y4m", moving(3, *size), pix_fmt)
    report = piped(source, tmp_path / "out.y4m", options)
    assert (report.files[0].frames, report.complete) == (3, True)
    done(source, tmp_path / "out.mkv", replace(options, video=LOSSLESS))
    found, wanted = frames_of(tmp_path / "out.y4m"), frames_of(tmp_path / "out.mkv")
    assert [frame.format.name for frame in found] == [pix_fmt] * 3
    for made, other in zip(found, wanted, strict=True):
        assert (made.width, made.height) == (2 * size[1], 2 * size[0])
        # A file keeps grey as luma, beside chroma that is constant.
        luma = size[0] * size[1] * 4
        assert (
            packed(made)[: luma if pix_fmt == "gray" else None] == packed(other)[: luma if pix_fmt == "gray" else None]
        )


@pytest.mark.parametrize("name", ["FULL", "LIMITED"])
def test_range_is_read_and_written(name: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """White of the range that is read becomes white of the range that is written, which is the same."""
    white = 255 if name == "FULL" else 235
    content = f"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C444 XCOLORRANGE={name}\nFRAME\n".encode()
    (tmp_path / "in.y4m").write_bytes(content + bytes([white]) * 256 + bytes([128]) * 512)
    piped(tmp_path / "in.y4m", tmp_path / "out.y4m", options)
    done(tmp_path / "in.y4m", tmp_path / "out.mkv", replace(options, video=LOSSLESS))
    (made,), (other,) = frames_of(tmp_path / "out.y4m"), frames_of(tmp_path / "out.mkv")
    assert packed(made) == packed(other)
    assert f"XCOLORRANGE={name}" in header(tmp_path / "out.y4m")


def test_header(tmp_path: Path, options: UpscaleOptions) -> None:
    source = stream(tmp_path / "in.y4m", moving(1), "yuv420p", "Ip A16:15")
    piped(source, tmp_path / "out.y4m", options)
    assert header(tmp_path / "out.y4m") == "YUV4MPEG2 W128 H96 F25:1 Ip A16:15 C420mpeg2 XCOLORRANGE=LIMITED"


def test_interlaced(tmp_path: Path, options: UpscaleOptions) -> None:
    """Is refused, or made progressive as in a file."""
    source = stream(tmp_path / "in.y4m", moving(4), "yuv420p", "It A1:1")
    with pytest.raises(InputError, match="is interlaced"):
        piped(source, tmp_path / "out.y4m", options)
    assert not (tmp_path / "out.y4m").read_bytes()
    progressive = replace(options, deinterlace=True)
    piped(source, tmp_path / "out.y4m", progressive)
    done(source, tmp_path / "out.mkv", replace(progressive, video=LOSSLESS))
    found, wanted = frames_of(tmp_path / "out.y4m"), frames_of(tmp_path / "out.mkv")
    assert [packed(frame) for frame in found] == [packed(frame) for frame in wanted]
    assert " Ip " in header(tmp_path / "out.y4m")


def test_input_that_ends_within_a_frame(tmp_path: Path, options: UpscaleOptions) -> None:
    source = stream(tmp_path / "in.y4m", moving(3), "yuv420p")
    piped(source, tmp_path / "whole.y4m", options)
    (tmp_path / "short.y4m").write_bytes(source.read_bytes()[:-1])
    with pytest.raises(InputError, match="ends within frame 3"):
        piped(tmp_path / "short.y4m", tmp_path / "out.y4m", options)
    whole = (tmp_path / "whole.y4m").read_bytes()
    frame = 6 + 96 * 128 * 3 // 2
    assert (tmp_path / "out.y4m").read_bytes() == whole[:-frame]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"RIFF....AVI ", "not a YUV4MPEG2 stream"),
        (b"YUV4MPEG2 W16 H16 F25:1 Im C420jpeg\n", "not a YUV4MPEG2 stream"),
        (b"YUV4MPEG2 W16 H16 F25:1 Ip C420jpeg\n", "holds no frames"),
        (b"YUV4MPEG2 W16 H16 F25:1 Ip C420jpeg\nFRAME\nabc", "ends within frame 1"),
        (b"YUV4MPEG2 W16 H16 F25:1 Ip C420jpeg\n" + b"FRAME\n" + bytes(384) + b"garbage\n" * 9, "damaged after 1"),
    ],
)
def test_inputs_that_are_refused(content: bytes, words: str, tmp_path: Path, options: UpscaleOptions) -> None:
    (tmp_path / "in.y4m").write_bytes(content)
    with pytest.raises(InputError, match=words):
        piped(tmp_path / "in.y4m", tmp_path / "out.y4m", options)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"jobs": 2}, "--jobs"), ({"resume": True}, "--resume"), ({"video": VideoFormat(codec="libx264")}, "--codec")],
)
def test_options_without_meaning(given: dict[str, object], words: str, options: UpscaleOptions) -> None:
    with pytest.raises(InputError, match=words):
        upscale_stream(0, 1, replace(options, **given))  # type: ignore[arg-type]


def test_pixel_format_and_duration(tmp_path: Path, options: UpscaleOptions) -> None:
    source = stream(tmp_path / "in.y4m", moving(5), "yuv420p")
    deep = replace(options, video=VideoFormat(pix_fmt="yuv444p10le"), duration=0.12)
    piped(source, tmp_path / "out.y4m", deep)
    assert [frame.format.name for frame in frames_of(tmp_path / "out.y4m")] == ["yuv444p10le"] * 3
    with pytest.raises(InputError, match="no pixel format nv12"):
        piped(source, tmp_path / "no.y4m", replace(options, video=VideoFormat(pix_fmt="nv12")))


def test_a_reader_that_exits(tmp_path: Path, options: UpscaleOptions) -> None:
    """Ends the run, though the writer of the input goes on."""
    source = stream(tmp_path / "in.y4m", moving(1), "yuv420p").read_bytes()
    incoming, feed = os.pipe()
    gone, sink = os.pipe()
    os.close(gone)
    os.write(feed, source)
    try:
        with pytest.raises(BrokenPipeError):
            upscale_stream(incoming, sink, options)
    finally:
        for descriptor in (incoming, feed, sink):
            os.close(descriptor)


def test_chroma_past_the_network(tmp_path: Path, options: UpscaleOptions) -> None:
    """The same planes as in a file."""
    source = stream(tmp_path / "in.y4m", moving(2), "yuv420p")
    past = replace(options, chroma="lanczos")
    (file,) = piped(source, tmp_path / "out.y4m", past).files
    assert file.chroma == "lanczos"
    done(source, tmp_path / "out.mkv", replace(past, video=LOSSLESS))
    found, wanted = frames_of(tmp_path / "out.y4m"), frames_of(tmp_path / "out.mkv")
    assert [packed(frame) for frame in found] == [packed(frame) for frame in wanted]


def test_the_matrix_of_the_output_is_noted_where_programs_would_assume_another(
    tmp_path: Path, options: UpscaleOptions
) -> None:
    for height, notes in ((48, 0), (360, 1)):
        source = stream(tmp_path / "in.y4m", moving(1, height, 720), "yuv420p")
        (file,) = piped(source, tmp_path / "out.y4m", options).files
        assert sum("-colorspace smpte170m" in note for note in file.notes) == notes

"""Small videos, made of known frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from photographs import picture

from toolkit.media.options import UpscaleOptions
from toolkit.media.report import FileReport
from toolkit.media.upscale import upscale
from toolkit.media.videos.decoding import Damage, Decoding, decoded
from toolkit.media.videos.video_file import Segment, VideoFile

RATE = 25
BT709 = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}


def moving(count: int, height: int = 48, width: int = 64) -> list[NDArray[np.uint8]]:
    """A picture that stands still, with a square in its upper quarter that moves."""
    still = picture(height, width)
    frames = []
    for number in range(count):
        frame = still.copy()
        frame[2:8, (2 * number) % (width - 8) : (2 * number) % (width - 8) + 6] = (250, 30, 40)
        frames.append(frame)
    return frames


def write_film(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    *,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    sound: bool | str = False,
    rotation: int = 0,
    tags: dict[str, int] | None = None,
    muxer: dict[str, str] | None = None,
    muxer_name: str | None = None,
) -> Path:
    """Encode RGB frames (H, W, 3); times in 1/25 s; sound: whether there is any, or its codec;
    the muxer is that of the path, unless it is named, and gets options."""
    with av.open(str(path), "w", format=muxer_name, container_options=muxer) as container:
        video: Any = container.add_stream(codec, RATE, options={"g": "5", "crf": "5", **(options or {})})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = Fraction(1, RATE)
        for name, value in (BT709 if tags is None else tags).items():
            setattr(video.codec_context, name, value)
        if rotation:
            video.set_display_rotation(rotation)
        codec = "aac" if sound is True else sound or ""
        audio: Any = container.add_stream(codec, 48000, layout="mono") if sound else None
        container.metadata["title"] = "A film"
        video.metadata["language"] = "fin"
        if sound:
            for number in range(len(frames) * 48000 // RATE // 1024):
                wave = np.sin(np.arange(1024) / 20).astype(np.float32)[None] / 3
                frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
                frame.sample_rate, frame.pts = 48000, number * 1024
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
        for number, pixels in enumerate(frames):
            made = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt, dst_colorspace="ITU709")
            made.pts, made.time_base = number if times is None else times[number], Fraction(1, RATE)
            container.mux(video.encode(made))
        container.mux(video.encode(None))
    return path


def read_film(path: Path) -> list[tuple[Fraction, NDArray[np.uint8]]]:
    """Times in seconds, and luma planes."""
    with av.open(str(path)) as container:
        return [
            (frame.pts * frame.time_base, plane(frame, 0).copy())
            for frame in container.decode(container.streams.video[0])
        ]


def plane(frame: av.VideoFrame, index: int) -> NDArray[Any]:
    """Samples of a plane, on the frame's own memory."""
    chosen = frame.planes[index]
    kind = np.uint8 if max(component.bits for component in frame.format.components) == 8 else np.uint16
    return np.frombuffer(memoryview(chosen), kind).reshape(chosen.height, -1)[:, : chosen.width]


def decoded_luma(video: VideoFile, segments: tuple[Segment, ...]) -> list[tuple[int, bytes]]:
    """pts and luma of all frames of segments, as `upscale` decodes them."""
    return [
        (item.pts, plane(item.frame, 0).tobytes())
        for _, made in decoded(video, segments, Decoding(), Damage())
        for item in made
    ]


def done(source: Path, output: Path, options: UpscaleOptions) -> FileReport:
    (report,) = upscale([source], output, options).files
    assert report.outcome == "done"
    assert not list(output.parent.glob(".*")), "nothing is left behind"
    return report


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(stream) if packet.size]


def write_mpeg2(path: Path, count: int, *, interlaced: bool, **options: str) -> Path:
    """MPEG-2, whose decoder reports whether frames are interlaced.

    Args:
        path: its suffix chooses the container.
        count: frames.
        interlaced: top field first, else progressive.
        options: of the encoder.
    """
    with av.open(str(path), "w") as container:
        flags = "+ildct+ilme" if interlaced else "0"
        stream: Any = container.add_stream("mpeg2video", RATE, options={"flags": flags, "q:v": "2", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        graph = av.filter.Graph()
        source = graph.add_buffer(width=64, height=48, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, RATE))
        field = graph.add("setfield", "tff" if interlaced else "prog")
        graph.link_nodes(source, field, graph.add("buffersink")).configure()
        for number, pixels in enumerate(moving(count)):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            graph.vpush(frame)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode(None))
    return path

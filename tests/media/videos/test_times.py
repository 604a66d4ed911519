"""Frames out are frames in, at their times, whatever the container says about them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.films import decoded_luma, moving, plane, read_film, write_film
from media.nearest import nearest_artifact

from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos import video_file
from toolkit.media.videos.encoding import EncodedPacket, VideoFormat
from toolkit.media.videos.packets import timed
from toolkit.media.videos.times import FileTimes
from toolkit.media.videos.video_file import read_video

FRAMES = 12
UNEVEN = [0, 1, 4, 5, 9, 10, 11, 15, 16, 17, 18, 22]
MILLISECOND = Fraction(1, 1000)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=VideoFormat(codec="ffv1"))


def done(source: Path, output: Path, options: UpscaleOptions) -> int:
    (report,) = upscale([source], output, options).files
    assert report.outcome == "done"
    return report.frames


def sound(path: Path) -> list[tuple[Fraction, bytes]]:
    """Packets of the sound that is heard, and their times in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.size and not packet.is_discard and packet.pts is not None
        ]


def remuxed(source: Path, path: Path, change: Callable[[Any, int], Any], **settings: Any) -> Path:
    """A film copied into another file; `change` gets each packet and its number in its stream, and gives another."""
    with av.open(str(source)) as old, av.open(str(path), "w", **settings) as new:
        copies = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        numbers = dict.fromkeys(copies, 0)
        for packet in old.demux():
            if packet.pts is None:
                continue
            index = packet.stream_index
            changed = change(packet, numbers[index])
            numbers[index] += 1
            changed.stream = copies[index]
            new.mux(changed)
    return path


def are_those(made: list[Any], frames: list[Any]) -> bool:
    """Whether frames are those of `moving`, enlarged and in order: each is most like the one of its number."""
    wanted = [
        plane(av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709"), 0)
        for frame in frames
    ]
    unlike = np.array([[np.abs(luma[::2, ::2].astype(int) - other).mean() for other in wanted] for _, luma in made])
    return unlike.argmin(axis=1).tolist() == list(range(len(frames)))


CONTAINERS = [
    ("plain.avi", "mpeg4", "mp2", {"bf": "0"}),
    ("reordered.avi", "mpeg4", "mp2", {"bf": "2"}),
    ("reordered.mkv.avi", "libx264", "aac", {}),
    ("plain.mp4", "libx264", "aac", {"bf": "0"}),
    ("reordered.mp4", "libx264", "aac", {}),
    ("reordered.mov", "libx264", "aac", {}),
    ("reordered.mkv", "libx264", "aac", {}),
    ("hidden.webm", "libvpx", "libopus", {"auto-alt-ref": "1", "lag-in-frames": "8"}),
    ("superframes.webm", "libvpx-vp9", "libopus", {"auto-alt-ref": "1", "lag-in-frames": "8"}),
    ("plain.ogv", "libvpx", "libopus", {}),
    ("reordered.ts", "libx264", "aac", {}),
    ("open.ts", "libx264", "aac", {"x264-params": "open-gop=1:keyint=6:bframes=3"}),
    ("reordered.m2ts", "mpeg2video", "mp2", {"bf": "2"}),
    ("reordered.mpg", "mpeg2video", "mp2", {"bf": "2"}),
    ("few_times.vob", "libx264", "mp2", {}),
    ("reordered.flv", "libx264", "aac", {}),
    ("reordered.wmv", "mpeg4", "mp2", {"bf": "2"}),
    ("reordered.nut", "libx264", "aac", {}),
]


@pytest.mark.parametrize(("name", "codec", "voice", "settings"), CONTAINERS, ids=[item[0] for item in CONTAINERS])
def test_frames_and_sound_of_every_container(
    name: str, codec: str, voice: str, settings: dict[str, str], tmp_path: Path, options: UpscaleOptions
) -> None:
    """All frames in order, 1/25 s apart; all packets of sound, as far from the first frame as they were."""
    frames = moving(FRAMES)
    source = write_film(tmp_path / name, frames, codec=codec, sound=voice, options=settings)
    output = tmp_path / "out.mkv"
    assert done(source, output, options) == FRAMES
    made = read_film(output)
    assert are_those(made, frames)
    steps = np.diff([float(time) for time, _ in made])
    np.testing.assert_allclose(steps, 0.04, atol=0.0011)
    before, after = sound(source), sound(output)
    headed = voice == "aac" and name.endswith(".ts")  # MPEG-TS has a header of seven bytes before each packet of AAC
    assert [data for _, data in after] == [data[7:] if headed else data for _, data in before]
    if not name.endswith(".avi"):  # whose only times are those of decoding
        with av.open(str(source)) as container:
            first = min(p.pts * p.time_base for p in container.demux(video=0) if p.pts is not None)
        for (time, _), (was, _) in zip(after, before, strict=True):
            assert abs((time - made[0][0]) - (was - first)) <= 2 * MILLISECOND


@pytest.mark.parametrize(("name", "codec"), [("h264", "libx264"), ("m4v", "mpeg4"), ("hevc", "libx265")])
def test_streams_without_a_container(name: str, codec: str, tmp_path: Path, options: UpscaleOptions) -> None:
    frames = moving(FRAMES)
    settings = {"bf": "2"} if codec == "mpeg4" else {"x265-params": "log-level=none"} if codec == "libx265" else {}
    raw = write_film(tmp_path / "raw", frames, codec=codec, options=settings, muxer_name=name)
    source = raw.rename(tmp_path / ("in.m4v" if name == "m4v" else "in.avi"))  # FFmpeg recognises the others
    assert done(source, tmp_path / "out.mkv", options) == FRAMES
    made = read_film(tmp_path / "out.mkv")
    assert are_those(made, frames)
    assert [time for time, _ in made] == [Fraction(40 * number, 1000) for number in range(FRAMES)]


@pytest.mark.parametrize("name", ["in.avi", "in.ts", "in.flv", "in.nut", "in.mp4"])
def test_pauses_between_frames_stay(name: str, tmp_path: Path, options: UpscaleOptions) -> None:
    codec = "mpeg4" if name == "in.avi" else "libx264"
    source = write_film(tmp_path / name, moving(FRAMES), times=UNEVEN, codec=codec, options={"bf": "0"})
    assert done(source, tmp_path / "out.mkv", options) == FRAMES
    times = [time for time, _ in read_film(tmp_path / "out.mkv")]
    assert [round((time - times[0]) * 25) for time in times] == UNEVEN


def test_empty_packets_repeat_the_frame_before(tmp_path: Path, options: UpscaleOptions) -> None:
    """As Theora writes frames that do not change: the others are all there, and the last lasts as long as it did."""
    film = write_film(tmp_path / "film.mkv", moving(FRAMES), codec="ffv1", options={"g": "1"})

    def emptied(packet: Any, number: int) -> Any:
        if number not in (3, 6, 11):
            return packet
        empty = av.Packet(b"")
        empty.pts, empty.dts, empty.time_base, empty.duration = (
            packet.pts,
            packet.dts,
            packet.time_base,
            packet.duration,
        )
        return empty

    source = remuxed(film, tmp_path / "in.nut", emptied)
    assert done(source, tmp_path / "out.mkv", options) == 9
    times = [time for time, _ in read_film(tmp_path / "out.mkv")]
    assert [round(time * 25) for time in times] == [0, 1, 2, 4, 5, 7, 8, 9, 10]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.duration == 480_000


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_the_last_frame_lasts_as_long_as_it_did(suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """Not as long as frames do on average."""
    film = write_film(tmp_path / "film.mp4", moving(FRAMES), times=[5 * time for time in UNEVEN], options={"bf": "0"})

    def shorter(packet: Any, number: int) -> Any:
        packet.duration = round(Fraction(1, 10) / packet.time_base)
        return packet

    source = remuxed(film, tmp_path / "in.mp4", shorter)
    output = tmp_path / f"out{suffix}"
    done(source, output, replace(options, video=VideoFormat()))
    with av.open(str(output)) as container:
        assert abs(Fraction(container.duration, 1_000_000) - (Fraction(22 * 5, 25) + Fraction(1, 10))) <= MILLISECOND


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts", ".nut"])
def test_what_an_edit_list_cuts_away_stays_away(suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mp4", moving(25), sound=True, options={"g": "100"})

    def earlier(packet: Any, _: int) -> Any:
        shift = round(Fraction(13, 25) / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        return packet

    source = remuxed(film, tmp_path / "cut.mp4", earlier)
    heard = sound(source)
    assert Fraction(-1, 40) < heard[0][0] < 0, "a packet that is heard in part"
    assert [time * 25 for time, _ in read_film(source)] == list(range(12))
    output = tmp_path / f"out{suffix}"
    assert done(source, output, replace(options, video=VideoFormat())) == 12
    times = [time for time, _ in read_film(output)]
    assert [round((time - times[0]) * 25) for time in times] == list(range(12))
    kept = sound(output)
    assert len(kept) == len(heard)
    for (time, _), (was, _) in list(zip(kept, heard, strict=True))[1:]:
        assert abs(time - times[0] - was) <= 2 * MILLISECOND
    if suffix in (".mkv", ".mp4", ".mov"):
        assert times[0] == 0


def test_sound_that_ends_after_the_video_is_whole(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mkv", moving(50), sound=True)
    source = tmp_path / "in.mkv"
    with av.open(str(film)) as old, av.open(str(source), "w") as new:
        copies = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.pts is not None and (
                packet.stream.type == "audio" or packet.pts * packet.time_base < Fraction(2, 5)
            ):
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    assert done(source, tmp_path / "out.mkv", options) == 10
    assert sound(tmp_path / "out.mkv") == sound(source)
    assert sound(source)[-1][0] > Fraction(19, 10)


@pytest.mark.parametrize("times", [[0], [3], [0, 1]])
def test_very_short_films(times: list[int], tmp_path: Path, options: UpscaleOptions) -> None:
    source = write_film(tmp_path / "in.mp4", moving(len(times)), times=times)
    for name in ("out.mkv", "out.mp4"):
        output = tmp_path / name
        assert done(source, output, replace(options, video=VideoFormat())) == len(times)
        assert [time for time, _ in read_film(output)] == [time for time, _ in read_film(source)]


def test_frames_of_one_time_are_all_there(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mkv", moving(FRAMES), codec="ffv1", options={"g": "1"})

    def same(packet: Any, number: int) -> Any:
        if number in (4, 5):
            packet.pts = packet.dts = 120
        return packet

    source = remuxed(film, tmp_path / "in.mkv", same)
    assert [packet_time(source, number) for number in (3, 4, 5)] == [120, 120, 120]
    assert done(source, tmp_path / "out.mkv", options) == FRAMES
    made = read_film(tmp_path / "out.mkv")
    assert are_those(made, moving(FRAMES))
    assert all(later > earlier for (earlier, _), (later, _) in itertools.pairwise(made))


def packet_time(path: Path, number: int) -> int | None:
    with av.open(str(path)) as container:
        return [packet.pts for packet in container.demux(video=0)][number]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts"])
def test_thirty_thousand_by_a_thousand_and_one(suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """Times that no container's clock has exactly are off by less than a tick, at the end as at the beginning."""
    film = write_film(tmp_path / "film.mp4", moving(60), options={"bf": "2"})

    def slower(packet: Any, _: int) -> Any:
        ticks = Fraction(1, 25) / packet.time_base
        number, order = packet.pts / ticks, packet.dts / ticks
        packet.time_base = Fraction(1, 30000)
        packet.pts, packet.dts, packet.duration = round(number * 1001), round(order * 1001), 1001
        return packet

    source = remuxed(film, tmp_path / "in.mp4", slower)
    output = tmp_path / f"out{suffix}"
    assert done(source, output, replace(options, video=VideoFormat())) == 60
    times = [time for time, _ in read_film(output)]
    for number, time in enumerate(times):
        assert abs(time - times[0] - number * Fraction(1001, 30000)) <= MILLISECOND


def test_segments_of_a_file_without_times_are_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)
    video = read_video(write_film(tmp_path / "in.avi", moving(30), codec="libx264"))
    assert len(video.segments) > 3

    whole = decoded_luma(video, video.segments)
    assert [pts for pts, _ in whole] == list(range(30))
    assert [frame for segment in video.segments for frame in decoded_luma(video, (segment,))] == whole


def test_decoding_times_of_joined_segments_ascend_and_move_no_frame() -> None:
    """Two segments of uneven frames; the encoder of the second begins long before the first has ended."""
    first = [(0, -4), (9, -2), (4, 0), (10, 4), (9 + 2, 9)]
    second = [(12, -30), (40, 11), (13, 12), (14, 13)]
    packets = [EncodedPacket(pts, dts, 0, False, b"") for pts, dts in first + second]
    made = list(timed(packets, FileTimes(tuple(sorted(p.pts for p in packets)), (0,), 45, 1)))
    assert [packet.pts for packet in made] == [packet.pts for packet in packets]
    assert all(packet.dts <= packet.pts for packet in made)
    assert all(later.dts > earlier.dts for earlier, later in itertools.pairwise(made))
    assert {packet.pts: packet.duration for packet in made} == {
        0: 4,
        4: 5,
        9: 1,
        10: 1,
        11: 1,
        12: 1,
        13: 1,
        14: 26,
        40: 5,
    }


@pytest.mark.parametrize("suffix", [".mkv", ".nut", ".flv"])
def test_times_of_decoding_are_not_those_of_frames(suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """As old programs put B-frames into Matroska: each packet has the time at which it is decoded."""
    film = write_film(tmp_path / "film.mp4", moving(FRAMES))

    def undated(packet: Any, _: int) -> Any:
        packet.pts = packet.dts
        return packet

    source = remuxed(film, tmp_path / f"in{suffix}", undated)
    assert done(source, tmp_path / "out.mkv", options) == FRAMES
    made = read_film(tmp_path / "out.mkv")
    assert are_those(made, moving(FRAMES))
    assert [time for time, _ in made] == [Fraction(40 * number, 1000) for number in range(FRAMES)]

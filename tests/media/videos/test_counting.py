"""Frames out are frames in, or the run fails and says both counts; whoever loses them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from media.films import moving, read_film, write_film, write_mpeg2
from media.nearest import nearest_artifact

from toolkit.errors import CheckFailed, InputError
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos import assembly, decoding, video_file
from toolkit.media.videos.encoding import SegmentEncoder, VideoFormat
from toolkit.media.videos.times import FileTimes


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=VideoFormat(codec="ffv1"))


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)


def loses_decoded(patch: pytest.MonkeyPatch) -> None:
    """The third frame of every segment is dropped after the decoder gave it."""
    real = decoding._in_order

    def lossy(video: Any, frames: Iterator[Any], damage: Any) -> Iterator[Any]:
        yield from (frame for number, frame in enumerate(real(video, frames, damage)) if number != 2)

    patch.setattr(decoding, "_in_order", lossy)


def loses_before_they_are_counted(patch: pytest.MonkeyPatch) -> None:
    """The third frame is dropped where nobody has seen it."""
    real = decoding._decode

    def lossy(*arguments: Any) -> Iterator[Any]:
        yield from (item for number, item in enumerate(real(*arguments)) if number != 2)

    patch.setattr(decoding, "_decode", lossy)


def loses_encoded(patch: pytest.MonkeyPatch) -> None:
    """The encoder drops the frame of one time."""
    real = SegmentEncoder.encode

    def lossy(self: SegmentEncoder, frame: Any, pts: int) -> None:
        real(self, frame, pts)
        self.packets[:] = [packet for packet in self.packets if packet.pts != 80]

    patch.setattr(SegmentEncoder, "encode", lossy)


def gives_one_time_to_two(patch: pytest.MonkeyPatch) -> None:
    """Times as a decoder gives them that has nothing to go by: no frame may vanish for it."""
    patch.setattr(FileTimes, "until", lambda self, time: time + 1)
    real = decoding._decode

    def stuck(*arguments: Any) -> Iterator[Any]:
        for number, (pts, frame) in enumerate(real(*arguments)):
            yield (80 if number == 3 else pts), frame

    patch.setattr(decoding, "_decode", stuck)


@pytest.mark.parametrize("loses", [loses_decoded, loses_before_they_are_counted, loses_encoded, gives_one_time_to_two])
def test_a_lost_frame_is_an_error_that_names_both_counts(
    loses: Any, tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_film(tmp_path / "in.mkv", moving(12), codec="ffv1", options={"g": "1"})
    loses(monkeypatch)
    with pytest.raises(CheckFailed, match=r"has 12 frames, but 11 were written") as caught:
        upscale([source], tmp_path / "out.mkv", options)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out.mkv").exists()
    assert len(read_film(tmp_path / "out.stopped.mkv")) == 11
    assert not list(tmp_path.glob(".*")), "nothing is left behind"


def test_a_packet_that_the_container_loses_is_an_error(
    tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_film(tmp_path / "in.mkv", moving(12), codec="ffv1", options={"g": "1"})
    real = assembly.merged

    def written(*arguments: Any) -> Iterator[Any]:
        for number, packet in enumerate(real(*arguments)):
            if number == 4:
                empty = av.Packet(b"")  # which the muxer of Matroska leaves out
                empty.stream, empty.time_base, empty.pts, empty.dts = (
                    packet.stream, packet.time_base, packet.pts, packet.dts,
                )  # fmt: skip
                yield empty
            else:
                yield packet

    monkeypatch.setattr(assembly, "merged", written)
    with pytest.raises(CheckFailed, match="12 video packets were written, but the file has 11"):
        upscale([source], tmp_path / "out.mkv", options)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("duration", [0.01, 0.04, 0.2, 0.37, 5.0])
@pytest.mark.parametrize("name", ["in.mp4", "in.avi"])
def test_a_duration_has_its_own_count(name: str, duration: float, tmp_path: Path, options: UpscaleOptions) -> None:
    source = write_film(tmp_path / name, moving(12))
    (report,) = upscale([source], tmp_path / "out.mkv", replace(options, duration=duration)).files
    assert report.frames == min(12, max(1, -int(-duration * 25 // 1)))


def test_frames_that_cannot_be_decoded_are_named_where_the_file_begins_amid_them(
    tmp_path: Path, options: UpscaleOptions
) -> None:
    """A recording that begins between key frames: its first packets show nothing, which is no loss of ours."""
    film_ = write_film(tmp_path / "film.ts", moving(20))
    source = tmp_path / "in.ts"
    with av.open(str(film_)) as old, av.open(str(source), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if number >= 2 and packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    (report,) = upscale([source], tmp_path / "out.mkv", options).files
    with av.open(str(source)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    assert report.frames == shown == 15
    assert "packets of the video that gave no frame: 3" in report.notes


def turning(path: Path) -> Path:
    """Mpeg-2 in MPEG-TS that is interlaced from its tenth frame on: two recordings, joined."""
    parts = [
        write_mpeg2(path.with_name(f"{name}.ts"), 10, interlaced=name == "interlaced", g="5").read_bytes()
        for name in ("progressive", "interlaced")
    ]
    path.write_bytes(b"".join(parts))
    return path


def test_the_advice_for_a_film_that_turns_interlaced_can_be_followed(tmp_path: Path, options: UpscaleOptions) -> None:
    source = turning(tmp_path / "in.ts")
    encoded = replace(options, video=VideoFormat())
    with pytest.raises(InputError, match="the frame is interlaced") as caught:
        upscale([source], tmp_path / "out.mp4", encoded)
    # Whether a part is done by then depends on the machine: what the advice says of that, test_resume checks.
    assert "Give --deinterlace." in caught.value.remedy
    woven = replace(encoded, deinterlace=True)
    (report,) = upscale([source], tmp_path / "out.mp4", replace(woven, resume=True)).files
    (whole,) = upscale([source], tmp_path / "whole.mp4", woven).files
    assert report.frames == whole.frames == 20, "none is lost where the parameters of the stream change"
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))

"""Text subtitles survive a change of container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from media.films import moving, write_film
from media.nearest import nearest_artifact

from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat

SAID = """1
00:00:00,100 --> 00:00:00,300
Gr\u00fc\u00dfe <i>you</i>
line two

2
00:00:00,320 --> 00:00:00,400
Bye

"""
EVENTS = [(Fraction(1, 10), Fraction(2, 10)), (Fraction(32, 100), Fraction(8, 100))]
HOMES = {"subrip": ".mkv", "ass": ".mkv", "mov_text": ".mp4", "webvtt": ".webm"}
"""Formats of the input, each in a container that takes it."""
RESULTS = {".mkv": "subrip", ".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt"}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=VideoFormat(preset="ultrafast"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A film for each format of subtitles."""
    home = tmp_path_factory.mktemp("films")
    (home / "said.srt").write_text(SAID, encoding="utf-8")
    made = {}
    for codec, suffix in HOMES.items():
        film = write_film(home / f"plain{suffix}", moving(4), codec="libvpx" if suffix == ".webm" else "libx264")
        made[codec] = home / f"{codec}{suffix}"
        with av.open(str(film)) as pictures, av.open(str(made[codec]), "w") as target:
            video = target.add_stream_from_template(pictures.streams.video[0])
            words = subtitles(home / "said.srt", codec, target)
            for packet in [*words, *(packet for packet in pictures.demux(video=0) if packet.size)]:
                packet.stream = packet.stream if packet in words else video
                target.mux(packet)
    return made


def subtitles(path: Path, codec: str, target: Any) -> list[Any]:
    from av.subtitles.subtitle import SubtitleSet

    with av.open(str(path)) as container:
        source: Any = container.streams.subtitles[0]
        source.codec_context.open(strict=False)
        stream: Any = target.add_stream(codec)
        stream.time_base, stream.metadata["language"] = Fraction(1, 1000), "ger"
        encoder: Any = av.CodecContext.create(codec, "w")
        encoder.time_base = Fraction(1, 1000)
        encoder.subtitle_header = stream.codec_context.subtitle_header = source.codec_context.subtitle_header
        packets = []
        for packet in container.demux(source):
            for event in source.decode2(packet) or () if packet.size else ():
                made = encoder.encode_subtitle(SubtitleSet.create(event.ass, 0, packet.duration))
                made.pts = made.dts = packet.pts
                made.duration, made.time_base, made.stream = packet.duration, Fraction(1, 1000), stream
                packets.append(made)
    return packets


@pytest.mark.parametrize("suffix", RESULTS)
@pytest.mark.parametrize("codec", HOMES)
def test_every_format_into_every_container(
    codec: str, suffix: str, sources: dict[str, Path], tmp_path: Path, options: UpscaleOptions
) -> None:
    """What is said, when and how: italics, a line break and letters outside ASCII."""
    output = tmp_path / f"out{suffix}"
    video = (
        VideoFormat(codec="libvpx", crf=60, options=(("deadline", "realtime"),)) if suffix == ".webm" else options.video
    )
    (report,) = upscale([sources[codec]], output, UpscaleOptions(models=options.models, threads=1, video=video)).files
    with av.open(str(output)) as container:
        (stream,) = container.streams.subtitles
        found = stream.codec_context.codec.canonical_name
        packets = [packet for packet in container.demux(stream) if packet.size > 2]
        times = [(packet.pts * packet.time_base, packet.duration * packet.time_base) for packet in packets]
        texts = [event.ass.decode() for packet in packets for event in stream.decode2(packet)]
        assert stream.metadata["language"] == "ger"
    # Matroska takes all of them as they are, but for mov_text.
    as_it_was = (suffix == ".mkv" and codec != "mov_text") or RESULTS[suffix] == codec
    assert found == (codec if as_it_was else RESULTS[suffix])
    assert ("became" in "".join(report.notes)) == (not as_it_was)
    assert times == EVENTS
    assert "Gr\u00fc\u00dfe {\\i1}you{" in texts[0]
    assert texts[0].endswith("\\Nline two")
    assert texts[1].endswith(",,Bye")


@pytest.mark.parametrize("suffix", [".nut", ".ts"])
def test_containers_without_text_or_its_length_leave_it_out(
    suffix: str, sources: dict[str, Path], tmp_path: Path, options: UpscaleOptions
) -> None:
    """NUT would take ASS, and does not keep how long a subtitle is shown."""
    (report,) = upscale([sources["ass"]], tmp_path / f"out{suffix}", options).files
    assert report.notes == ("stream 1, subtitle (ass), was left out",)


def test_damaged_text_is_left_out_and_counted(
    tmp_path: Path, sources: dict[str, Path], options: UpscaleOptions
) -> None:
    source = tmp_path / "in.mkv"
    source.write_bytes(sources["subrip"].read_bytes().replace("Gr\u00fc".encode(), b"Gr\xff\xfe"))
    (report,) = upscale([source], tmp_path / "out.mp4", options).files
    assert "1 damaged subtitles were left out" in report.notes
    with av.open(str(tmp_path / "out.mp4")) as container:
        packets = [bytes(packet) for packet in container.demux(subtitles=0) if packet.size > 2]
    assert [packet[2:] for packet in packets] == [b"Bye"]

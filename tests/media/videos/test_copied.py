"""What a video file holds beside its pictures: copied where the container takes it, named where it does not."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from media.films import moving, write_film
from media.nearest import nearest_artifact
from PIL import Image

from toolkit.errors import InputError
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos.clock import rescale
from toolkit.media.videos.encoding import VideoFormat

PLACE = {
    "com.apple.quicktime.location.ISO6709": "+12.3456+098.7654/",
    "com.apple.quicktime.model": "Phone",
    "com.apple.quicktime.creationdate": "2024-05-06T07:08:09+0200",
}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=VideoFormat(preset="ultrafast"))


def upscaled(source: Path, output: Path, options: UpscaleOptions) -> tuple[str, ...]:
    (report,) = upscale([source], output, options).files
    assert report.outcome == "done"
    return report.notes


def remuxed(source: Path, path: Path, add: Any, **settings: Any) -> Path:
    """A film copied into another file, with what `add` puts into it first: it may return packets."""
    with av.open(str(source)) as old, av.open(str(path), "w", **settings) as new:
        copies = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        packets = add(new) or ()
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
        for packet in packets:
            new.mux(packet)
    return path


def test_sound_of_an_unknown_codec_is_named_and_the_rest_is_there(tmp_path: Path, options: UpscaleOptions) -> None:
    """As phones write spatial audio beside a stereo track: a sample entry that FFmpeg has no codec for."""
    film = write_film(tmp_path / "one.mp4", moving(3), sound=True)
    with av.open(str(film)) as old, av.open(str(tmp_path / "two.mp4"), "w") as new:
        streams = [*old.streams, old.streams.audio[0]]
        copies = [new.add_stream_from_template(stream) for stream in streams]
        for packet in old.demux():
            if packet.size:
                data = bytes(packet)
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
                if packet.stream_index == 1:
                    again = av.Packet(data)
                    again.pts, again.dts, again.duration = packet.pts, packet.dts, packet.duration
                    again.time_base, again.stream = packet.time_base, copies[2]
                    new.mux(again)
    content = bytearray((tmp_path / "two.mp4").read_bytes())
    entry, settings = content.rfind(b"stsd") + 16, content.rfind(b"esds")
    content[entry : entry + 4], content[settings : settings + 4] = b"apac", b"dapa"
    (tmp_path / "in.mp4").write_bytes(content)
    for suffix in (".mp4", ".mkv"):
        notes = upscaled(tmp_path / "in.mp4", tmp_path / f"out{suffix}", options)
        assert notes == ("stream 2, audio (apac), was left out: FFmpeg has no decoder for it here",)
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert [stream.type for stream in container.streams] == ["video", "audio"]
            assert sum(packet.size > 0 for packet in container.demux(audio=0)) > 3


def test_video_of_an_unknown_codec_is_refused(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mp4", moving(2))
    content = film.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC")
    film.write_bytes(content)
    with pytest.raises(InputError, match="zzzz"):
        upscale([film], tmp_path / "out.mp4", options)


def test_statistics_of_the_old_file_are_dropped(tmp_path: Path, options: UpscaleOptions) -> None:
    """As mkvmerge writes them, with and without a language."""
    film = write_film(tmp_path / "film.mkv", moving(3), sound=True)
    stale = {"BPS": "1", "BPS-eng": "1", "NUMBER_OF_FRAMES-eng": "9", "NUMBER_OF_BYTES": "7", "DURATION-eng": "9"}
    stale |= {"_STATISTICS_WRITING_APP-eng": "x", "_STATISTICS_TAGS": "BPS"}

    def add(target: Any) -> None:
        target.metadata["MOOD"] = "calm"
        for stream in target.streams:
            stream.metadata.update(stale | {"SOURCE": "camera"})

    source = remuxed(film, tmp_path / "in.mkv", add)
    with av.open(str(source)) as container:
        assert "BPS-eng" in container.streams.video[0].metadata
    upscaled(source, tmp_path / "out.mkv", options)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.metadata["MOOD"] == "calm"
        for stream in container.streams:
            assert stream.metadata["SOURCE"] == "camera"
            assert not set(stale) & set(stream.metadata)


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_place_model_and_date_of_phones_are_kept(suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mov", moving(2))
    source = remuxed(
        film,
        tmp_path / "in.mov",
        lambda target: target.metadata.update(PLACE),
        container_options={"movflags": "use_metadata_tags"},
    )
    upscaled(source, tmp_path / f"out{suffix}", options)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert {key.lower(): value for key, value in PLACE.items()}.items() <= found.items()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def with_font_and_cover(film: Path, path: Path) -> Path:
    def add(target: Any) -> None:
        target.add_attachment("Gothic.ttf", "application/x-truetype-font", b"a font")
        target.add_attachment("cover.jpg", "image/jpeg", jpeg())

    return remuxed(film, path, add)


def test_fonts_and_covers_of_matroska_stay(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mkv", moving(2))
    source = with_font_and_cover(film, tmp_path / "in.mkv")
    assert upscaled(source, tmp_path / "out.mkv", options) == ()
    with av.open(str(tmp_path / "out.mkv")) as container:
        (font,) = (stream for stream in container.streams if stream.type == "attachment")
        assert (font.name, font.mimetype, font.data) == ("Gothic.ttf", "application/x-truetype-font", b"a font")
        cover = container.streams.video[1]
        assert cover.disposition & Disposition.attached_pic
        assert cover.metadata["filename"] == "cover.jpg"
        assert next(bytes(packet) for packet in container.demux(cover)) == jpeg()


def test_covers_between_containers_and_fonts_named(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mkv", moving(2))
    source = with_font_and_cover(film, tmp_path / "in.mkv")
    notes = upscaled(source, tmp_path / "out.mp4", options)
    assert notes == ("attachment 'Gothic.ttf' was left out",)
    upscaled(tmp_path / "out.mp4", tmp_path / "back.mkv", options)
    for path in (tmp_path / "out.mp4", tmp_path / "back.mkv"):
        with av.open(str(path)) as container:
            cover = container.streams.video[1]
            assert cover.disposition & Disposition.attached_pic
            assert next(bytes(packet) for packet in container.demux(cover) if packet.size) == jpeg()
    notes = upscaled(source, tmp_path / "out.ts", options)
    assert notes == ("attachment 'Gothic.ttf' was left out", "attachment 'cover.jpg' was left out")


def test_timecodes_are_made_again_or_named(tmp_path: Path, options: UpscaleOptions) -> None:
    film = write_film(tmp_path / "film.mov", moving(2))

    def add(target: Any) -> None:
        target.streams.video[0].metadata["timecode"] = "01:00:00:00"

    source = remuxed(film, tmp_path / "in.mov", add)
    with av.open(str(source)) as container:
        assert [stream.type for stream in container.streams] == ["video", "data"]
    assert upscaled(source, tmp_path / "out.mov", options) == ()
    with av.open(str(tmp_path / "out.mov")) as container:
        assert [stream.metadata["timecode"] for stream in container.streams] == ["01:00:00:00"] * 2
    assert upscaled(source, tmp_path / "out.mkv", options) == ("stream 1, data (tmcd), was left out",)


def test_other_data_is_named(tmp_path: Path, options: UpscaleOptions) -> None:
    """Positions that a drone or an action camera recorded."""
    film = write_film(tmp_path / "film.ts", moving(2))

    def add(target: Any) -> list[Any]:
        stream = target.add_data_stream("klv")
        packet = av.Packet(b"\x06\x0e\x2b\x34 where it was")
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 90000)
        return [packet]

    source = remuxed(film, tmp_path / "in.ts", add)
    assert upscaled(source, tmp_path / "out.mp4", options) == ("stream 1, data (klv), was left out",)


def test_chapters_of_mp4_are_no_stream_that_is_left_out(tmp_path: Path, options: UpscaleOptions) -> None:
    """In the file they are a text track, which FFmpeg shows as data."""
    film = write_film(tmp_path / "film.mp4", moving(10))
    chapter = {"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}

    def add(target: Any) -> None:
        target.set_chapters([chapter])

    source = remuxed(film, tmp_path / "in.mp4", add)
    assert upscaled(source, tmp_path / "out.mp4", options) == ()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [item["metadata"]["title"] for item in container.chapters()] == ["One"]


def with_box(content: bytes, box: bytes, path: tuple[bytes, ...]) -> bytes:
    """A box appended to the innermost of nested MP4 boxes, all of whose sizes grow."""
    made, at = bytearray(content), 0
    for name in path:
        at = made.index(name, at)
        made[at - 4 : at] = (int.from_bytes(made[at - 4 : at], "big") + len(box)).to_bytes(4, "big")
    end = at - 4 + int.from_bytes(made[at - 4 : at], "big") - len(box)
    return bytes(made[:end] + box + made[end:])


def test_metadata_inside_of_frames_is_named(tmp_path: Path, options: UpscaleOptions) -> None:
    """A stereoscopic video, top and bottom (st3d box); its frames stay as they are."""
    film = write_film(tmp_path / "film.mp4", moving(2))
    box = b"\0\0\0\x0dst3d\0\0\0\0\x01"
    content = with_box(film.read_bytes(), box, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"))
    (tmp_path / "in.mp4").write_bytes(content)
    notes = upscaled(tmp_path / "in.mp4", tmp_path / "out.mp4", options)
    assert notes == ("the layout of a stereoscopic video: left out",)


def test_streams_are_named_by_their_own_line() -> None:
    """Those of programs come first, in an order of their own."""
    from toolkit.media.videos.description import codec_name

    class Container:
        def dumps_format(self) -> str:
            lines = (
                "Stream #0:10[0x1f]: Audio: mp2",
                "Stream #0:1[0x2f](en-US): Data: bin_data (ABCD / 0x44434241)",
                "Stream #0:3: Audio: none",
            )
            return "\n".join(lines)

    assert [codec_name(Container(), index) for index in (10, 1, 2, 3)] == ["mp2", "ABCD", "unknown", "unknown"]


def film_with_sound(path: Path, codec: str, rate: int, samples: Any, kind: str) -> Path:
    """A short film with silence of a codec."""

    def add(target: Any) -> list[Any]:
        sound: Any = target.add_stream(codec, rate)
        wave = av.AudioFrame.from_ndarray(samples, kind, "stereo")
        wave.sample_rate, wave.pts, wave.time_base = rate, 0, Fraction(1, rate)
        return [*sound.encode(wave), *sound.encode(None)]

    return remuxed(write_film(path.with_name(f"silent{path.suffix}"), moving(4)), path, add)


def test_sound_that_the_container_does_not_take_is_refused_with_one_that_does(
    tmp_path: Path, options: UpscaleOptions
) -> None:
    source = film_with_sound(tmp_path / "in.avi", "adpcm_ms", 44100, np.zeros((1, 8192), np.int16), "s16")
    with pytest.raises(InputError, match=r"\.mkv does not support adpcm_ms audio") as caught:
        upscale([source], tmp_path / "out.mkv", options)
    assert ".nut" in caught.value.remedy
    assert ".mkv" not in caught.value.remedy
    upscaled(source, tmp_path / "out.nut", options)
    with av.open(str(tmp_path / "out.nut")) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == ["adpcm_ms"]


def test_sound_that_mov_lists_and_does_not_write(tmp_path: Path, options: UpscaleOptions) -> None:
    """FFmpeg writes Opus into .mp4 only, and says so only when the file's head is written."""
    source = film_with_sound(tmp_path / "in.mkv", "libopus", 48000, np.zeros((1, 8192), np.int16), "s16")
    with pytest.raises(InputError, match=r"\.mov does not support \w*opus audio"):
        upscale([source], tmp_path / "out.mov", options)
    upscaled(source, tmp_path / "out.mp4", options)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(container.streams.audio) == 1


def test_times_in_another_base() -> None:
    """PyAV takes no Fraction here, unlike everywhere else."""
    packet = av.Packet(b"x")
    packet.pts, packet.dts, packet.duration, packet.time_base = 7, 5, 1, Fraction(1, 25)
    rescale(packet, Fraction(1, 1000))
    assert (packet.pts, packet.dts, packet.duration, packet.time_base) == (280, 200, 40, Fraction(1, 1000))


def test_decoding_times_that_repeat_ascend_in_the_output(tmp_path: Path, options: UpscaleOptions) -> None:
    """Sound of two packets at the same time, which Matroska keeps and MP4 refuses."""
    film = write_film(tmp_path / "film.mkv", moving(6), sound=True)
    source = tmp_path / "in.mkv"
    with av.open(str(film)) as old, av.open(str(source), "w") as new:
        copies = [new.add_stream_from_template(stream) for stream in old.streams]
        number = 0
        for packet in old.demux():
            if packet.size:
                number += packet.stream_index == 1
                if packet.stream_index == 1 and number == 3:
                    packet.pts = packet.dts = packet.dts - 21
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    upscaled(source, tmp_path / "out.mp4", options)
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [packet.dts for packet in container.demux(audio=0) if packet.size]
    assert times == sorted(set(times))

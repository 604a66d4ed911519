"""Transparent videos stay transparent where the output can be, and say so where it cannot."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.films import plane
from media.nearest import nearest_artifact
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.media.options import UpscaleOptions
from toolkit.media.preview import preview
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.transparency import decoder_of

HEIGHT, WIDTH = 48, 64
TAGS = {"colorspace": 1, "color_range": 1}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1)


def alpha_of(number: int, bits: int) -> NDArray[np.uint16]:
    """A soft ramp beside opaque and empty fields, and brighter with each frame."""
    most = (1 << bits) - 1
    ramp = np.tile(np.linspace(0.2, 0.8, WIDTH), (HEIGHT, 1)) + number * 0.05
    ramp[:16, :32], ramp[:16, 32:] = 0, 1
    made: NDArray[np.uint16] = np.rint(np.clip(ramp, 0, 1) * most).astype(np.uint16)
    return made


def write_transparent(path: Path, codec: str, pix_fmt: str, count: int = 3) -> Path:
    with av.open(str(path), "w") as container:
        quality = {"crf": "4", "cpu-used": "8", "b": "0" if codec == "libvpx-vp9" else "4000000", "auto-alt-ref": "0"}
        options = quality if "vpx" in codec else {}
        stream: Any = container.add_stream(codec, 25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for name, value in TAGS.items():
            setattr(stream.codec_context, name, value)
        for number in range(count):
            frame = av.VideoFrame(WIDTH, HEIGHT, pix_fmt)
            bits = frame.format.components[0].bits
            for index in range(3):
                plane(frame, index)[:] = 1 << (bits - 1)
            plane(frame, 3)[:] = alpha_of(number, bits)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def transparent_frames(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = decoder_of(stream)
        return [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]


@pytest.mark.parametrize(
    ("codec", "given", "output", "wanted", "tolerance"),
    [
        ("libvpx-vp9", "yuva420p", "out.webm", "yuva420p", 6),
        ("libvpx-vp9", "yuva420p", "out.mkv", "yuva420p", 6),
        ("libvpx", "yuva420p", "out.webm", "yuva420p", 8),
        ("libvpx-vp9", "yuva420p", "out.mov", "yuva444p12le", 6),
        ("ffv1", "yuva444p10le", "out.mkv", "yuva444p12le", 1),
        ("ffv1", "yuva420p", "out.nut", "yuva420p", 0),
    ],
)
def test_alpha_is_upscaled_in_a_codec_that_takes_it(
    codec: str, given: str, output: str, wanted: str, tolerance: int, tmp_path: Path, options: UpscaleOptions
) -> None:
    """The codec is chosen by container and depth. FFmpeg's ProRes decoder gives 12 bits of what was encoded with 10."""
    source = write_transparent(tmp_path / ("in.webm" if "vpx" in codec else "in.mkv"), codec, given)
    (report,) = upscale([source], tmp_path / output, options).files
    assert not any("transparency" in note for note in report.notes)
    frames = transparent_frames(tmp_path / output)
    assert len(frames) == 3
    for number, frame in enumerate(frames):
        assert frame.format.name == wanted
        alpha = plane(frame, 3) / ((1 << frame.format.components[3].bits) - 1)
        given_alpha = plane(transparent_frames(source)[number], 3).repeat(2, 0).repeat(2, 1)
        bits = av.VideoFormat(given).components[3].bits
        np.testing.assert_allclose(alpha, given_alpha / ((1 << bits) - 1), atol=tolerance / 255)
        assert (given_alpha > 0).any()


@pytest.mark.parametrize(
    ("codec", "output", "pix_fmt"), [("ffv1", "out.mkv", "yuva444p12le"), ("qtrle", "out.mov", "argb")]
)
def test_asked_codecs(codec: str, output: str, pix_fmt: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """Exactly, in a plane of its own and packed among colours."""
    source = write_transparent(tmp_path / "in.mkv", "ffv1", "yuva444p12le" if codec == "ffv1" else "yuva420p")
    upscale([source], tmp_path / output, replace(options, video=VideoFormat(codec=codec)))
    for number, frame in enumerate(transparent_frames(tmp_path / output)):
        assert frame.format.name == pix_fmt
        bits = frame.format.components[0].bits
        alpha = frame.to_ndarray()[..., 0] if pix_fmt == "argb" else plane(frame, 3)
        np.testing.assert_array_equal(alpha, alpha_of(number, bits).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_alpha_that_is_left_out_is_said_and_not_tagged(suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    source = write_transparent(tmp_path / "in.webm", "libvpx-vp9", "yuva420p")
    video = VideoFormat(codec="libx264", preset="ultrafast")
    (report,) = upscale([source], tmp_path / f"out{suffix}", replace(options, video=video)).files
    assert report.notes == ("transparency was left out: libx264 takes yuv420p",)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert "alpha_mode" not in {key.lower() for key in container.streams.video[0].metadata}


def test_an_option_that_the_chosen_codec_lacks_is_refused(tmp_path: Path, options: UpscaleOptions) -> None:
    """ProRes, which only transparent videos get, has no crf."""
    source = write_transparent(tmp_path / "in.webm", "libvpx-vp9", "yuva420p")
    with pytest.raises(InputError, match="prores_ks has no option crf"):
        upscale([source], tmp_path / "out.mov", replace(options, video=VideoFormat(crf=20)))


def test_opaque_video_in_a_transparent_format_is_opaque(tmp_path: Path, options: UpscaleOptions) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for index in range(3):
            plane(frame, index)[:] = 128
        container.mux([*stream.encode(frame), *stream.encode(None)])
    upscale([source], tmp_path / "out.mkv", replace(options, video=VideoFormat(codec="ffv1", pix_fmt="yuva420p")))
    (frame,) = transparent_frames(tmp_path / "out.mkv")
    assert (plane(frame, 3) == 255).all()


def test_a_preview_is_transparent(tmp_path: Path, options: UpscaleOptions) -> None:
    from PIL import Image

    source = write_transparent(tmp_path / "in.webm", "libvpx-vp9", "yuva420p")
    preview([source], tmp_path / "out.webm", options)
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "RGBA"
        assert image.getpixel((10, 10))[3] <= 6
        assert image.getpixel((100, 10))[3] >= 249


def test_damage_is_damage_in_the_words_of_every_decoder(tmp_path: Path, options: UpscaleOptions) -> None:
    """libvpx has an error of its own for it."""
    film = write_transparent(tmp_path / "film.webm", "libvpx-vp9", "yuva420p", count=6)
    with av.open(str(film)) as container:
        damaged = [bytes(packet) for packet in container.demux(video=0)][3]
    source = tmp_path / "in.webm"
    source.write_bytes(film.read_bytes().replace(damaged, b"\xff" * len(damaged)))
    video = VideoFormat(codec="ffv1")
    with pytest.raises(InputError, match="is corrupt"):
        upscale([source], tmp_path / "out.mkv", replace(options, video=video))
    (report,) = upscale([source], tmp_path / "out.mkv", replace(options, video=video, on_error="skip")).files
    assert report.outcome == "done"
    assert report.corrupt >= 1

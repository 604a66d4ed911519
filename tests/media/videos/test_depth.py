"""Depth, chroma and high dynamic range: kept where the encoder can, and said where not."""

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

from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscale import upscale
from toolkit.media.videos.colour import Colour
from toolkit.media.videos.encoding import SegmentEncoder, VideoFormat, choose_encoding, default_codec
from toolkit.media.videos.mastering import Mastering, encoder_option, mastering_of
from toolkit.media.videos.pixel_formats import choose_format, lost
from toolkit.workloads import Shape

PQ = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
BT2020 = Mastering(
    primaries=tuple((Fraction(x, 50000), Fraction(y, 50000)) for x, y in ((35400, 14600), (8500, 39850), (6550, 2300))),
    white=(Fraction(15635, 50000), Fraction(16450, 50000)),
    luminance=(Fraction(1, 200), Fraction(1000)),
    light_level=(900, 250),
)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1)


def write_deep(path: Path, codec: str, pix_fmt: str, tags: dict[str, int], settings: dict[str, str]) -> Path:
    """Two frames with a luma ramp over half of the range."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, 25, options=settings)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(64, 48, pix_fmt)
        bits = max(component.bits for component in frame.format.components)
        plane(frame, 0)[:] = (np.arange(64) + 32) * (1 << bits) // 128
        for index in (1, 2):
            plane(frame, index)[:] = 1 << (bits - 1)
        for number in range(2):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize(
    ("codec", "given", "wanted"),
    [
        ("libx264", "yuv420p", "yuv420p"),
        ("libx264", "yuv444p12le", "yuv444p10le"),
        ("libx264", "yuv422p12le", "yuv422p10le"),
        ("libx264", "yuv420p16le", "yuv420p10le"),
        ("libx264", "gbrp12le", "yuv444p10le"),
        ("libx264", "yuva444p12le", "yuv444p10le"),
        ("libsvtav1", "yuv444p12le", "yuv420p10le"),
        ("libsvtav1", "yuv422p", "yuv420p"),
        ("prores_ks", "yuv420p", "yuv422p10le"),
        ("prores_ks", "yuv444p12le", "yuv444p10le"),
        ("prores_ks", "yuva420p", "yuva444p10le"),
        ("mpeg4", "yuv444p12le", "yuv420p"),
        ("ffv1", "yuv444p12le", "yuv444p12le"),
        ("ffv1", "yuva444p12le", "yuva444p12le"),
        ("libvpx-vp9", "yuva420p", "yuva420p"),
        ("qtrle", "yuva420p", "argb"),
        ("png", "rgba64be", "rgba64be"),
        ("mpeg4", "gray", "yuv420p"),
        ("libx265", "yuva420p", "yuv420p"),
        ("libvpx-vp9", "rgba", "yuva420p"),
    ],
)
def test_the_nearest_format(codec: str, given: str, wanted: str) -> None:
    assert choose_format(None, codec, given) == wanted


@pytest.mark.parametrize(
    ("suffix", "given", "wanted"),
    [
        (".mkv", "yuva420p", "libvpx-vp9"),
        (".mkv", "rgba", "prores_ks"),
        (".mkv", "yuva444p12le", "prores_ks"),
        (".webm", "rgba", "libvpx-vp9"),
        (".mov", "yuva420p", "prores_ks"),
        (".nut", "gbrap16le", "ffv1"),
        (".mp4", "rgba", "libx264"),
        (".mkv", "yuv420p", "libx264"),
    ],
)
def test_the_codec_of_transparent_video_keeps_depth_and_chroma(suffix: str, given: str, wanted: str) -> None:
    assert default_codec(suffix, given, hdr=False) == wanted


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libx265", "libx264", "ffv1", "prores_ks"])
@pytest.mark.parametrize("given", ["rgba", "ya8", "yuva422p10le", "yuva444p16le", "yuv420p9le", "gbrp12le"])
def test_formats_that_are_chosen_can_be_opened(codec: str, given: str) -> None:
    """Encoders list some formats that they refuse: each that is chosen gives a frame."""
    clock = Fraction(1, 25), Fraction(25), Fraction(1)
    wanted, shape, colour = VideoFormat(codec=codec), Shape(64, 64), Colour(1, False)
    encoding = choose_encoding(wanted, ".mkv", shape, given, colour, clock, 1, Mastering())
    encoder = SegmentEncoder(encoding, global_header=True)
    frame = av.VideoFrame(64, 64, encoding.pix_fmt)
    for number in range(len(frame.planes)):
        plane(frame, number)[:] = 0
    encoder.encode(frame, 0)
    packets = encoder.finish()
    assert encoder.frames == 1
    assert packets[0].key
    assert packets[0].data


def test_what_is_lost_is_said() -> None:
    assert lost("yuv444p12le", "yuv420p10le", "libsvtav1") == [
        "12 bits per sample became 10: libsvtav1 takes yuv420p10le",
        "4:4:4 chroma became 4:2:0: libsvtav1 takes yuv420p10le",
    ]
    assert lost("yuva420p", "yuv420p", "libx264") == ["transparency was left out: libx264 takes yuv420p"]
    assert lost("yuv420p", "yuv422p10le", "prores_ks") == []
    assert lost("gbrp10le", "gbrp10le", "libx265") == []


@pytest.mark.parametrize(("codec", "pix_fmt", "depth"), [("ffv1", "yuv444p12le", 12), ("libx264", "yuv444p10le", 10)])
def test_twelve_bits(codec: str, pix_fmt: str, depth: int, tmp_path: Path, options: UpscaleOptions) -> None:
    tags = {"colorspace": 1, "color_range": 1}
    source = write_deep(tmp_path / "in.mkv", "ffv1", "yuv444p12le", tags, {})
    video = VideoFormat(codec=codec, crf=0 if codec == "libx264" else None)
    (report,) = upscale([source], tmp_path / "out.mkv", replace(options, video=video)).files
    said = "12 bits per sample became 10: libx264 takes yuv444p10le"
    assert report.notes == ((said,) if depth == 10 else ())
    frame = first_frame(tmp_path / "out.mkv")
    assert frame.format.name == pix_fmt
    ramp = (np.arange(64) + 32) * 32 / (1 << (12 - depth))
    luma = plane(frame, 0)[::2, ::2].astype(float)
    assert np.abs(luma - ramp).max() <= (1 if depth == 12 else 2)
    assert len(np.unique(luma)) == 64


@pytest.fixture(scope="module")
def hdr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HDR10: 10 bits, PQ, with a mastering display and a content light level in the bitstream."""
    option = encoder_option("libx265", BT2020)
    assert option is not None
    settings = {"x265-params": f"log-level=none:{option[1]}", "preset": "ultrafast"}
    return write_deep(tmp_path_factory.mktemp("hdr") / "in.mkv", "libx265", "yuv420p10le", PQ, settings)


def test_hdr10_is_written_as_it_is_specified(hdr: Path) -> None:
    """Steps of 0.00002 and of 0.0001 cd/m2 (ITU-T H.265, D.3.28), green first."""
    option, value = encoder_option("libx265", BT2020) or ("", "")
    assert option == "x265-params"
    display = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
    assert value == f"master-display={display}:max-cll=900,250"
    assert mastering_of(first_frame(hdr)) == BT2020


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_hdr10_survives_in_a_codec_that_players_take(
    suffix: str, hdr: Path, tmp_path: Path, options: UpscaleOptions
) -> None:
    preset = "12" if suffix == ".webm" else "ultrafast"
    (report,) = upscale([hdr], tmp_path / f"out{suffix}", replace(options, video=VideoFormat(preset=preset))).files
    assert report.notes == ()
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert stream.codec_context.codec.canonical_name == ("av1" if suffix == ".webm" else "hevc")
        if suffix == ".mp4":
            assert (stream.profile, stream.codec_tag) == ("Main 10", "hvc1")
    assert frame.format.name == "yuv420p10le"
    assert [int(frame.color_trc), int(frame.color_primaries), int(frame.colorspace)] == [16, 9, 9]
    found = mastering_of(frame)
    assert found.light_level == BT2020.light_level
    numbers = [*sum(found.primaries, ()), *found.white, *found.luminance]
    wanted = [*sum(BT2020.primaries, ()), *BT2020.white, *BT2020.luminance]
    np.testing.assert_allclose(np.array(numbers, float), np.array(wanted, float), atol=1e-4)


def test_hdr10_of_odd_sides(hdr: Path, tmp_path: Path, options: UpscaleOptions) -> None:
    """x265 refuses them, as x264 does."""
    wanted = replace(options, target=Target(None, Shape(81, 107)), video=VideoFormat(preset="ultrafast"))
    upscale([hdr], tmp_path / "out.mkv", wanted)
    frame = first_frame(tmp_path / "out.mkv")
    assert (frame.width, frame.height, frame.format.name) == (108, 80, "yuv420p10le")


def test_hdr10_that_cannot_be_written_is_said(hdr: Path, tmp_path: Path, options: UpscaleOptions) -> None:
    (report,) = upscale([hdr], tmp_path / "out.mkv", replace(options, video=VideoFormat(codec="ffv1"))).files
    assert report.notes == ("high dynamic range: ffv1 cannot write the metadata of the mastering display",)


def test_parameters_of_the_user_are_added_to_those_of_the_toolkit(
    hdr: Path, tmp_path: Path, options: UpscaleOptions
) -> None:
    video = VideoFormat(codec="libx265", preset="ultrafast", options=(("x265-params", "max-cll=50,40"),))
    upscale([hdr], tmp_path / "out.mkv", replace(options, video=video))
    found = mastering_of(first_frame(tmp_path / "out.mkv"))
    assert (found.light_level, found.luminance) == ((50, 40), BT2020.luminance)

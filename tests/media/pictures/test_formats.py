"""Formats that Pillow reads through plugins or cuts down to 8 bits, and files that only look like pictures."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from media.nearest import nearest_artifact
from photographs import picture
from PIL import Image

import toolkit.images.decoders as decoders
from toolkit.errors import InputError, Unavailable
from toolkit.images import find_images, read_rgb
from toolkit.images.jxl import jxl_size
from toolkit.images.reading import is_picture, read_picture
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.system.extras import how_to_install

RGB = picture(40, 56)
DEEP = RGB.astype(np.uint16) * 257
SMOOTH = np.stack([np.tile(np.linspace(0, 65535, 64), (48, 1)).astype(np.uint16)] * 3, 2)


def save_heif(path: Path, samples: np.ndarray, **settings: Any) -> None:
    mode = "RGB" if samples.dtype == np.uint8 else "RGB;16"
    made = pillow_heif.from_bytes(mode, (samples.shape[1], samples.shape[0]), samples.tobytes())
    made.save(path, quality=100, chroma=444, **settings)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    return UpscaleOptions(models=(nearest_artifact(tmp_path_factory.mktemp("nearest")).path,), threads=1)


def test_a_photograph_stays_a_photograph(tmp_path: Path, options: UpscaleOptions) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    save_heif(folder / "a.heic", RGB)
    (folder / "b.jxl").write_bytes(imagecodecs.jpegxl_encode(RGB, lossless=True))
    report = upscale([folder], None, options)
    assert [(item.kind, item.outcome) for item in report.files] == [("image", "done")] * 2
    a, b = (np.asarray(Image.open(item.output)).astype(int) for item in report.files)
    wanted = RGB.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(b, wanted)
    assert np.abs(a - wanted).mean() < 2
    assert [path.name for path in find_images(folder, 9)] == ["a.heic", "b.jxl"]
    np.testing.assert_array_equal(read_rgb(folder / "b.jxl"), RGB)
    (tmp_path / "no_suffix").write_bytes((folder / "a.heic").read_bytes())
    assert is_picture(tmp_path / "no_suffix")


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_heif_keeps_its_bits(bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    save_heif(tmp_path / "in.heic", SMOOTH)
    found = read_picture(tmp_path / "in.heic")
    assert (found.depth, found.samples.dtype) == (bits, np.uint16)
    assert len(np.unique(found.samples)) > 60
    assert found.samples.max() > 65535 - 65535 // 200
    assert np.abs(found.samples.astype(int) - SMOOTH).max() <= 65535 // 200


def test_heif_with_code_points(tmp_path: Path) -> None:
    save_heif(tmp_path / "in.heic", SMOOTH, color_primaries=9, transfer_characteristics=16)
    cicp = read_picture(tmp_path / "in.heic").metadata.cicp
    assert cicp is not None
    assert (cicp.primaries, cicp.transfer, cicp.hdr) == (9, 16, True)


@pytest.mark.parametrize(("suffix", "encode"), [("jxl", "jpegxl_encode"), ("jp2", "jpeg2k_encode")])
def test_16_bits_of_jpeg_xl_and_2000(suffix: str, encode: str, tmp_path: Path) -> None:
    settings = {"lossless": True} if suffix == "jxl" else {"level": 0}
    (tmp_path / f"in.{suffix}").write_bytes(bytes(getattr(imagecodecs, encode)(DEEP, **settings)))
    found = read_picture(tmp_path / f"in.{suffix}")
    assert (found.mode, found.depth) == ("RGB", 16)
    np.testing.assert_array_equal(found.samples, DEEP)


@pytest.mark.parametrize("most", [1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_deep_pixmaps(kind: str, most: int, tmp_path: Path) -> None:
    values = np.rint(DEEP * (most / 65535)).astype(np.uint16)
    values = values if kind in ("P3", "P6") else values[..., :1]
    body = values.astype(">u2").tobytes() if kind in ("P5", "P6") else " ".join(map(str, values.ravel())).encode()
    (tmp_path / "in.ppm").write_bytes(f"{kind}\n# a comment\n56 40 {most}\n".encode() + body)
    found = read_picture(tmp_path / "in.ppm")
    assert np.abs(found.samples - values * (65535 / most)).max() <= 0.5
    (tmp_path / "in.ppm").write_bytes(f"{kind} 56 40 {most}\n".encode() + body[: len(body) // 2])
    with pytest.raises(InputError, match="truncated"):
        read_picture(tmp_path / "in.ppm")


@pytest.mark.parametrize(("name", "module"), [("in.heic", "pillow_heif"), ("in.jxl", "pillow_jxl")])
def test_a_missing_plugin_is_named(name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_heif(tmp_path / "in.heic", RGB)
    (tmp_path / "in.jxl").write_bytes(imagecodecs.jpegxl_encode(RGB, lossless=True))
    monkeypatch.setitem(sys.modules, module, None)
    decoders._register.cache_clear()
    with pytest.raises(Unavailable, match=rf"in\.\w+: .* needs {module}") as refused:
        read_picture(tmp_path / name)
    assert refused.value.remedy == how_to_install("images")


def test_565_is_no_16_bits_a_sample(tmp_path: Path) -> None:
    rows = RGB[::-1].astype(np.uint16)
    packed = (rows[..., 0] >> 3 << 11 | rows[..., 1] >> 2 << 5 | rows[..., 2] >> 3).astype("<u2").tobytes()
    head = b"BM" + struct.pack("<III", 66 + len(packed), 0, 66)
    head += struct.pack("<IiiHHIIiiII", 40, 56, 40, 1, 16, 3, len(packed), 0, 0, 0, 0)
    head += struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    (tmp_path / "in.bmp").write_bytes(head + packed)
    found = read_picture(tmp_path / "in.bmp")
    assert (found.mode, found.depth) == ("RGB", 8)
    assert np.abs(found.samples.astype(int) - RGB).max() <= 8


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("in.nef", b"II*\0\x08\0\0\0\0\0", "camera raw file"),
        ("in.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "has the format EPS"),
        ("in.tif", b"II*\0\x08\0\0\0\0\0", "tag directory is corrupt"),
        ("in.tif", b"II*\0", "truncated"),
        ("in.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "format is unknown"),
        ("in.jxl", b"\xff\x0a\0\0", "Generic Error"),
        ("in.png", b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82", "first chunk is not IHDR"),
    ],
)
def test_what_is_no_picture_is_named(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_picture(tmp_path / name)
    with pytest.raises(InputError, match=rf"in\.\w+:? .*{reason}"):
        read_picture(tmp_path / name)


@pytest.mark.parametrize(("suffix", "settings"), [("gif", {}), ("webp", {"lossless": True}), ("png", {}), ("tif", {})])
def test_of_several_pictures_the_first_is_taken(suffix: str, settings: dict[str, Any], tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 100, 200)]
    frames[0].save(tmp_path / f"in.{suffix}", save_all=True, append_images=frames[1:], **settings)
    found = read_picture(tmp_path / f"in.{suffix}")
    assert np.abs(found.samples[..., :3].astype(int) - 10).max() <= 1
    assert found.notes == (f"in.{suffix}: it has 3 pictures; the first was used",)


@pytest.mark.parametrize("container", [True, False])
def test_a_jpeg_xl_of_absurd_size_is_refused_before_it_is_decoded(container: bool, tmp_path: Path) -> None:
    content = bytes(imagecodecs.jpegxl_encode(np.zeros((48, 56, 3), np.uint8), usecontainer=container))
    assert jxl_size(content) == (56, 48)
    start = content.index(b"\xff\x0a") + 2
    # Not small, a height of 1 + 2**30 - 1 (selector 3), and ratio 1: as wide as it is high.
    header = (0 | 3 << 1 | ((1 << 30) - 1) << 3 | 1 << 33).to_bytes(5, "little")
    (tmp_path / "in.jxl").write_bytes(content[:start] + header + content[start:])
    with pytest.raises(InputError, match="1073741824x1073741824 pixels exceed the limit"):
        read_picture(tmp_path / "in.jxl")


def test_figures_of_evaluations_stay_as_they_were(tmp_path: Path) -> None:
    """Opaque 8-bit pictures give the very samples that Pillow gives."""
    kinds = {"rgb.png": RGB, "grey.png": RGB[..., 0], "grey.bmp": RGB[..., 0], "rgb.jpg": RGB, "rgb.tif": RGB}
    for name, samples in kinds.items():
        Image.fromarray(samples).save(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(read_rgb(tmp_path / name), np.asarray(image.convert("RGB")))
    Image.fromarray(RGB).quantize(20).save(tmp_path / "palette.png")
    with Image.open(tmp_path / "palette.png") as image:
        np.testing.assert_array_equal(read_rgb(tmp_path / "palette.png"), np.asarray(image.convert("RGB")))


def test_depth_of_an_avif_survives_upscaling(tmp_path: Path, options: UpscaleOptions) -> None:
    from toolkit.images.boxes import read_properties
    from toolkit.images.picture import Cicp, Metadata, Picture
    from toolkit.media.pictures.output import PictureFormat, write_picture

    source = Picture(SMOOTH, "RGB", Metadata(cicp=Cicp(9, 16)), depth=10)
    write_picture(tmp_path / "in.avif", source, PictureFormat(quality=100))
    upscale([tmp_path / "in.avif"], None, options)
    for name in ("in.avif", "in_x2.avif"):
        found = read_properties((tmp_path / name).read_bytes())
        assert (found.depth, found.cicp) == (10, Cicp(9, 16, 9, True))
    low, high = (read_picture(tmp_path / name).samples.astype(int) for name in ("in.avif", "in_x2.avif"))
    assert np.abs(high[::2, ::2] - low).max() < 65535 // 100

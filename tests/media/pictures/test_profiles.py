"""Colour: what a file says of it is kept, converted, or named as left out. LittleCMS is the independent truth."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import picture
from PIL import Image, ImageCms

from toolkit.errors import InputError
from toolkit.images.boxes import read_properties
from toolkit.images.picture import Cicp, Metadata, Mode, Picture
from toolkit.images.reading import read_picture
from toolkit.media.pictures.icc import ColourSpace, profile
from toolkit.media.pictures.output import PictureFormat, write_picture

RGB = picture(24, 32)
DEEP = RGB.astype(np.uint16) * 257
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
P3, PQ, HLG = Cicp(12, 13), Cicp(9, 16), Cicp(9, 18)
OPTIONS = PictureFormat(quality=100)
GREY_GAMMA = profile(ColourSpace((0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06), (1.8,)), grey=True)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(path: Path, *chunks: bytes) -> Path:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "PNG")
    content = stream.getvalue()
    path.write_bytes(content[:33] + b"".join(chunks) + content[33:])
    return path


def chunks_of(path: Path) -> dict[bytes, bytes]:
    content, place, found = path.read_bytes(), 8, {}
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        found[kind] = content[place + 8 : place + 8 + length]
        place += 12 + length
    return found


def in_srgb(samples: NDArray[Any], icc: bytes) -> NDArray[np.int64]:
    """What LittleCMS makes of samples with a profile."""
    converted = ImageCms.profileToProfile(
        Image.fromarray(samples), io.BytesIO(icc), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return np.asarray(converted).astype(int)


CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"cICP", bytes([12, 13, 0, 1])),
        (b"cICP", bytes([9, 16, 0, 1])),
        (b"gAMA", struct.pack(">I", 100000)),
        (b"cHRM", struct.pack(">8I", *CHROMATICITIES)),
    ],
)
def test_a_png_stays_as_it_is_tagged(kind: bytes, content: bytes, tmp_path: Path) -> None:
    read = read_picture(png_with(tmp_path / "in.png", chunk(kind, content)))
    for deep in (False, True):
        samples = read.samples.astype(np.uint16) * 257 if deep else read.samples
        assert write_picture(tmp_path / "out.png", replace(read, samples=samples), OPTIONS, overwrite=True) == ()
        assert chunks_of(tmp_path / "out.png")[kind] == content
        np.testing.assert_array_equal(read_picture(tmp_path / "out.png").samples, samples)
        with Image.open(tmp_path / "out.png") as image:
            np.testing.assert_array_equal(np.asarray(image), RGB)
        assert read_picture(tmp_path / "out.png").metadata == read.metadata


def test_linear_light_is_shown_as_it_was(tmp_path: Path) -> None:
    """gAMA 1.0 becomes a profile in formats that have no gamma."""
    read = read_picture(png_with(tmp_path / "in.png", chunk(b"gAMA", struct.pack(">I", 100000))))
    light = RGB / 255
    wanted = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    for suffix in (".tif", ".webp", ".jpg", ".avif"):
        assert write_picture(tmp_path / f"out{suffix}", read, replace(OPTIONS, lossless=True)) == ()
        with Image.open(tmp_path / f"out{suffix}") as image:
            samples, icc = np.asarray(image.convert("RGB")), image.info["icc_profile"]
        apart = np.abs(in_srgb(samples, icc) - wanted)
        assert apart.mean() < (1.0 if suffix in (".tif", ".webp") else 4.0), suffix
        assert np.abs(samples - wanted).mean() > 20, "as sRGB it would be far too dark"


def test_display_p3_becomes_a_profile_with_its_primaries(tmp_path: Path) -> None:
    source = Picture(RGB, "RGB", Metadata(cicp=P3))
    write_picture(tmp_path / "out.tif", source, OPTIONS)
    with Image.open(tmp_path / "out.tif") as image:
        found = in_srgb(np.asarray(image), image.info["icc_profile"])
    # IEC 61966-2-1 and SMPTE EG 432-1: linear P3 to linear sRGB.
    matrix = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
    values = RGB / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ matrix.T
    light = light.clip(0, 1)
    wanted = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found - wanted).max() <= 2


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
@pytest.mark.parametrize(("cicp", "name"), [(PQ, "PQ"), (HLG, "HLG")])
def test_hdr_is_refused_where_it_would_be_shown_pale(cicp: Cicp, name: str, suffix: str, tmp_path: Path) -> None:
    source = Picture(DEEP, "RGB", Metadata(cicp=cicp), depth=10)
    with pytest.raises(InputError, match=f"is HDR \\({name}\\)"):
        write_picture(tmp_path / f"out{suffix}", source, OPTIONS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("depth", [10, 12])
def test_hdr_avif_keeps_depth_and_code_points(depth: int, tmp_path: Path) -> None:
    most = (1 << depth) - 1
    values = np.rint(np.linspace(0, most, 32 * 64)).reshape(32, 64, 1).repeat(3, 2)
    samples = np.rint(values * (65535 / most)).astype(np.uint16)
    source = Picture(samples, "RGB", Metadata(cicp=PQ), depth=depth)
    assert write_picture(tmp_path / "out.avif", source, OPTIONS) == ()
    properties = read_properties((tmp_path / "out.avif").read_bytes())
    assert properties.depth == depth
    assert properties.cicp is not None
    assert (properties.cicp.primaries, properties.cicp.transfer) == (9, 16)
    read = read_picture(tmp_path / "out.avif")
    assert (read.depth, read.samples.dtype, read.metadata.cicp) == (depth, np.uint16, properties.cicp)
    assert np.abs(read.samples * (most / 65535) - values).max() <= 4
    write_picture(tmp_path / "out.png", read, OPTIONS)
    assert chunks_of(tmp_path / "out.png")[b"cICP"] == bytes([9, 16, 0, 1])
    np.testing.assert_array_equal(read_picture(tmp_path / "out.png").samples, read.samples)


def test_8_bit_avif_keeps_its_code_points_and_metadata(tmp_path: Path) -> None:
    exif = b"MM\0*\0\0\0\x08\0\1\x01\x3b\0\2\0\0\0\4Joe\0\0\0\0\0"
    source = Picture(RGB, "RGB", Metadata(cicp=P3, exif=exif, xmp=b"<x:xmpmeta/>"))
    assert write_picture(tmp_path / "out.avif", source, OPTIONS) == ()
    read = read_picture(tmp_path / "out.avif")
    assert read.metadata.cicp is not None
    assert (read.metadata.cicp.primaries, read.metadata.cicp.transfer) == (12, 13)
    assert (read.metadata.exif, read.metadata.xmp) == (exif, b"<x:xmpmeta/>")
    assert np.abs(read.samples.astype(int) - RGB).mean() < 6, "colour has half the resolution"


@pytest.mark.parametrize(
    ("mode", "icc", "kept"),
    [
        ("RGB", GREY_GAMMA, False),
        ("RGB", LAB, False),
        ("RGB", SRGB, True),
        ("CMYK", SRGB, False),
        ("L", GREY_GAMMA, True),
        ("L", LAB, False),
    ],
)
def test_a_profile_of_another_kind_is_left_out(mode: Mode, icc: bytes, kept: bool, tmp_path: Path) -> None:
    samples = np.asarray(Image.fromarray(RGB).convert(mode)).reshape(24, 32, -1)
    notes = write_picture(tmp_path / "out.tif", Picture(samples, mode, Metadata(icc=icc)), OPTIONS)
    read = read_picture(tmp_path / "out.tif")
    assert (read.metadata.icc == icc) is kept
    assert bool(notes) is not kept
    np.testing.assert_array_equal(read.samples, samples)


def test_grey_with_a_profile_for_rgb_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(RGB[..., 0]).save(tmp_path / "in.png", icc_profile=SRGB)
    (note,) = write_picture(tmp_path / "out.png", read_picture(tmp_path / "in.png"), OPTIONS)
    assert "written as RGB" in note
    with Image.open(tmp_path / "out.png") as image:
        assert (image.mode, image.info["icc_profile"]) == ("RGB", SRGB)
        np.testing.assert_array_equal(np.asarray(image), RGB[..., :1].repeat(3, 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_is_converted_by_its_profile(dtype: type, tmp_path: Path) -> None:
    grey = RGB[..., :1] if dtype is np.uint8 else DEEP[..., :1]
    options = replace(OPTIONS, lossless=True)
    write_picture(tmp_path / "out.webp", Picture(grey, "L", Metadata(icc=GREY_GAMMA)), options)
    with Image.open(tmp_path / "out.webp") as image:
        assert image.info.get("icc_profile") is None
        found = np.asarray(image).astype(int)
    wanted = in_srgb(RGB[..., 0], GREY_GAMMA)
    assert np.abs(found - wanted).max() <= 1
    assert np.abs(wanted - RGB[..., :1]).max() > 8


def test_lab_is_converted_and_tagged(tmp_path: Path) -> None:
    lab = ImageCms.profileToProfile(
        Image.fromarray(RGB), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    lab.save(tmp_path / "in.tif", icc_profile=LAB)
    read = read_picture(tmp_path / "in.tif")
    assert read.notes == ("in.tif: CIE L*a*b* was converted to sRGB",)
    assert np.abs(read.samples.astype(int) - RGB).mean() < 3
    assert read.metadata.icc is not None
    assert read.metadata.icc[16:20] == b"RGB "


def test_transparent_grey_of_16_bits(tmp_path: Path) -> None:
    grey = DEEP[..., 0]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    header = struct.pack(">IIBBBBB", 32, 24, 16, 0, 0, 0, 0)
    hidden = int(grey[3, 4])
    parts = (b"IHDR", header), (b"tRNS", struct.pack(">H", hidden)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    (tmp_path / "in.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    read = read_picture(tmp_path / "in.png")
    assert read.mode == "LA"
    np.testing.assert_array_equal(read.samples[..., 0], grey)
    np.testing.assert_array_equal(read.samples[..., 1], np.where(grey == hidden, 0, 65535))


@pytest.mark.parametrize("gamma", [1e-5, 40.0])
def test_a_gamma_that_cannot_be_is_named(gamma: float, tmp_path: Path) -> None:
    (note,) = write_picture(tmp_path / "out.tif", Picture(RGB, "RGB", Metadata(gamma=gamma)), OPTIONS)
    assert "gamma and chromaticities cannot be written as a profile" in note

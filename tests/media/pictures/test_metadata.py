"""Metadata is never a reason to refuse a picture: what is right is kept byte by byte, what is broken is named."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photographs import picture
from PIL import ExifTags, Image, PngImagePlugin

from toolkit.images.boxes import read_properties, without_exif
from toolkit.images.exif import clean
from toolkit.images.picture import Metadata, Picture
from toolkit.images.reading import read_picture
from toolkit.media.pictures.output import PictureFormat, write_picture

RGB = picture(12, 16)
ARTIST, COPYRIGHT = "Jörg Müller", "© Ünï 2026"
SUFFIXES = (".jpg", ".png", ".webp", ".avif", ".tif")


def tiff_structure(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """EXIF with one directory: tag, type, count, content."""
    room, values, rows = 8 + 2 + 12 * len(entries) + 4, b"", b""
    for tag, kind, count, content in entries:
        value = content.ljust(4, b"\0")
        if len(content) > 4:
            value = struct.pack(order + "I", room + len(values))
            values += content + b"\0" * (len(content) % 2)
        rows += struct.pack(order + "HHI", tag, kind, count) + value
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IH", 8, len(entries)) + rows + bytes(4) + values


def text_entry(tag: int, text: str) -> tuple[int, int, int, bytes]:
    content = text.encode() + b"\0"
    return tag, 2, len(content), content


def jpeg(exif: bytes) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "JPEG", quality=95)
    body = b"Exif\0\0" + exif
    content = stream.getvalue()
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


def png(*chunks: tuple[bytes, bytes], wrong: bytes = b"") -> bytes:
    """A PNG with chunks before its samples; the one named `wrong` gets a wrong checksum."""
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "PNG")
    content = stream.getvalue()
    made = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ (kind == wrong))
        for kind, data in chunks
    )
    return content[:33] + made + content[33:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_text_outside_ascii_stays_as_it_is(suffix: str, order: str, tmp_path: Path) -> None:
    exif = tiff_structure(text_entry(315, ARTIST), text_entry(33432, COPYRIGHT), order=order)
    (tmp_path / "in.jpg").write_bytes(jpeg(exif))
    read = read_picture(tmp_path / "in.jpg")
    assert write_picture(tmp_path / f"out{suffix}", read, PictureFormat()) == ()
    content = (tmp_path / f"out{suffix}").read_bytes()
    assert ARTIST.encode() in content
    assert COPYRIGHT.encode() in content
    with Image.open(tmp_path / f"out{suffix}") as image:
        found = image.getexif()
        assert found[315].encode("latin-1").decode() == ARTIST
        assert found[33432].encode("latin-1").decode() == COPYRIGHT


def test_maker_notes_keep_their_place(tmp_path: Path) -> None:
    """They hold offsets from the start of the EXIF that nobody else knows."""
    nested = struct.pack("<H", 1) + struct.pack("<HHII", 0x927C, 7, 32, 100) + bytes(4)
    exif = bytearray(tiff_structure((274, 3, 1, b"\6\0"), (0x8769, 4, 1, struct.pack("<I", 60))).ljust(140, b"\0"))
    exif[60 : 60 + len(nested)] = nested
    exif[100:132] = b"maker note, which has an offset "
    (tmp_path / "in.jpg").write_bytes(jpeg(bytes(exif)))
    read = read_picture(tmp_path / "in.jpg")
    assert read.samples.shape == (16, 12, 3)
    for suffix in (".jpg", ".tif"):
        write_picture(tmp_path / f"out{suffix}", read, PictureFormat())
        again = read_picture(tmp_path / f"out{suffix}")
        assert again.samples.shape == (16, 12, 3)
        assert again.metadata.exif is not None
        assert b"maker note, which has an offset " in again.metadata.exif
    assert read.metadata.exif is not None
    assert read.metadata.exif[100:132] == exif[100:132]


def test_the_thumbnail_goes_with_the_picture_it_showed() -> None:
    first = tiff_structure(text_entry(315, ARTIST))
    stored = b"\xff\xd8 a small picture \xff\xd9"
    start = len(first) + 2 + 24 + 4
    second = (
        struct.pack("<H", 2) + struct.pack("<HHII", 0x201, 4, 1, start) + struct.pack("<HHII", 0x202, 4, 1, len(stored))
    )
    exif = bytearray(first + second + bytes(4) + stored)
    struct.pack_into("<I", exif, 8 + 2 + 12, len(first))
    cleaned = clean(bytes(exif))
    assert cleaned.content is not None
    assert b"small picture" not in cleaned.content
    assert ARTIST.encode() in cleaned.content


BROKEN = {
    "text for a number": (
        tiff_structure((282, 2, 4, b"abc\0"), text_entry(315, ARTIST)),
        "XResolution is broken",
        True,
    ),
    "a value outside": (
        tiff_structure(text_entry(315, ARTIST)).replace(
            struct.pack("<HHI", 315, 2, 14), struct.pack("<HHI", 315, 2, 1300)
        ),
        "0x013B is broken",
        False,
    ),
    "a type that is none": (
        tiff_structure((282, 99, 1, b"abcd"), text_entry(315, ARTIST)),
        "XResolution is broken",
        True,
    ),
    "a directory outside": (
        tiff_structure((0x8769, 4, 1, b"\xff\xff\0\0"), text_entry(315, ARTIST)),
        "0x8769 is broken",
        True,
    ),
    "zeros": (bytes(20), "EXIF is broken", False),
    "cut off": (b"II*\0\x08", "EXIF is broken", False),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_exif(case: str, tmp_path: Path) -> None:
    exif, reason, rest_is_kept = BROKEN[case]
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "WEBP", lossless=True, exif=exif)
    (tmp_path / "in.webp").write_bytes(stream.getvalue())
    (tmp_path / "in.png").write_bytes(png((b"eXIf", exif)))
    (tmp_path / "in.jpg").write_bytes(jpeg(exif))
    for name in ("in.webp", "in.png", "in.jpg"):
        read = read_picture(tmp_path / name)
        assert np.abs(read.samples.astype(int) - RGB).mean() < 8
        (note,) = read.notes
        assert reason in note
        assert ARTIST.encode() in (read.metadata.exif or b"") or not rest_is_kept
        for suffix in SUFFIXES:
            write_picture(tmp_path / f"out{suffix}", read, PictureFormat(), overwrite=True)
            with Image.open(tmp_path / f"out{suffix}") as image:
                assert image.getexif().get(315, "").encode("latin-1").decode() == (ARTIST if rest_is_kept else "")


def test_an_avif_is_read_without_its_broken_exif(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "in.avif", exif=tiff_structure(text_entry(315, ARTIST)), quality=95)
    content = (tmp_path / "in.avif").read_bytes()
    place = content.index(b"II*\0")
    (tmp_path / "in.avif").write_bytes(content[:place] + b"XXXX" + content[place + 4 :])
    read = read_picture(tmp_path / "in.avif")
    assert np.abs(read.samples.astype(int) - RGB).mean() < 8
    assert "EXIF is broken" in read.notes[0]


@pytest.mark.parametrize(
    ("chunks", "wrong", "reason"),
    [
        ([(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 1_100_000))], b"", "'workflow' is larger than 1 MiB"),
        ([(b"iTXt", b"key\0\1\0\0\0no zlib")], b"", "'key' cannot be unpacked"),
        ([(b"tEXt", b"no separator")], b"", "text chunk of it is broken"),
        ([(b"tEXt", b"key\0value")], b"tEXt", "tEXt chunk is damaged"),
        ([(b"gAMA", b"\0\1")], b"", "gAMA chunk is cut off"),
        ([(b"pHYs", b"\0\0\0\1")], b"", "pHYs chunk is cut off"),
        ([(b"iCCP", b"name\0\0not packed")], b"", "profile cannot be unpacked"),
        ([(b"iCCP", b"name\0\0" + zlib.compress(b"no profile"))], b"", "profile is broken"),
        ([(b"tEXt", b"Raw profile type exif\0\nexif\n      20\n" + b"00" * 20 + b"\n")], b"", "EXIF is broken"),
        ([(b"tEXt", b"Raw profile type exif\0\nexif\n      20\nno hexadecimal\n")], b"", "EXIF is broken"),
        ([(b"acTL", b"\0\0\0\3\0\0\0\0")], b"", "it has 3 pictures; the first was used"),
    ],
)
def test_broken_chunks_of_png(chunks: list[tuple[bytes, bytes]], wrong: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(png((b"tEXt", b"Title\0kept"), *chunks, wrong=wrong if wrong != b"tEXt" else b""))
    if wrong == b"tEXt":
        (tmp_path / "in.png").write_bytes(png((b"iTXt", b"Title\0\0\0\0\0kept"), *chunks, wrong=wrong))
    read = read_picture(tmp_path / "in.png")
    np.testing.assert_array_equal(read.samples, RGB)
    assert read.metadata.text == (("Title", "kept"),)
    (note,) = read.notes
    assert reason in note


def test_texts_of_more_than_64_mib_are_not_unpacked(tmp_path: Path) -> None:
    chunk = b"zTXt", b"bomb\0\0" + zlib.compress(bytes([65]) * (1 << 20))
    (tmp_path / "in.png").write_bytes(png(*[chunk] * 70))
    read = read_picture(tmp_path / "in.png")
    np.testing.assert_array_equal(read.samples, RGB)
    assert any("'bomb'" in note for note in read.notes)


@pytest.mark.parametrize("value", [(0, 0), (float("inf"), 1), ("abc", 1), (1e12, 1e12)])
def test_absurd_resolutions_are_left_out(value: tuple[float, float], tmp_path: Path) -> None:
    from toolkit.images.metadata import read_metadata

    image = Image.fromarray(RGB)
    image.info["dpi"] = value
    assert read_metadata(image, None).metadata.dpi is None


def test_formats_name_the_text_that_they_cannot_hold(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    for key in ("parameters", "Comment"):
        info.add_text(key, f"{key} – text")
    Image.fromarray(RGB).save(tmp_path / "in.png", pnginfo=info)
    read = read_picture(tmp_path / "in.png")
    (note,) = write_picture(tmp_path / "out.jpg", read, PictureFormat())
    assert note == "JPEG holds no text chunks: parameters left out"
    (note,) = write_picture(tmp_path / "out.webp", read, PictureFormat())
    assert note == "WEBP holds no text chunks: parameters, Comment left out"
    assert write_picture(tmp_path / "out.png", read, PictureFormat()) == ()
    with Image.open(tmp_path / "out.png") as image:
        assert image.text == {key: f"{key} – text" for key in ("parameters", "Comment")}  # type: ignore[attr-defined]


def test_what_is_too_large_for_a_jpeg_is_named(tmp_path: Path) -> None:
    large = Metadata(exif=tiff_structure(text_entry(270, "x" * 70000)), xmp=b"<x:xmpmeta>" + b" " * 70000)
    notes = write_picture(tmp_path / "out.jpg", Picture(RGB, "RGB", large), PictureFormat())
    assert [note.split()[1] for note in notes] == ["EXIF", "XMP"]
    assert read_picture(tmp_path / "out.jpg").metadata.exif is None


GAIN_MAP_XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Container="http://ns.google.com/photos/1.0/container/" xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
 hdrgm:Version="1.0" xmp:Rating="5"><Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource">
 <Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="999"/></rdf:li></rdf:Seq>
</Container:Directory>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def test_a_gain_map_goes_with_what_describes_it(tmp_path: Path) -> None:
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[::2, ::2])
    first.save(tmp_path / "in.jpg", "MPO", save_all=True, append_images=[second], xmp=GAIN_MAP_XMP)
    read = read_picture(tmp_path / "in.jpg")
    assert any("gain map" in note for note in read.notes)
    assert read.metadata.xmp is not None
    for gone in (b"hdrgm", b"GainMap", b"Container"):
        assert gone not in read.metadata.xmp
    assert b'xmp:Rating="5"' in read.metadata.xmp
    from xml.dom import minidom

    minidom.parseString(read.metadata.xmp)
    write_picture(tmp_path / "out.jpg", read, PictureFormat())
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize("trailer", [b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", b"SEFH MotionPhoto_Data"])
def test_a_motion_photo_says_that_its_video_is_left_out(trailer: bytes, tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "plain.jpg")
    content = (tmp_path / "plain.jpg").read_bytes()
    (tmp_path / "in.jpg").write_bytes(content + trailer)
    assert read_picture(tmp_path / "plain.jpg").notes == ()
    assert read_picture(tmp_path / "in.jpg").notes == ("in.jpg: its motion video was left out",)


def test_gps_and_exif_of_a_tiff_are_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.5
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    nested = Image.Exif()
    nested.load(exif.tobytes())
    Image.fromarray(RGB).save(tmp_path / "in.tif", exif=nested)
    read = read_picture(tmp_path / "in.tif")
    for suffix in SUFFIXES:
        assert write_picture(tmp_path / f"out{suffix}", read, PictureFormat()) == ()
        with Image.open(tmp_path / f"out{suffix}") as image:
            found = image.getexif()
            assert found[ExifTags.Base.Make] == "Maker"
            assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == 0.5
            assert found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


WHOLE = tiff_structure(
    text_entry(315, ARTIST), (282, 5, 1, struct.pack("<II", 300, 1)), (274, 3, 1, b"\6\0"), (0x8769, 4, 1, bytes(4))
)


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6))
def test_exif_of_any_bytes_is_cleaned_once_and_for_all(rest: bytes, changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    cleaned = clean(bytes(content) + rest)
    assert 1 <= cleaned.orientation <= 8
    if cleaned.content is not None:
        assert len(cleaned.content) <= len(content) + len(rest)
        again = clean(cleaned.content)
        assert (again.orientation, again.notes) == (1, ())


@given(st.binary(max_size=200))
def test_any_bytes_are_boxes_or_none(content: bytes) -> None:
    meta = b"\0\0\0\0" + content
    properties = read_properties(struct.pack(">I", len(meta) + 8) + b"meta" + meta)
    assert properties.depth in range(256)
    assert without_exif(content) in (None, content) or len(without_exif(content) or b"") == len(content)


def test_what_lies_beside_a_heif_is_named(tmp_path: Path) -> None:
    import pillow_heif

    made = pillow_heif.from_bytes("RGB", (16, 12), RGB.tobytes())
    made.save(tmp_path / "in.heic", quality=100)
    content = (tmp_path / "in.heic").read_bytes()
    (tmp_path / "in.heic").write_bytes(content + struct.pack(">I4s", 16, b"mpvd") + bytes(8))
    assert read_picture(tmp_path / "in.heic").notes == ("in.heic: its motion video was left out",)

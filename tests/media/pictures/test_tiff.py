"""TIFF: orientations, layouts and depths that are read, and what is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from photographs import picture
from PIL import Image

from toolkit.errors import InputError, Unavailable
from toolkit.images.picture import Metadata, Mode, Picture
from toolkit.images.reading import read_picture
from toolkit.media.pictures.output import PictureFormat, write_picture
from toolkit.system.extras import how_to_install

Array = NDArray[Any]
HEIGHT, WIDTH = 20, 28
RGB = picture(HEIGHT, WIDTH)
DEEP = RGB.astype(np.uint16) * 257 - np.arange(WIDTH, dtype=np.uint16)[:, None].clip(0, 200) * (RGB > 0)
ALPHA = np.tile(np.linspace(0, 65535, WIDTH).astype(np.uint16), (HEIGHT, 1))
KINDS = {
    "bilevel": RGB[..., 0] > 127,
    "grey": RGB[..., 0],
    "rgb": RGB,
    "rgba": np.dstack([RGB, RGB[..., 0] | 1]),
    "grey16": DEEP[..., 0],
    "rgb16": DEEP,
}


def as_displayed(stored: Array, orientation: int) -> Array:
    """By the words of TIFF 6.0, page 36: on which side the 0th row and the 0th column are seen."""
    row, column = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    height, width = stored.shape[:2]
    turned = orientation > 4
    shown = np.empty((width, height, *stored.shape[2:]) if turned else stored.shape, stored.dtype)
    for r in range(height):
        for c in range(width):
            along_rows = r if row in ("top", "left") else height - 1 - r
            along_columns = c if column in ("top", "left") else width - 1 - c
            y, x = (along_columns, along_rows) if turned else (along_rows, along_columns)
            shown[y, x] = stored[r, c]
    return shown


@pytest.mark.parametrize("compression", [None, "lzw", "deflate"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_orientations(kind: str, compression: str | None, tmp_path: Path) -> None:
    stored = KINDS[kind]
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.tif"
        if stored.dtype == bool:
            tags, name = (
                {274: orientation},
                {None: "raw", "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate"}[compression],
            )
            Image.fromarray(stored).save(path, compression=name, tiffinfo=tags)
        else:
            tifffile.imwrite(
                path,
                stored,
                photometric="minisblack" if stored.ndim == 2 else "rgb",
                compression=compression,
                extratags=[(274, 3, 1, orientation, True)],
                metadata=None,
                **({"extrasamples": ["unassalpha"]} if kind == "rgba" else {}),
            )
        wanted = as_displayed(stored.astype(np.uint8) * 255 if stored.dtype == bool else stored, orientation)
        found = read_picture(path)
        np.testing.assert_array_equal(found.samples.squeeze(), wanted.squeeze(), err_msg=f"orientation {orientation}")


LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 3},
    "tiles": {"tile": (16, 16), "compression": "deflate"},
    "planes": {"planarconfig": "separate"},
    "planes in tiles": {"planarconfig": "separate", "tile": (16, 16), "compression": "lzw"},
    "predictor": {"compression": "lzw", "predictor": True},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "zstd": {"compression": "zstd"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_16_bit_colour_in_every_layout(layout: str, tmp_path: Path) -> None:
    settings = dict(LAYOUTS[layout])
    samples = np.moveaxis(DEEP, 2, 0) if "planarconfig" in settings else DEEP
    with tifffile.TiffWriter(
        tmp_path / "in.tif", byteorder=settings.pop("byteorder", "<"), bigtiff=settings.pop("bigtiff", False)
    ) as file:
        file.write(samples, photometric="rgb", metadata=None, **settings)
    found = read_picture(tmp_path / "in.tif")
    assert (found.mode, found.depth) == ("RGB", 16)
    np.testing.assert_array_equal(found.samples, DEEP)


def test_cmyk_of_16_bits(tmp_path: Path) -> None:
    inks = np.dstack([DEEP, DEEP[..., 0] // 4])
    tifffile.imwrite(tmp_path / "in.tif", inks, photometric="separated", metadata=None)
    found = read_picture(tmp_path / "in.tif")
    assert found.mode == "CMYK"
    np.testing.assert_array_equal(found.samples, inks)


def test_premultiplied_colour_becomes_straight(tmp_path: Path) -> None:
    multiplied = np.rint(DEEP * (ALPHA[..., None] / 65535)).astype(np.uint16)
    stored = np.dstack([multiplied, ALPHA])
    for kind, wanted in (("assocalpha", DEEP), ("unassalpha", multiplied)):
        tifffile.imwrite(tmp_path / "in.tif", stored, photometric="rgb", extrasamples=[kind], metadata=None)
        found = read_picture(tmp_path / "in.tif")
        assert found.mode == "RGBA"
        np.testing.assert_array_equal(found.samples[..., 3], ALPHA)
        seen = ALPHA > 20000
        # Half a step of what was stored, and half a step of what is computed.
        assert np.abs(found.samples[..., :3].astype(int) - wanted)[seen].max() <= (3 if kind == "assocalpha" else 0)


def test_white_is_zero(tmp_path: Path) -> None:
    grey = DEEP[..., 0]
    tifffile.imwrite(tmp_path / "in.tif", 65535 - grey, photometric="miniswhite", metadata=None)
    np.testing.assert_array_equal(read_picture(tmp_path / "in.tif").samples[..., 0], grey)
    tifffile.imwrite(tmp_path / "in8.tif", 255 - RGB[..., 0], photometric="miniswhite", metadata=None)
    np.testing.assert_array_equal(read_picture(tmp_path / "in8.tif").samples[..., 0], RGB[..., 0])


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_depths_between_8_and_16_have_full_range(bits: int, tmp_path: Path) -> None:
    values = (DEEP[..., 0] >> (16 - bits)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", values, photometric="minisblack", bitspersample=bits, metadata=None)
    found = read_picture(tmp_path / "in.tif")
    assert found.depth == bits
    assert np.abs(found.samples[..., 0] - values * (65535 / ((1 << bits) - 1))).max() <= 0.5


@pytest.mark.parametrize(
    ("samples", "photometric", "reason"),
    [
        (RGB[..., 0].astype(np.float32), "minisblack", "no known range"),
        (DEEP[..., 0].astype(np.int16), "minisblack", "signed 16-bit samples"),
        ((DEEP[..., 0].astype(np.uint32) * 65537), "minisblack", "32-bit samples of no known range"),
        (DEEP, "cielab", "photometric interpretation CIELAB"),
    ],
)
def test_what_cannot_be_read_is_named(samples: Array, photometric: str, reason: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", samples, photometric=photometric, metadata=None)
    with pytest.raises(InputError, match=rf"in\.tif has .*{reason}"):
        read_picture(tmp_path / "in.tif")


def test_without_the_extra_deep_pictures_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "in.tif", DEEP, photometric="rgb", metadata=None)
    Image.fromarray(RGB).save(tmp_path / "flat.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(Unavailable, match="tifffile") as refused:
        read_picture(tmp_path / "in.tif")
    assert refused.value.remedy == how_to_install("images")
    np.testing.assert_array_equal(read_picture(tmp_path / "flat.tif").samples, RGB)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
def test_what_is_written_others_read(mode: Mode, dtype: type, tmp_path: Path) -> None:
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    samples = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (300, 700, channels), dtype, endpoint=True)
    path = tmp_path / "out.tif"
    assert write_picture(path, Picture(samples, mode, Metadata(dpi=(300.0, 150.0))), PictureFormat()) == ()
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        np.testing.assert_array_equal(page.asarray().reshape(samples.shape), samples)
        assert page.photometric == {"L": 1, "LA": 1, "CMYK": 5}.get(mode, 2)
        assert [int(kind) for kind in page.extrasamples] == ([2] if mode in ("LA", "RGBA") else [])
        assert page.tags["XResolution"].value == (300000, 1000)
    if dtype is np.uint8:
        with Image.open(path) as image:
            assert (image.mode, image.info["dpi"]) == (mode, (300.0, 150.0))
            np.testing.assert_array_equal(np.asarray(image).reshape(samples.shape), samples)
    found = read_picture(path)
    assert found.mode == mode
    np.testing.assert_array_equal(found.samples, samples)


def test_a_size_without_the_tiles_for_it_is_refused(tmp_path: Path) -> None:
    """A few bytes that claim millions of pixels would be decoded for minutes."""
    tifffile.imwrite(tmp_path / "in.tif", DEEP, photometric="rgb", tile=(16, 16), metadata=None)
    content = bytearray((tmp_path / "in.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "in.tif") as file:
        tag = file.pages[0].tags["ImageWidth"]
        place, dtype = tag.valueoffset, tag.dtype
    content[place : place + 4] = (60000).to_bytes(4, "little") if int(dtype) == 4 else b"\x60\xea\0\0"
    (tmp_path / "in.tif").write_bytes(content)
    with pytest.raises(InputError, match="fewer strips or tiles"):
        read_picture(tmp_path / "in.tif")


def test_no_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", DEEP, photometric="rgb", metadata=None)
    content = bytearray((tmp_path / "in.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "in.tif") as file:
        place = file.pages[0].tags["ImageWidth"].valueoffset
    content[place : place + 4] = bytes(4)
    (tmp_path / "in.tif").write_bytes(content)
    with pytest.raises(InputError, match=r"in\.tif"):
        read_picture(tmp_path / "in.tif")

"""The quality of JPEG files: what libjpeg was asked for, and what other tables are nearest to."""

from __future__ import annotations

from pathlib import Path

import pytest
from photographs import picture
from PIL import Image

from toolkit.images.jpeg import JpegQuality, jpeg_quality


@pytest.mark.parametrize("quality", [*range(5, 101, 5), 1, 49, 51, 89, 91, 99])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_what_libjpeg_was_asked_for(quality: int, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(16, 24)).convert(mode).save(path, quality=quality)
    assert jpeg_quality(path) == JpegQuality(quality, exact=True)


def test_progressive_files_and_other_names(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture(16, 24)).save(path, "JPEG", quality=83, progressive=True, subsampling=0)
    assert str(jpeg_quality(path)) == "JPEG quality 83"


@pytest.mark.parametrize(("preset", "least", "most"), [("maximum", 90, 100), ("web_low", 30, 55), ("web_high", 50, 92)])
def test_tables_of_photoshop(preset: str, least: int, most: int, tmp_path: Path) -> None:
    """They are of no quality of libjpeg."""
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(16, 24)).save(path, quality=preset)
    found = jpeg_quality(path)
    assert found is not None
    assert least <= found.value <= most
    assert not found.exact
    assert str(found) == f"JPEG quality about {found.value}"


def test_a_table_that_is_nearly_one_of_libjpegs(tmp_path: Path) -> None:
    path, other = tmp_path / "a.jpg", tmp_path / "b.jpg"
    image = Image.fromarray(picture(16, 24))
    image.save(path, quality=70)
    with Image.open(path) as saved:
        tables = {index: list(table) for index, table in saved.quantization.items()}
    tables[0][5] += 1
    image.save(other, qtables=tables)
    assert jpeg_quality(other) == JpegQuality(70, exact=False)


def test_other_files(tmp_path: Path) -> None:
    Image.fromarray(picture(16, 24)).save(tmp_path / "a.png")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0\0")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("a.png", "cut.jpg", "empty.jpg", "none.jpg"):
        assert jpeg_quality(tmp_path / name) is None

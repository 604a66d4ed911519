"""Folders as they are: every kind of file, and a cache that is right."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from photographs import picture
from PIL import Image
from samples import DATA, needs_data

from toolkit.errors import InputError
from toolkit.training import photos as module
from toolkit.training.photos import index_photos
from toolkit.training.reading import read_photo

RGB = picture(24, 32)
GREY = RGB[..., 0]


def save_rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top row of the scene is the right column of the file
    Image.fromarray(RGB).save(path, exif=exif)


def save_transparent(path: Path) -> None:
    alpha = np.zeros((24, 32), np.uint8)
    alpha[:, :10] = 255
    Image.fromarray(np.dstack([RGB, alpha])).save(path)


def save_mpo(path: Path) -> None:
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[::-1])
    first.save(path, "MPO", save_all=True, append_images=[second], quality=95)


ON_WHITE = np.where(np.arange(32)[None, :, None] < 10, RGB, 255)
KINDS: dict[str, tuple[str, Callable[[Path], None], np.ndarray, int]] = {
    "plain": ("png", lambda path: Image.fromarray(RGB).save(path), RGB, 0),
    "grey": ("png", lambda path: Image.fromarray(GREY).save(path), np.repeat(GREY[..., None], 3, 2), 0),
    "16-bit grey": (
        "png",
        lambda path: Image.fromarray(np.minimum(GREY * 257.0 + 100, 65535).astype(np.uint16)).save(path),
        np.repeat(GREY[..., None], 3, 2),
        0,
    ),
    "transparent": ("png", save_transparent, ON_WHITE, 0),
    "palette": ("png", lambda path: Image.fromarray(RGB // 86 * 86).quantize(64).save(path), RGB // 86 * 86, 0),
    "black and white": (
        "png",
        lambda path: Image.fromarray(GREY > 127).save(path),
        np.repeat(np.where(GREY > 127, 255, 0)[..., None], 3, 2),
        0,
    ),
    "CMYK": ("tif", lambda path: Image.fromarray(RGB).convert("CMYK").save(path), RGB, 1),
    "rotated": ("png", save_rotated, np.rot90(RGB, -1), 0),
    "MPO": ("jpg", save_mpo, RGB, 40),  # of JPEG; the other picture is 255 away
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_becomes_what_a_viewer_shows(kind: str, tmp_path: Path) -> None:
    suffix, save, expected, tolerance = KINDS[kind]
    path = tmp_path / f"photo.{suffix}"
    save(path)
    pixels = read_photo(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance


def test_what_cannot_be_used_is_counted_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(picture(40, 50)).save(folder / "deep" / "good.PNG")
    Image.fromarray(picture(15, 50)).save(folder / "small.png")
    (folder / "text.jpg").write_text("not a photograph")
    (folder / "cut.png").write_bytes((folder / "deep" / "good.PNG").read_bytes()[:900])
    Image.fromarray(np.zeros((40, 40), np.float32)).save(folder / "float.tif")
    (folder / "notes.txt").write_text("not even called one")
    told: list[float | None] = []
    found = index_photos(folder, tmp_path / "cache", 16, 2, lambda progress: told.append(progress.fraction))
    assert [photo.name for photo in found.photos] == ["deep/good.PNG"]
    assert set(found.skipped) == {"small.png", "text.jpg", "cut.png", "float.tif"}
    assert found.skipped["small.png"] == "50x15, smaller than 16"
    (note,) = found.notes()
    assert note.startswith("skipped 4 of 5 photographs: ")
    assert told == [0, 0.2, 0.4, 0.6, 0.8]
    assert len(list((tmp_path / "cache").iterdir())) == 2  # small ones are kept for other settings


def test_whatever_a_decoder_raises_costs_one_photograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders raise what they stumble over; struct.error is one that is neither an OSError nor a ValueError."""
    for name in ("a.png", "b.png"):
        Image.fromarray(picture(40, 50)).save(tmp_path / name)
    real = module.read_photo

    def read(path: Path) -> NDArray[np.uint8]:
        if path.name == "a.png":
            raise struct.error("planted")
        return real(path)

    monkeypatch.setattr(module, "read_photo", read)
    found = index_photos(tmp_path, tmp_path / "cache", 16)
    assert [photo.name for photo in found.photos] == ["b.png"]
    assert found.skipped == {"a.png": "error: planted"}


@pytest.mark.parametrize("content", [{}, {"text.png": b"no"}])
def test_a_folder_without_photographs_is_an_error(content: dict[str, bytes], tmp_path: Path) -> None:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=r"no usable photograph|contains no images"):
        index_photos(tmp_path, tmp_path / "cache", 16)


def test_the_cache_is_used_and_follows_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    folder.mkdir()
    path = folder / "a.png"
    Image.fromarray(RGB).save(path)
    decoded: list[Path] = []

    def counted(path: Path) -> np.ndarray:
        decoded.append(path)
        return read_photo(path)

    monkeypatch.setattr(module, "read_photo", counted)

    def indexed() -> np.ndarray:
        return np.array(index_photos(folder, cache, 8).photos[0].pixels())

    assert np.array_equal(indexed(), RGB)
    assert np.array_equal(indexed(), RGB)
    assert len(decoded) == 1
    (array,) = cache.iterdir()
    array.write_bytes(array.read_bytes()[:-5])
    assert np.array_equal(indexed(), RGB), "a damaged file of the cache is made again"
    Image.fromarray(RGB[::-1]).save(path)
    os.utime(path, ns=(1, 1))
    assert np.array_equal(indexed(), RGB[::-1])
    assert len(decoded) == 3


def test_a_cache_that_cannot_be_written_is_the_users_error_not_the_photographs(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        index_photos(photos, tmp_path / "file" / "cache", 8)


@needs_data
@pytest.mark.slow
def test_all_shared_photographs_can_be_used(tmp_path: Path) -> None:
    found = index_photos(DATA / "photos" / "train", tmp_path, 256, 2)
    assert not found.skipped
    assert len(found.photos) == len(list((DATA / "photos" / "train").iterdir()))

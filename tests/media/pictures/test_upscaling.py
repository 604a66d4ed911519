"""Pictures from file to file: samples, profiles, metadata, formats."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media.nearest import nearest_artifact
from numpy.typing import NDArray
from photographs import picture
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from toolkit.errors import InputError
from toolkit.images.reading import read_picture
from toolkit.media.options import UpscaleOptions
from toolkit.media.pictures.output import PictureFormat
from toolkit.media.preview import preview
from toolkit.media.split_view import split_view
from toolkit.media.target import Target
from toolkit.media.upscale import upscale
from toolkit.workloads import Shape


@pytest.fixture
def options(nearest: Path) -> UpscaleOptions:
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1)


def doubled(samples: NDArray[Any]) -> NDArray[Any]:
    return samples.repeat(2, 0).repeat(2, 1)


def made(source: Path, output: Path, options: UpscaleOptions) -> tuple[str, ...]:
    (report,) = upscale([source], output, options).files
    assert report.outcome == "done"
    return report.notes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (5, 4), (33, 47)])
def test_every_sample_is_itself(mode: str, size: tuple[int, int], tmp_path: Path, options: UpscaleOptions) -> None:
    pixels = picture(size[1], size[0])
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 251 + 3)
    elif mode == "P":
        image = image.quantize(7)
    elif mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(pixels[..., 1]))
    else:
        image = image.convert(mode)
    source = tmp_path / ("in.tif" if mode == "CMYK" else "in.png")
    image.save(source)
    assert made(source, tmp_path / f"out{source.suffix}", options) == ()
    before, after = read_picture(source), read_picture(tmp_path / f"out{source.suffix}")
    assert (after.mode, after.samples.dtype) == (before.mode, before.samples.dtype)
    wanted = doubled(before.samples)
    seen = wanted[..., -1:] > 0 if mode in ("RGBA", "LA") else np.ones_like(wanted[..., :1], bool)
    np.testing.assert_array_equal(np.where(seen, after.samples, 0), np.where(seen, wanted, 0))


@pytest.mark.parametrize(("suffix", "codec"), [(".png", "png"), (".tif", "tiff")])
@pytest.mark.parametrize("pix_fmt", ["rgb48", "rgba64"])
def test_16_bit_colour_keeps_all_bits(
    suffix: str, codec: str, pix_fmt: str, tmp_path: Path, options: UpscaleOptions
) -> None:
    channels = 3 if pix_fmt == "rgb48" else 4
    samples = np.random.default_rng(0).integers(1, 65536, (9, 7, channels), np.uint16)
    context: Any = av.CodecContext.create(codec, "w")
    order = "be" if codec == "png" else "le"
    context.width, context.height, context.pix_fmt = 7, 9, pix_fmt + order
    from fractions import Fraction

    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(samples, f"{pix_fmt}le").reformat(format=pix_fmt + order)
    source = tmp_path / f"in{suffix}"
    source.write_bytes(b"".join(map(bytes, [*context.encode(frame), *context.encode(None)])))
    np.testing.assert_array_equal(read_picture(source).samples, samples)
    assert made(source, tmp_path / "out.png", options) == ()
    result = read_picture(tmp_path / "out.png")
    # The network works in float32, whose 24 bits hold 16.
    np.testing.assert_array_equal(result.samples[..., :3], doubled(samples)[..., :3])
    Image.open(tmp_path / "out.png").verify()


def described(path: Path) -> bytes:
    """A photograph with all that cameras and editors add; returns its profile."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "Somebody"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.5
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a tiff:Orientation=\"6\"/></x:xmpmeta>"
    Image.fromarray(picture(20, 30)).save(path, exif=exif, icc_profile=profile, dpi=(300, 300), xmp=xmp, quality=95)
    return profile


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_what_belongs_to_a_picture_is_kept(suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    source, output = tmp_path / "in.jpg", tmp_path / f"out{suffix}"
    profile = described(source)
    made(source, output, options)
    with Image.open(output) as image:
        assert image.size == (40, 60), "it stands upright"
        assert image.info["icc_profile"] == profile
        exif = image.getexif()
        assert exif[ExifTags.Base.Artist] == "Somebody"
        assert exif.get(ExifTags.Base.Orientation, 1) == 1, "nobody turns it again"
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] == 0.5
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
        xmp = xmp.encode() if isinstance(xmp, str) else xmp
        assert b'tiff:Orientation="1"' in xmp
    upright = np.asarray(Image.open(source).convert("RGB"))
    wanted = doubled(np.rot90(upright, -1)).astype(int)
    found = np.asarray(Image.open(output).convert("RGB"))
    assert np.abs(found - wanted).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_pillows(orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(picture(4, 6)).save(tmp_path / "in.png", exif=exif)
    with Image.open(tmp_path / "in.png") as image:
        np.testing.assert_array_equal(
            read_picture(tmp_path / "in.png").samples, np.asarray(ImageOps.exif_transpose(image))
        )


def test_png_text_is_kept(tmp_path: Path, options: UpscaleOptions) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Title", "Sauna – löyly")
    Image.fromarray(picture(4, 4)).save(tmp_path / "in.png", pnginfo=text)
    made(tmp_path / "in.png", tmp_path / "out.png", options)
    with Image.open(tmp_path / "out.png") as image:
        assert image.text["Title"] == "Sauna – löyly"  # type: ignore[attr-defined]


def test_nothing_hidden_bleeds_into_edges(tmp_path: Path, small_artifact: Any) -> None:
    """The same visible pixels, with magenta or with green under full transparency."""
    pixels, alpha = picture(40, 40), np.zeros((40, 40), np.uint8)
    alpha[10:30, 12:31] = 255
    results = []
    for name, hidden in (("a", (255, 0, 255)), ("b", (0, 255, 0))):
        shown = np.where(alpha[..., None] > 0, pixels, np.array(hidden, np.uint8))
        Image.fromarray(np.dstack([shown, alpha])).save(tmp_path / f"{name}.png")
        made(
            tmp_path / f"{name}.png",
            tmp_path / f"{name}_out.png",
            UpscaleOptions(models=(small_artifact.path,), runtime="ort-cpu"),
        )
        results.append(read_picture(tmp_path / f"{name}_out.png").samples)
    visible = results[0][..., 3:] > 0
    np.testing.assert_array_equal(results[0] * visible, results[1] * visible)
    edges = results[0][..., 3]
    assert (edges[24:56, 28:58] == 255).all()
    assert not edges[:16].any()


def test_formats_say_what_they_cannot_hold(tmp_path: Path, options: UpscaleOptions) -> None:
    Image.fromarray(np.dstack([picture(8, 8), np.full((8, 8), 100, np.uint8)])).save(tmp_path / "in.png")
    assert "transparency" in made(tmp_path / "in.png", tmp_path / "out.jpg", options)[0]
    Image.fromarray(picture(8, 8)).convert("CMYK").save(tmp_path / "cmyk.tif")
    assert "CMYK" in made(tmp_path / "cmyk.tif", tmp_path / "out.png", options)[0]
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(tmp_path / "deep.png")
    assert "16 were rounded" in made(tmp_path / "deep.png", tmp_path / "out.webp", options)[0]
    with pytest.raises(InputError, match="does not name a picture format by its suffix"):
        upscale([tmp_path / "in.png"], tmp_path / "out.xyz", options)


def test_to_a_size(tmp_path: Path, options: UpscaleOptions, tmp_path_factory: pytest.TempPathFactory) -> None:
    both = (*options.models, nearest_artifact(tmp_path_factory.mktemp("x3"), 3).path)
    for size, wanted in (((40, 30), (80, 60)), ((30, 40), (60, 80)), ((60, 31), (80, 41)), ((27, 20), (80, 59))):
        Image.fromarray(picture(size[1], size[0])).save(tmp_path / "in.png")
        made(
            tmp_path / "in.png",
            tmp_path / "out.png",
            replace(options, models=both, target=Target(None, Shape(60, 80)), overwrite=True),
        )
        assert Image.open(tmp_path / "out.png").size == wanted
    with pytest.raises(InputError, match=r"in\.png: it is 27x20"):
        upscale([tmp_path / "in.png"], None, replace(options, target=Target(None, Shape(20, 27))))
    assert Target(None, Shape(2160, 3840)).result(Shape(1080, 1920)) == (2, Shape(2160, 3840))
    assert Target(None, Shape(2160, 3840)).result(Shape(720, 1280)) == (3, Shape(2160, 3840))
    assert Target(None, Shape(2160, 3840)).result(Shape(900, 1600)) == (3, Shape(2160, 3840))


def test_a_folder_keeps_its_tree_and_goes_on_past_what_fails(tmp_path: Path, options: UpscaleOptions) -> None:
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("a.png", "deep/b.jpg", "deep/er/c.bmp"):
        Image.fromarray(picture(6, 8)).save(folder / name)
    (folder / "deep" / "broken.jpg").write_bytes((folder / "deep/b.jpg").read_bytes()[:200])
    (folder / "notes.txt").write_text("no picture")
    report = upscale([folder], None, options)
    home = tmp_path / "photos_x2"
    written = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    assert written == ["a.png", "deep/b.jpg", "deep/er/c.png"]
    (failed,) = report.failed
    assert "broken.jpg" in failed.error
    with pytest.raises(InputError, match=r"a\.jpg and .*a\.png would both be written to"):
        Image.fromarray(picture(6, 8)).save(folder / "a.jpg")
        upscale([folder], None, replace(options, picture=PictureFormat(suffix=".png")))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n broken", b"GIF89a"])
def test_what_is_no_picture_leaves_the_good_one(content: bytes, tmp_path: Path, options: UpscaleOptions) -> None:
    (tmp_path / "in.png").write_bytes(content)
    (tmp_path / "out.png").write_bytes(b"a good one")
    with pytest.raises(InputError, match=r"in\.png"):
        upscale([tmp_path / "in.png"], tmp_path / "out.png", replace(options, overwrite=True))
    assert (tmp_path / "out.png").read_bytes() == b"a good one"
    with pytest.raises(InputError, match="overwrite itself"):
        upscale([tmp_path / "in.png"], tmp_path / "in.png", options)


def test_floats_are_refused(tmp_path: Path, options: UpscaleOptions) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "in.tif")
    with pytest.raises(InputError, match="samples of type F"):
        upscale([tmp_path / "in.tif"], None, options)


def test_deep_pictures_need_a_network_that_takes_them(tmp_path: Path, small_artifact: Any) -> None:
    from samples import checkpoint

    from toolkit.graph.export import ExportOptions, export

    bytes_only = export(checkpoint(), ExportOptions(uint8="NHWC"), directory=tmp_path)
    pixels = picture(11, 13)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    made(tmp_path / "in.png", tmp_path / "bytes.png", UpscaleOptions(models=(bytes_only.path,), runtime="ort-cpu"))
    made(tmp_path / "in.png", tmp_path / "floats.png", UpscaleOptions(models=(small_artifact.path,), runtime="ort-cpu"))
    off = read_picture(tmp_path / "bytes.png").samples.astype(int) - read_picture(tmp_path / "floats.png").samples
    assert np.abs(off).max() <= 1
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match="takes 8 bits"):
        upscale([tmp_path / "deep.png"], None, UpscaleOptions(models=(bytes_only.path,), runtime="ort-cpu"))


def test_preview_shows_both_halves(tmp_path: Path, options: UpscaleOptions) -> None:
    pixels = picture(20, 30)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    preview([tmp_path / "in.png"], None, options)
    result = np.asarray(Image.open(tmp_path / "in_preview.png"))
    np.testing.assert_array_equal(result[:, 32:], doubled(pixels)[:, 32:])
    bicubic = np.asarray(Image.fromarray(pixels).resize((60, 40), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(result[:, :28], bicubic[:, :28])


def test_a_preview_of_a_film(tmp_path: Path, options: UpscaleOptions) -> None:
    from media.films import moving, read_film, write_film

    source = write_film(tmp_path / "in.mp4", moving(100), sound=True)
    preview([source], None, options)
    assert len(read_film(tmp_path / "in_preview.mp4")) == 75
    assert Image.open(tmp_path / "in_preview.png").size == (128, 96)
    text = (tmp_path / "in_preview.mp4.html").read_text()
    found = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in re.findall(r"base64,([^)]+)", text)]
    still = np.asarray(Image.open(tmp_path / "in_preview.png"))
    np.testing.assert_array_equal(found[0][:, :62], still[:, :62])
    np.testing.assert_array_equal(found[2][:, 66:], still[:, 66:])
    assert len(found) == 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
def test_previews_of_all_kinds(mode: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """The lower right is the result; grey was refused by Pillow once."""
    image = Image.fromarray(picture(150, 200).mean(2).astype(np.uint16) * 257) if mode == "I;16" else None
    (image or Image.fromarray(picture(150, 200)).convert(mode)).save(tmp_path / "in.png")
    preview([tmp_path / "in.png"], None, options)
    samples, result = (np.asarray(Image.open(tmp_path / name)) for name in ("in.png", "in_preview.png"))
    np.testing.assert_array_equal(result[100:, 202:], doubled(samples)[100:, 202:])
    assert (tmp_path / "in_preview.png.html").is_file()


def test_halves_of_large_previews_are_labelled(tmp_path: Path, options: UpscaleOptions) -> None:
    """Below the labels, and between the halves' edges, nothing changes; with 16 bits and transparency too."""
    before = np.full((3, 150, 200), 90, np.uint8)
    plain = np.full((3, 300, 400), 90, np.uint8)
    made = split_view(before, plain, 255)
    changed = np.argwhere((made != 90).any(0))
    changed = changed[(changed[:, 1] < 199) | (changed[:, 1] > 200)]
    assert changed[:, 0].max() < 40
    left, right = (changed[changed[:, 1] < 200], changed[changed[:, 1] >= 200])
    for half, start in ((left, 0), (right, 200)):
        assert (half[:, 1].min() - start) in range(1, 12)
        inside = made[:, half[:, 0], half[:, 1]]
        assert inside.max() > 200 and inside.min() < 40, "white on dark"
    deep = split_view(*(np.full((4, *item.shape[1:]), 30000, np.uint16) for item in (before, plain)), 65280)
    assert deep[:3].max() <= 65280 and deep[3, 10, 10] == 65280
    small = split_view(before[:, :100, :150], plain[:, :200, :300], 255)
    assert ((small == 90) | (small == 255)).all(), "no room for labels"

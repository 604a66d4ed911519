"""Which of the toolkit's own weights a file is upscaled with: seen in its pixels, and said in the report.

Two networks whose results are known stand for the toolkit's own: one for clean images repeats pixels, the one for video
halves their values too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media.films import read_film, write_film
from media.nearest import nearest_artifact, weights_hash
from PIL import Image

import toolkit.manifest_parts
from toolkit.errors import InputError
from toolkit.images import read_rgb
from toolkit.media import networks as networks_module
from toolkit.media.image_upscaler import Upscaler
from toolkit.media.item import Item
from toolkit.media.options import UpscaleOptions
from toolkit.media.report import FileReport
from toolkit.media.target import Target
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.weights import Choice, choose

GREY = 120


@pytest.fixture(autouse=True)
def _purposes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts are those of the toolkit's own weights if their names say so, and nothing else ships."""
    known = {weights_hash(purpose): purpose for purpose in ("clean", "video")}
    monkeypatch.setattr(toolkit.manifest_parts, "bundled_purpose", known.get)
    monkeypatch.setattr(networks_module, "BUNDLED", ())


@pytest.fixture
def options(tmp_path: Path) -> UpscaleOptions:
    directory = tmp_path / "exported"
    nearest_artifact(directory, name="clean")
    nearest_artifact(directory, name="video", brightness=0.5)
    nearest_artifact(directory, 3, name="clean")
    return UpscaleOptions(directory=directory, runtime="ort-cpu", threads=1, video=VideoFormat(codec="ffv1"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    grey = np.full((16, 24, 3), GREY, np.uint8)
    image = Image.fromarray(grey)
    image.save(folder / "a.png")
    for quality in (60, 89, 90, 97):
        image.save(folder / f"q{quality}.jpg", quality=quality)
    image.save(folder / "named.jpg", "PNG")
    write_film(folder / "film.mkv", [grey] * 2)
    write_film(folder / "lossless.mkv", [grey] * 2, codec="ffv1", pix_fmt="yuv444p")
    return folder


def upscaled(folder: Path, output: Path, options: UpscaleOptions) -> dict[str, FileReport]:
    report = upscale([folder], output, options)
    assert report.complete, [item.error for item in report.files]
    return {Path(item.source).name: item for item in report.files}


def brightness(report: FileReport) -> float:
    """Of a result, compared with the input: 1 for the network of clean images, 0.5 for that of video."""
    path = Path(report.output)
    if report.kind == "video":
        return float(((read_film(path)[0][1].mean() - 16) * 255 / 219) / GREY)
    return float(read_rgb(path).mean() / GREY)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_file_decides(jobs: int, folder: Path, tmp_path: Path, options: UpscaleOptions) -> None:
    found = upscaled(folder, tmp_path / "out", replace(options, jobs=jobs))
    expected = {
        "a.png": Choice("clean", "a picture"),
        "named.jpg": Choice("clean", "a picture"),
        "q60.jpg": Choice("video", "JPEG quality 60"),
        "q89.jpg": Choice("video", "JPEG quality 89"),
        "q90.jpg": Choice("clean", "JPEG quality 90"),
        "q97.jpg": Choice("clean", "JPEG quality 97"),
        "film.mkv": Choice("video", "a video"),
        "lossless.mkv": Choice("clean", "a video in ffv1"),
    }
    assert {name: report.weights for name, report in found.items()} == expected
    for name, report in found.items():
        factor = 1 if expected[name].purpose == "clean" else 0.5
        assert brightness(report) == pytest.approx(factor, abs=0.02), name
        assert report.scale == 2
    assert found["film.mkv"].chroma == "network", "what measures better with these weights"
    assert found["lossless.mkv"].chroma == "lanczos", "what measures better with the clean ones"


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "expected"),
    [
        ("prores_ks", "yuv422p10le", ("clean", "a video in prores")),
        ("ffv1", "yuv444p", ("clean", "a video in ffv1")),
        ("mjpeg", "yuvj420p", ("video", "a video")),
        ("libx265", "yuv420p", ("video", "a video")),
    ],
)
def test_codecs_for_editing_leave_clean_frames(
    codec: str, pix_fmt: str, expected: tuple[str, str], tmp_path: Path
) -> None:
    film = write_film(tmp_path / "film.mkv", [np.full((16, 24, 3), GREY, np.uint8)] * 2, codec=codec, pix_fmt=pix_fmt)
    assert choose(Item(film, tmp_path / "out.mkv", "video"), "auto") == expected
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(film.read_bytes()[:40])
    assert choose(Item(broken, tmp_path / "out.mkv", "video"), "auto") == ("video", "a video")


@pytest.mark.parametrize("purpose", ["clean", "video"])
def test_what_is_asked_for(purpose: str, folder: Path, tmp_path: Path, options: UpscaleOptions) -> None:
    for report in upscaled(folder, tmp_path / "out", replace(options, weights=purpose)).values():
        assert report.weights == Choice(purpose, "--weights")
        assert brightness(report) == pytest.approx(1 if purpose == "clean" else 0.5, abs=0.02)
        if report.kind == "video":
            assert report.chroma == ("lanczos" if purpose == "clean" else "network")


def test_other_weights_instead_of_missing_ones_are_said(folder: Path, tmp_path: Path, options: UpscaleOptions) -> None:
    found = upscaled(folder, tmp_path / "out", replace(options, target=Target(3)))
    assert found["film.mkv"].weights == Choice("clean", "a video, no video weights for x3")
    assert found["q60.jpg"].weights == Choice("clean", "JPEG quality 60, no video weights for x3")
    assert found["a.png"].weights == Choice("clean", "a picture")
    assert brightness(found["film.mkv"]) == pytest.approx(1, abs=0.02)
    with pytest.raises(InputError, match=r"there is no video network for x3: .* the toolkit's own are none"):
        upscale([folder], tmp_path / "other", replace(options, target=Target(3), weights="video"))


def test_a_size_is_reached_with_the_right_weights(folder: Path, tmp_path: Path, options: UpscaleOptions) -> None:
    found = upscaled(folder, tmp_path / "out", replace(options, target=Target.of(None, "40x30")))
    assert (found["film.mkv"].scale, str(found["film.mkv"].weights)) == (2, "video weights (a video)")
    assert brightness(found["film.mkv"]) == pytest.approx(0.5, abs=0.02)
    assert brightness(found["a.png"]) == pytest.approx(1, abs=0.02)


def test_a_network_of_ones_own_is_used_for_everything(folder: Path, tmp_path: Path, options: UpscaleOptions) -> None:
    own = nearest_artifact(tmp_path / "own", name="own", brightness=0.75)
    for given, said in (
        (UpscaleOptions(models=(own.path,)), Choice()),
        (UpscaleOptions(directory=own.path.parent), Choice(reason=f"own_x2_fp32 in {own.path.parent}")),
    ):
        given = replace(given, runtime="ort-cpu", threads=1, video=VideoFormat(codec="ffv1"), overwrite=True)
        for report in upscaled(folder, tmp_path / "out", given).values():
            assert report.weights == said
            assert brightness(report) == pytest.approx(0.75, abs=0.02)
            assert report.chroma in ("", "network"), "nothing is known about its chroma"
    with pytest.raises(InputError, match="there is no video network for x2"):
        upscale([folder], tmp_path / "none", replace(options, directory=own.path.parent, weights="video"))


def test_the_toolkits_own_come_before_a_network_beside_them(
    folder: Path, tmp_path: Path, options: UpscaleOptions
) -> None:
    own = nearest_artifact(options.directory, name="own", brightness=0.75)
    nearest_artifact(options.directory, 3, name="own", brightness=0.75)
    found = upscaled(folder, tmp_path / "out", options)
    assert (brightness(found["a.png"]), brightness(found["film.mkv"])) == pytest.approx((1, 0.5), abs=0.02)
    threefold = upscaled(folder, tmp_path / "threefold", replace(options, target=Target(3)))
    assert brightness(threefold["film.mkv"]) == pytest.approx(1, abs=0.02), "not the other network, for want of video"
    named = upscaled(folder, tmp_path / "named", replace(options, models=(own.path,)))
    assert brightness(named["a.png"]) == pytest.approx(0.75, abs=0.02)


def test_several_networks_from_elsewhere_are_a_question(tmp_path: Path, options: UpscaleOptions) -> None:
    directory = tmp_path / "others"
    for name in ("own", "other"):
        nearest_artifact(directory, name=name)
    with pytest.raises(InputError, match=r"several networks are x2: .*own_x2_fp32\.onnx"):
        networks_module.Networks(replace(options, directory=directory))(2, "video")


def test_a_model_and_weights_exclude_each_other() -> None:
    with pytest.raises(InputError, match="--model and --weights cannot be combined"):
        UpscaleOptions(models=("a.onnx",), weights="video")


def test_resumed_files_keep_what_was_said(
    folder: Path, tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that failed for one file: the others are not done again, and the report still says how they were."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    broken = folder / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert not upscale([folder], tmp_path / "out", options).complete
    again = upscale([folder], tmp_path / "out", replace(options, resume=True)).files
    said = {Path(item.source).name: (item.earlier, item.weights) for item in again if item.outcome == "done"}
    assert said["q60.jpg"] == (True, Choice("video", "JPEG quality 60"))
    assert said["film.mkv"] == (True, Choice("video", "a video"))


def test_the_upscaler_takes_them(monkeypatch: pytest.MonkeyPatch, options: UpscaleOptions) -> None:
    from toolkit.artifact import Artifact
    from toolkit.media import image_upscaler

    def own(scale: int, purpose: str) -> Artifact:
        return Artifact.read(options.directory / f"{purpose}_x{scale}_fp32.onnx")

    monkeypatch.setattr(image_upscaler, "bundled_artifact", own)
    image = np.full((8, 8, 3), GREY, np.uint8)
    for purpose, factor in (("clean", 1), ("video", 0.5)):
        assert Upscaler(weights=purpose, runtime="ort-cpu")(image).mean() == pytest.approx(GREY * factor, abs=1)

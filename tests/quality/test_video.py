"""`evaluate --video`: metrics against float64 and skimage, clips against what `upscale` writes and codecs return."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import av
import msgspec
import numpy as np
import pytest
from media.films import moving, plane, write_film, write_mpeg2
from media.nearest import lowering_artifact, nearest_artifact
from numpy.typing import NDArray
from photographs import picture
from PIL import Image
from quality.plane_metrics import psnr_of, ssim_of
from samples import DATA, needs_data

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.images.resizing import downscaled
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos.chroma import Chroma
from toolkit.media.videos.colour import Colour, FromRgb, ToRgb
from toolkit.media.videos.encoding import VideoFormat
from toolkit.pages.slider import View, slider
from toolkit.quality.videos import vmaf as vmaf_module
from toolkit.quality.videos.coding import CleanLow, Codec, Coding, codings, encode_low
from toolkit.quality.videos.evaluation import VideoEvaluateOptions, evaluate_video
from toolkit.quality.videos.meter import Method, measure_clip
from toolkit.quality.videos.references import PAN, Clip, PhotoClip, Planes, VideoClip, find_clips
from toolkit.quality.videos.report import ClipScore
from toolkit.quality.videos.vmaf import find_vmaf
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

REPOSITORY = Path(__file__).parents[2]
needs_vmaf = pytest.mark.skipif(not find_vmaf().ok, reason=find_vmaf().reason)


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return nearest_artifact(tmp_path_factory.mktemp("nearest"))


def planes_of(path: Path) -> list[list[NDArray[Any]]]:
    with av.open(str(path)) as container:
        return [[plane(frame, index).copy() for index in range(3)] for frame in container.decode(video=0)]


@pytest.mark.parametrize("chroma", get_args(Chroma))
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_a_pair_is_measured_as_upscale_writes_it(
    pix_fmt: str, chroma: Chroma, nearest: Artifact, tmp_path: Path
) -> None:
    """The truth: `upscale` writes its result without loss, and its planes are compared with the reference's."""
    large = moving(5, 96, 128)
    reference = write_film(tmp_path / "reference.mkv", large, codec="ffv1", pix_fmt=pix_fmt)
    small = [downscaled(frame, 2) for frame in large]
    low = write_film(tmp_path / "low.mp4", small, pix_fmt="yuv420p", options={"crf": "30"})
    written = tmp_path / "result.mkv"
    encoded = VideoFormat(codec="ffv1", pix_fmt=pix_fmt)
    options = UpscaleOptions(models=(nearest.path,), runtime="ort-cpu", video=encoded, chroma=chroma)
    upscale([low], written, options)
    expected = list(zip(planes_of(written), planes_of(reference), strict=True))
    measured = VideoEvaluateOptions((), (low,), chroma=chroma)
    (scale,) = evaluate_video([Subject(nearest, "ort-cpu")], [reference], measured).scales
    (item,) = scale.inputs
    assert (item.clip, item.input, item.file, item.frames) == ("reference.mkv", "file", "low.mp4", 5)
    assert item.kbit_s == pytest.approx(low.stat().st_size * 8 / 1000 / (5 / 25))
    assert scale.subjects[0].chroma == chroma
    (score,) = scale.subjects[0].scores
    most = 1023 if "10" in pix_fmt else 255
    for index, name in enumerate("yuv"):
        psnrs = [psnr_of(result[index], high[index], most) for result, high in expected]
        assert getattr(score.metrics, f"psnr_{name}") == pytest.approx(np.mean(psnrs), abs=1e-9)
        ssims = [ssim_of(result[index], high[index], most) for result, high in expected]
        assert getattr(score.metrics, f"ssim_{name}") == pytest.approx(np.mean(ssims), abs=1e-9)
    errors = [result[0].astype(float) - high[0] for result, high in expected]
    flicker = np.mean([np.abs(after - before).mean() for before, after in pairwise(errors)])
    assert score.metrics.flicker == pytest.approx(flicker * 255 / most)
    worst = [psnr_of(result[0], high[0], most) for result, high in expected]
    assert (score.worst_frame, score.worst_psnr_y) == (int(np.argmin(worst)), pytest.approx(min(worst)))
    assert item.bicubic.metrics.psnr_y > score.metrics.psnr_y, "repeated pixels are worse"


def test_files_that_do_not_belong_together(nearest: Artifact, tmp_path: Path) -> None:
    large, small = moving(5, 96, 128), moving(4, 48, 64)
    reference = write_film(tmp_path / "reference.mp4", large)
    low, other = write_film(tmp_path / "low.mp4", small), write_film(tmp_path / "other.mp4", moving(5, 48, 60))
    subjects = [Subject(nearest, "ort-cpu")]
    with pytest.raises(InputError, match=r"no x2 input of .*: 60x48 and 128x96"):
        evaluate_video(subjects, [reference], VideoEvaluateOptions((), (other,)))
    with pytest.raises(InputError, match=r"has 4 frames, .* has 5") as caught:
        evaluate_video(subjects, [reference], VideoEvaluateOptions((), (low,)))
    assert "--frames 4" in caught.value.remedy
    report = evaluate_video(subjects, [reference], VideoEvaluateOptions((), (low,), frames=4))
    assert report.scales[0].inputs[0].frames == 4
    with pytest.raises(InputError, match="1 low-resolution files for 2 references"):
        evaluate_video(subjects, [reference, reference], VideoEvaluateOptions((), (low,)))


def test_references_that_are_refused(nearest: Artifact, tmp_path: Path) -> None:
    subjects = [Subject(nearest, "ort-cpu")]
    interlaced = write_mpeg2(tmp_path / "interlaced.mpg", 4, interlaced=True)
    with pytest.raises(InputError, match="interlaced"):
        evaluate_video(subjects, [interlaced])
    grey = write_film(tmp_path / "grey.mkv", moving(2), codec="ffv1", pix_fmt="gray")
    with pytest.raises(InputError, match="is gray; references are planar YCbCr"):
        evaluate_video(subjects, [grey])
    tiny = write_film(tmp_path / "tiny.mkv", moving(2, 16, 32), codec="ffv1")
    with pytest.raises(InputError, match="SSIM needs at least"):
        evaluate_video(subjects, [tiny], VideoEvaluateOptions((None,)))
    with pytest.raises(InputError, match="at x1 the clean input is the original"):
        evaluate_video([Subject(lowering_artifact(tmp_path), "ort-cpu")], [tiny], VideoEvaluateOptions((None,)))
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate_video([], [tiny])


# Codecs


@pytest.fixture
def film(tmp_path: Path) -> VideoClip:
    """Of 102x130 pixels, of which x2 uses 100x128."""
    path = write_film(tmp_path / "film.mkv", moving(6, 102, 130), codec="ffv1")
    return VideoClip.read(path, 2, None)


def reduced(clip: Clip) -> list[NDArray[np.uint8]]:
    return [downscaled(frame.rgb(), 2) for frame in clip.frames()]


def decoded(clip: Clip, coding: Coding, path: Path) -> list[NDArray[np.uint8]]:
    return [low.planes.transpose(1, 2, 0) for low in encode_low(clip, coding, 2, path, lambda: None).frames(deep=True)]


def test_a_lossless_codec_is_no_codec(film: VideoClip, tmp_path: Path) -> None:
    """x264 at crf 0 returns what the conversion to 4:2:0 alone leaves of the frames, bit for bit."""
    assert film.shape == Shape(100, 128)
    clean = reduced(film)
    from_rgb = FromRgb(64, 50, 255, film.colour, "yuv420p")
    frames = [from_rgb(np.ascontiguousarray(item.transpose(2, 0, 1))) for item in clean]
    to_rgb = ToRgb(frames[0], film.colour, deep=False)
    for one, other in zip(decoded(film, Coding("libx264", 0), tmp_path / "low.mkv"), frames, strict=True):
        assert np.array_equal(one, to_rgb(other).transpose(1, 2, 0))


@pytest.mark.parametrize("codec", get_args(Codec))
def test_every_codec(codec: Codec, film: VideoClip, tmp_path: Path) -> None:
    """Frames come back in order and in place; a worse quality is worse, and takes fewer bits."""
    clean = reduced(film)
    qualities = (2, 31) if codec.startswith("mpeg") else (12, 50)
    errors, rates = [], []
    for quality in qualities:
        path = tmp_path / f"{quality}.mkv"
        low = encode_low(film, Coding(codec, quality), 2, path, lambda: None)
        frames = [frame.planes.transpose(1, 2, 0) for frame in low.frames(deep=True)]
        assert len(frames) == film.count
        errors.append([psnr_of(one, other, 255) for one, other in zip(frames, clean, strict=True)])
        rates.append(low.rate)
        assert low.label.startswith(codec)
    assert min(errors[0]) > 27, "chroma at half the resolution costs most"
    assert np.mean(errors[1]) < np.mean(errors[0]) - 1
    assert rates[1] < rates[0]


def test_what_is_asked_of_codecs() -> None:
    made = codings(["none", "libx264", "mpeg4"], (4, 9))
    assert [item and item.label for item in made] == [
        *(None, "libx264 crf 4", "libx264 crf 9", "mpeg4 quantiser 4", "mpeg4 quantiser 9")
    ]
    assert [item and item.quality for item in codings(["libsvtav1"], None)] == [35, 45]
    for names, qualities, words in (
        (["h264"], None, "'h264' is not a codec"),
        (["libx264"], (52,), "no crf 52: 0 to 51"),
        (["mpeg4"], (0,), "no quantiser 0: 1 to 31"),
        (["none"], (23,), "does not apply"),
    ):
        with pytest.raises(InputError, match=words):
            codings(names, qualities)


# Photographs


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("photos")
    for name, size in (("a.png", (170, 260)), ("b.png", (180, 250))):
        Image.fromarray(picture(*size, len(name))).save(directory / name)
    return directory


def test_photographs_pan(photos: Path) -> None:
    """Each frame is the one before, moved by the step; the seed chooses the direction; the way lies in the middle."""
    size = Shape(48, 64)
    directions = set()
    for seed in range(16):
        clips = find_clips([photos], 2, size, 5, seed)
        assert [clip.name for clip in clips] == ["a.png", "b.png"]
        assert {(clip.shape, clip.count) for clip in clips} == {(Shape(96, 128), 5)}
        clip = clips[0]
        assert isinstance(clip, PhotoClip)
        directions.add(clip.step)
        frames = [frame.rgb() for frame in clip.frames()]
        down, right = clip.step
        assert (abs(down), abs(right)) == PAN
        for before, after in pairwise(frames):
            moved = before[max(down, 0) : 96 + min(down, 0), max(right, 0) : 128 + min(right, 0)]
            assert np.array_equal(moved, after[max(-down, 0) : 96 - max(down, 0), max(-right, 0) : 128 - max(right, 0)])
    assert len(directions) == 4


def test_photographs_too_small_are_named(nearest: Artifact, photos: Path) -> None:
    with pytest.raises(InputError, match=r"a.png is too small for a clip: 260x170, and 680x") as caught:
        evaluate_video([Subject(nearest, "ort-cpu")], [photos], VideoEvaluateOptions((None,), size=Shape(160, 320)))
    assert "--size" in caught.value.remedy


def peak(clip: Clip) -> int:
    """Bytes of memory, at most, while a clip is measured."""
    tracemalloc.start()
    try:
        method = FrameMethod()
        ignored: Callable[..., None] = lambda *_: None  # noqa: E731
        low, methods = CleanLow(clip, "clean", None, 2), [Method(method)]
        measure_clip(low, methods, deep=True, vmaf="", frame_begun=ignored, offer=ignored)
        assert method.calls == clip.count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class FrameMethod:
    """Repeats pixels."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, planes: Planes, white: int) -> Planes:
        self.calls += 1
        return planes.repeat(2, 1).repeat(2, 2)


def test_few_frames_are_in_memory(tmp_path: Path) -> None:
    """A film of 80 more frames takes less than ten more results, of 36 KiB."""
    path = write_film(tmp_path / "long.mkv", moving(90, 96, 128), codec="ffv1")
    peak(VideoClip.read(path, 2, 2))
    short, long = (peak(VideoClip.read(path, 2, count)) for count in (10, 90))
    assert long - short < 10 * 3 * 96 * 128


# Reports


@pytest.fixture(scope="module")
def measured(nearest: Artifact, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    page = tmp_path_factory.mktemp("page") / "page.html"
    options = VideoEvaluateOptions((None, Coding("libx264", 30)), frames=3, size=Shape(48, 64), page=page)
    subjects = [Subject(nearest, "ort-cpu"), Subject(nearest, "tensorrt")]
    return evaluate_video(subjects, [photos], options), page


def test_json_and_csv(measured: tuple[Any, Path]) -> None:
    report, _ = measured
    assert msgspec.json.decode(report.to_json(), type=type(report)) == report
    (scale,) = report.scales
    assert [(item.clip, item.input) for item in scale.inputs] == [
        (name, label) for label in ("clean", "libx264 crf 30") for name in ("a.png", "b.png")
    ]
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["method"] for row in rows] == ["bicubic"] * 4 + ["Lanczos"] * 4 + ["nearest_x2_fp32"] * 4
    score: ClipScore = scale.subjects[0].scores[1]
    assert (float(rows[9]["psnr_u"]), int(rows[9]["worst_frame"])) == (score.metrics.psnr_u, score.worst_frame)
    (left,) = scale.not_run
    assert (left.runtime, report.complete, report.failed) == ("tensorrt", False, False)


def test_lanczos_is_pillows(measured: tuple[Any, Path], photos: Path) -> None:
    """The baselines of a clean clip, computed with Pillow and float64."""
    report, _ = measured
    (clip, _) = find_clips([photos], 2, Shape(48, 64), 3, 0)
    for kernel, name in ((Image.Resampling.BICUBIC, "bicubic"), (Image.Resampling.LANCZOS, "lanczos")):
        from_rgb, psnrs = FromRgb(128, 96, 255, Colour(6, full=False), "yuv420p"), []
        for frame in clip.frames():
            pixels = frame.rgb()
            made = np.asarray(Image.fromarray(downscaled(pixels, 2)).resize((128, 96), kernel))
            lumas = [
                plane(from_rgb(np.ascontiguousarray(item.transpose(2, 0, 1))), 0).copy() for item in (made, pixels)
            ]
            psnrs.append(psnr_of(*lumas, 255))
        found = getattr(report.scales[0].inputs[0], name).metrics.psnr_y
        assert found == pytest.approx(np.mean(psnrs), abs=1e-9)


def test_the_page_has_a_slider_for_each_kind_of_input(measured: tuple[Any, Path]) -> None:
    report, page = measured
    text = page.read_text()
    assert text.count("class='stage'") == 2
    assert text.count("data:image/png;base64,") == 2 * 4, "bicubic, Lanczos, network and original, each once"
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", ""), "complete in itself"
    for score, item in zip(report.scales[0].subjects[0].scores, report.scales[0].inputs, strict=True):
        assert f"{score.worst_frame}: {score.worst_psnr_y:.2f} dB" in text
        assert item.clip in text
    names = re.findall(r"id='(\w+)'", text)
    assert len(names) == len(set(names)) == 2 * 8


def test_a_slider_quotes_its_captions() -> None:
    views = [View("<b>", np.zeros((4, 6, 3), np.uint8)), View("b", np.zeros((4, 6, 3), np.uint8))]
    assert "&lt;b&gt;" in slider("k", views)
    for wrong in (views[:1], [*views, View("c", np.zeros((4, 7, 3), np.uint8))]):
        with pytest.raises(ValueError, match="same size"):
            slider("k", wrong)


# VMAF


def test_without_vmaf_the_report_says_why(nearest: Artifact, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vmaf_module, "_candidates", lambda: ["/bin/false", "/nowhere/ffmpeg"])
    find_vmaf.cache_clear()
    try:
        options = VideoEvaluateOptions((None,), frames=1, size=Shape(48, 64))
        report = evaluate_video([Subject(nearest, "ort-cpu")], [photos], options)
    finally:
        find_vmaf.cache_clear()
    assert "has no libvmaf (/bin/false, /nowhere/ffmpeg). pip install" in report.vmaf_missing
    assert report.vmaf_models == ()
    assert report.scales[0].subjects[0].scores[0].metrics.vmaf is None


@needs_vmaf
def test_vmaf_is_ffmpegs(nearest: Artifact, tmp_path: Path) -> None:
    """The truth: FFmpeg's filter on the reference and on what `upscale` writes."""
    large = moving(6, 192, 256)
    reference = write_film(tmp_path / "reference.mkv", large, codec="ffv1")
    low = write_film(tmp_path / "low.mp4", [downscaled(frame, 2) for frame in large], options={"crf": "35"})
    written = tmp_path / "result.mkv"
    upscale([low], written, UpscaleOptions(models=(nearest.path,), runtime="ort-cpu", video=VideoFormat(codec="ffv1")))
    graph = "[0][1]libvmaf=model=version=vmaf_v0.6.1:log_fmt=json:log_path=log.json"
    command = [find_vmaf().version, "-i", written, "-i", reference, "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    expected = json.loads((tmp_path / "log.json").read_text())["pooled_metrics"]["vmaf"]["mean"]
    report = evaluate_video([Subject(nearest, "ort-cpu")], [reference], VideoEvaluateOptions((), (low,)))
    assert report.vmaf_models == ("vmaf_v0.6.1",)
    assert report.scales[0].subjects[0].scores[0].metrics.vmaf == pytest.approx(expected, abs=1e-3)
    assert expected < 95


@pytest.mark.slow
@needs_data
def test_figures_of_eight_photographs(tmp_path: Path) -> None:
    """Gains of the bundled x2 weights over bicubic in dB, measured by a script: luma in float64 that is not rounded,
    MATLAB's bicubic, the network in PyTorch, packets of x264 decoded without a container."""
    for path in sorted((DATA / "photos" / "val").iterdir())[:8]:
        (tmp_path / path.name).symlink_to(path)
    subject = Subject(Artifact.read(REPOSITORY / "exported" / "rt4ksr_x2_fp32.onnx"), "ort-cpu")
    options = VideoEvaluateOptions((None, Coding("libx264", 23), Coding("libx264", 28)))
    (scale,) = evaluate_video([subject], [tmp_path], options).scales
    gains = {
        label: np.mean(
            [
                scale.subjects[0].scores[index].metrics.psnr_y - scale.inputs[index].bicubic.metrics.psnr_y
                for index in positions
            ]
        )
        for label, positions in scale.groups().items()
    }
    assert gains == pytest.approx({"clean": 1.84, "libx264 crf 23": 1.02, "libx264 crf 28": 0.59}, abs=0.03)

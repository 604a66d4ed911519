"""A report on upscaled video as one HTML page, with the worst frames behind sliders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.media.split_view import enlarged
from toolkit.pages.document import document, fold, table
from toolkit.pages.slider import SLIDER_STYLE, View, slider
from toolkit.quality.data import Pixels
from toolkit.quality.measurement import PATCH, worst_patch
from toolkit.quality.subjects import report_name
from toolkit.quality.videos.coding import Low
from toolkit.quality.videos.meter import Worst
from toolkit.quality.videos.references import Planes
from toolkit.quality.videos.report import (
    ClipScore,
    PlaneMetrics,
    ScaleReport,
    VideoQualityReport,
    VideoSubjectReport,
    mean_metrics,
)
from toolkit.quoting import html
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import write_bytes
from toolkit.workloads import Shape

_SHOWN = Shape(480, 720)
"""Largest part of a frame that is shown: a page with whole 4K frames would not open."""

COLUMNS = ("PSNR-Y", "-U", "-V", "SSIM-Y", "-U ", "-V ", "flicker", "VMAF", "gain")

_EXPLAINED = (
    "PSNR (dB) and SSIM of luma and chroma in the format of the reference, means over frames. Flicker is the mean "
    "absolute difference between the luma errors of consecutive frames, in grey levels. Gain is dB of PSNR-Y over "
    "bicubic. Below, drag the lower end of a line to move it."
)


def cells(metrics: PlaneMetrics, bicubic: PlaneMetrics) -> list[str]:
    """A row of `COLUMNS`."""
    psnrs = [f"{value:.2f}" for value in (metrics.psnr_y, metrics.psnr_u, metrics.psnr_v)]
    ssims = [f"{value:.4f}" for value in (metrics.ssim_y, metrics.ssim_u, metrics.ssim_v)]
    vmaf = "–" if metrics.vmaf is None else f"{metrics.vmaf:.2f}"
    gain = "" if metrics is bicubic else f"{metrics.psnr_y - bicubic.psnr_y:+.3f}"
    return [*psnrs, *ssims, f"{metrics.flicker:.3f}", vmaf, gain]


@dataclass(frozen=True)
class _Shot:
    """The worst frame of a network among clips of one kind: where its worst patch is, and the pictures around it."""

    clip: str
    frame: int
    psnr_y: float
    corner: tuple[int, int]
    views: tuple[View, ...]


class SliderPage:
    """Collects the worst frame of every network and kind of input, and writes the page."""

    def __init__(self) -> None:
        self._shots: dict[tuple[int, str, str, str, str], _Shot] = {}

    def offers(self, subject: Subject, low: Low) -> Callable[[Worst], None]:
        """A function that keeps a frame if it is the worst of its kind so far."""
        key = subject.scale, report_name(subject), subject.runtime, subject.precision, low.label

        def offer(worst: Worst) -> None:
            known = self._shots.get(key)
            if known is None or worst.psnr_y < known.psnr_y:
                self._shots[key] = _shot(worst, low.clip.name)

        return offer

    def write(self, path: Path, report: VideoQualityReport, *, overwrite: bool) -> None:
        """Write the page.

        Raises:
            InputError: it cannot be written.
            OutputExists: it exists, and `overwrite` is false.
        """
        vmaf = f"VMAF: {', '.join(report.vmaf_models)}." if report.vmaf_models else f"No VMAF: {report.vmaf_missing}"
        content = [f"<p>{html(_EXPLAINED)}</p><p>{html(vmaf)}</p>"]
        for scale in report.scales:
            content.append(f"<h2>{html(f'x{scale.scale}')}</h2>{_means(scale)}{_clips(scale)}")
            content += [self._subject(scale, subject) for subject in scale.subjects]
        page = document("Video quality", content, style=SLIDER_STYLE, images=True)
        write_bytes(path, page.encode(), overwrite=overwrite)

    def _subject(self, scale: ScaleReport, subject: VideoSubjectReport) -> str:
        ran = f"Stored in {subject.precision}, computed in {subject.ran}."
        parts = [f"<p class='marked'>{html(ran)}</p>"] if subject.ran else []
        for label in scale.groups():
            shot = self._shots[scale.scale, subject.name, subject.runtime, subject.precision, label]
            key = f"s{list(self._shots.values()).index(shot)}"
            where = f"{shot.clip}, frame {shot.frame}: {shot.psnr_y:.2f} dB PSNR-Y"
            title = f"{subject.name}, {subject.precision} on {subject.runtime}, {label}: worst frame"
            top, left = shot.corner
            note = f"{where}; the part of it around the largest error, from {left},{top} on."
            parts.append(f"<h3>{html(title)}</h3><p>{html(note)}</p>{slider(key, shot.views, left=0, right=2)}")
        return "".join(parts)


def _shot(worst: Worst, clip: str) -> _Shot:
    original, result = worst.frame.rgb(), _picture(worst.result, worst.white)
    shape = Shape(*original.shape[:2])
    row, column = worst_patch(result, original, 0).corner
    corner = _corner(row, shape.height, _SHOWN.height), _corner(column, shape.width, _SHOWN.width)
    part = tuple(slice(start, start + side) for start, side in zip(corner, _SHOWN.sides, strict=True))
    kernels = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}
    views = [
        View(name, _picture(enlarged(worst.planes, Shape(*worst.whole), worst.white, kernel), worst.white)[part])
        for name, kernel in kernels.items()
    ]
    views += [View("network", result[part]), View("original", original[part])]
    # Rows and columns beyond the reference are not shown.
    height, width = views[-1].pixels.shape[:2]
    trimmed = tuple(View(view.caption, view.pixels[:height, :width].copy()) for view in views)
    return _Shot(clip, worst.number, worst.psnr_y, corner, trimmed)


def _corner(place: int, side: int, shown: int) -> int:
    """First row or column of the part that is shown, with the patch at `place` in its middle where it can be."""
    return max(0, min(place + PATCH // 2 - shown // 2, side - shown))


def _picture(planes: Planes, white: int) -> Pixels:
    """Planes as uint8 (H, W, 3)."""
    samples: NDArray[Any] = planes.transpose(1, 2, 0)
    if white == 255:
        return np.ascontiguousarray(samples)
    return np.rint(samples * (255 / white)).astype(np.uint8)


def _means(scale: ScaleReport) -> str:
    rows = []
    for label, positions in scale.groups().items():
        baseline = mean_metrics([scale.inputs[index].bicubic for index in positions])
        for name, runtime, scores in scale.methods():
            mean = baseline if name == "bicubic" and not runtime else mean_metrics([scores[i] for i in positions])
            rows.append([label, name, runtime, *cells(mean, baseline)])
    return table(("input", "method", "runtime", *COLUMNS), rows, texts=3)


def _clips(scale: ScaleReport) -> str:
    """A collapsed table of all clips."""
    rows = []
    for index, item in enumerate(scale.inputs):
        rate = "" if item.kbit_s is None else f"{item.kbit_s:.0f}"
        size = f"{item.width}×{item.height}, {item.frames} frames"
        for name, runtime, scores in scale.methods():
            numbers = cells(scores[index].metrics, item.bicubic.metrics)
            texts = _named(item.clip, item.file), item.input, size, name, runtime
            rows.append([*texts, rate, *numbers, _worst(scores[index])])
    header = ("clip", "input", "size", "method", "runtime", "kbit/s", *COLUMNS, "worst frame")
    return fold(f"{len(scale.inputs)} clips", table(header, rows, texts=5))


def _named(clip: str, file: str) -> str:
    return f"{clip} from {file}" if file else clip


def _worst(score: ClipScore) -> str:
    return f"{score.worst_frame}: {score.worst_psnr_y:.2f} dB"

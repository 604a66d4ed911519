"""An HTML page, complete in itself, with the pictures that numbers stand for."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.quality.data import Pixels
from toolkit.quality.measurement import Metrics
from toolkit.quality.report import ImageReport, NetworkReport, QualityReport, SubjectReport
from toolkit.quality.subjects import Subject
from toolkit.quoting import html
from toolkit.system.atomic import write_bytes

_SHOWN = 3
"""Patches of each subject."""

_SIDE = 192
"""Pixels that a patch is shown with."""

_MOST_AMPLIFIED = 32
"""A single grey level of difference need not look like a catastrophe."""

_STYLE = """
:root{color-scheme:light dark;--text:#222;--page:#fff;--line:#ddd;--quiet:#666;--empty:#eee;--bad:#b00020}
@media(prefers-color-scheme:dark){
:root{--text:#ddd;--page:#181818;--line:#3a3a3a;--quiet:#a0a0a0;--empty:#2a2a2a;--bad:#ff6b6b}}
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:92em;padding:0 1em;color:var(--text);
background:var(--page)}
table{border-collapse:collapse;margin:1em 0}
th,td{padding:.25em .8em;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}
.patch{display:grid;grid-template-columns:repeat(7,minmax(0,192px));gap:.6em;margin-bottom:1.2em}
@media(max-width:60em){.patch{grid-template-columns:repeat(auto-fill,minmax(8em,1fr))}}
figure{margin:0}figcaption,details{font-size:13px;color:var(--quiet)}summary{cursor:pointer}
img{image-rendering:pixelated;display:block;width:100%;aspect-ratio:1;object-fit:contain;background:var(--empty)}
.over{color:var(--bad);font-weight:600}h3{margin-bottom:.3em}p{margin:.6em 0 .3em}
"""


@dataclass(frozen=True)
class Views:
    """One patch: the low-resolution image, what was made of it, and the original; all RGB (H, W, 3)."""

    low: Pixels
    bicubic: Pixels
    result: Pixels
    fp32: Pixels
    original: Pixels


class Pictures:
    """The worst patches of every subject, gathered while it runs."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], list[tuple[ImageReport, Views]]] = {}

    def offer(self, subject: Subject, image: ImageReport, views: Callable[[], Views]) -> None:
        """Keep the patch if it is among the subject's worst; `views` is only called then."""
        kept = self._kept.setdefault((subject.name, subject.runtime, subject.precision), [])
        if len(kept) < _SHOWN or image.patch_difference > kept[-1][0].patch_difference:
            kept.append((image, views()))
            kept.sort(key=lambda found: -found[0].patch_difference)
            del kept[_SHOWN:]

    def write(self, path: Path, report: QualityReport, *, overwrite: bool = False) -> None:
        """The page, at `path`.

        Raises:
            InputError: it cannot be written.
            OutputExists: it exists, and `overwrite` is false.
        """
        parts = [
            "<!doctype html><html lang='en'><meta charset='utf-8'><title>RT4KSR quality</title>",
            "<meta name='viewport' content='width=device-width'>",
            f"<style>{_STYLE}</style>",
            f"<h1>Quality</h1><p>Low-resolution images: {html(report.degradation)}, where a set has none.</p>",
        ]
        for network in report.networks:
            reference = network.subjects[0]
            parts.append(_summary(network))
            parts += [self._subject(subject, reference) for subject in network.subjects]
        write_bytes(path, "\n".join(parts).encode(), overwrite=overwrite)

    def _subject(self, subject: SubjectReport, reference: SubjectReport) -> str:
        kept = self._kept.get((subject.name, subject.runtime, subject.precision), [])
        against = "the original" if subject.reference else "fp32"
        title = f"{subject.name}, {subject.precision} on {subject.runtime}: patches furthest from {against}"
        ran = f"Stored {subject.precision}, computed {subject.ran}."
        ran = f"<p class='over'>{html(ran)}</p>" if subject.ran else ""
        patches = "".join(_patch(image, views, alone=subject.reference) for image, views in kept)
        return f"<h3>{html(title)}</h3>{ran}{patches}{_images(subject, reference)}"


def _summary(network: NetworkReport) -> str:
    heads = ("what", "runtime", *_METRICS, "gain lost", "worst image", "worst patch", "")
    rows = [_row(["bicubic", "", *_metrics(network.bicubic), "", "", "", ""])]
    for subject in network.subjects:
        name = f"{subject.name} ({subject.precision})"
        rows.append(_row([name, subject.runtime, *_metrics(subject.mean), *_spent(subject)], over=not subject.passed))
    cut = f"; all images cut to {network.cut_to} (low resolution)" if network.cut_to else ""
    return (
        f"<h2>{html(network.name)}</h2><p>Gain over bicubic: {network.gain:.3f} dB PSNR-Y; border of "
        f"{network.border} pixels left out{html(cut)}.</p>{_table(heads, rows)}"
    )


def _spent(subject: SubjectReport) -> list[str]:
    """Shares of the gain and grey levels, each with what is allowed where a budget was asked for."""
    if subject.reference:
        return ["", "", "", ""]
    shares = (subject.spent, subject.worst_image_spent)
    cells = ["–" if share is None else f"{share:.2%}" for share in shares]
    cells.append(f"{subject.worst_patch.patch_difference:.2f}")
    if subject.verdict is None:
        return [*cells, ""]
    allowed = subject.verdict.allowed
    bounds = f"{allowed.mean:.1%}", f"{allowed.worst_image:.1%}", f"{allowed.worst_patch:g}"
    cells = [f"{cell} of {bound}" for cell, bound in zip(cells, bounds, strict=True)]
    return [*cells, "ok" if subject.passed else "over budget"]


def _images(subject: SubjectReport, reference: SubjectReport) -> str:
    """Every image, in a table that is folded up."""
    difference = "worst patch against " + ("original" if subject.reference else "fp32")
    heads = ("image", "size", *_METRICS, "bicubic PSNR-Y", "PSNR-Y lost", difference)
    rows = []
    for image, exact in zip(subject.images, reference.images, strict=True):
        lost = "" if subject.reference else f"{exact.metrics.psnr_y - image.metrics.psnr_y:.3f}"
        place = f"{image.patch_difference:.2f} at {image.patch[1]},{image.patch[0]}"
        size = f"{image.width}×{image.height}"
        rows.append(_row([image.label, size, *_metrics(image.metrics), f"{image.bicubic.psnr_y:.3f}", lost, place]))
    return f"<details><summary>{len(rows)} images</summary>{_table(heads, rows)}</details>"


_METRICS = ("PSNR-Y", "PSNR-RGB", "SSIM-Y", "SSIM-RGB")


def _metrics(mean: Metrics) -> list[str]:
    return [f"{mean.psnr_y:.3f}", f"{mean.psnr_rgb:.3f}", f"{mean.ssim_y:.4f}", f"{mean.ssim_rgb:.4f}"]


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    return f"<table><tr>{''.join(f'<th>{html(head)}</th>' for head in heads)}</tr>{''.join(rows)}</table>"


def _row(cells: Sequence[str], *, over: bool = False) -> str:
    *most, last = (html(cell) for cell in cells)
    marked = " class='over'" if over else ""
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in most)}<td{marked}>{last}</td></tr>"


def _patch(image: ImageReport, views: Views, *, alone: bool) -> str:
    """`alone`: there is no other fp32 to show beside it."""
    top, left = image.patch
    title = f"{image.label} at {left},{top}: {image.patch_difference:.2f} grey levels (RMS, luma)"
    error, gain = _error_map(views.result, views.original)
    difference, times = _difference(views.result, views.fp32)
    figures = [("LR", views.low), ("bicubic", views.bicubic), ("this", views.result)]
    figures += [] if alone else [("fp32", views.fp32)]
    figures += [("original", views.original), (f"error of this ×{gain}", error)]
    figures += [] if alone else [(f"this − fp32, ×{times}", difference)]
    shown = "".join(
        f"<figure><img src='data:image/png;base64,{_png(pixels)}' alt='{html(caption)}'>"
        f"<figcaption>{html(caption)}</figcaption></figure>"
        for caption, pixels in figures
    )
    return f"<p>{html(title)}</p><div class='patch'>{shown}</div>"


def _error_map(result: Pixels, original: Pixels) -> tuple[Pixels, int]:
    """Absolute error, brightened by a power of two so that the largest is nearly white."""
    error = np.abs(result.astype(int) - original)
    gain = _brightening(error, 255)
    return np.clip(error * gain, 0, 255).astype(np.uint8), gain


def _difference(result: Pixels, other: Pixels) -> tuple[Pixels, int]:
    """Signed difference around middle grey, amplified by a power of two."""
    difference = result.astype(int) - other
    gain = min(_brightening(np.abs(difference), 127), _MOST_AMPLIFIED)
    return np.clip(128 + difference * gain, 0, 255).astype(np.uint8), gain


def _brightening(magnitudes: NDArray[np.int_], full: int) -> int:
    """The power of two that brings the largest near to `full`."""
    return 1 << max((full // max(int(magnitudes.max()), 1)).bit_length() - 1, 0)


def _png(pixels: Pixels) -> str:
    stream = io.BytesIO()
    factor = max(_SIDE // max(pixels.shape[:2]), 1)
    Image.fromarray(np.ascontiguousarray(pixels.repeat(factor, 0).repeat(factor, 1))).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()

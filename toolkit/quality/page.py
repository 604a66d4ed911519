"""An HTML page, complete in itself, with the pictures that numbers stand for."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from toolkit.atomic import write_bytes
from toolkit.quality.data import Pixels
from toolkit.quality.measurement import Metrics
from toolkit.quality.report import ImageReport, NetworkReport, QualityReport, SubjectReport
from toolkit.quality.subjects import Subject

_SHOWN = 3
"""Patches of each subject."""

_SIDE = 192
"""Pixels that a patch is shown with."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:84em;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .8em;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}
figure{display:inline-block;margin:0 .6em .6em 0}figcaption{font-size:13px;color:#555}
img{image-rendering:pixelated;display:block;width:192px;height:192px;object-fit:contain;background:#eee}
.over{color:#b00;font-weight:600}h3{margin-bottom:.3em}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}figcaption{color:#aaa}}
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

    def write(self, path: Path, report: QualityReport) -> None:
        """The page, at `path`.

        Raises:
            InputError: it cannot be written.
        """
        parts = [
            "<!doctype html><html lang='en'><meta charset='utf-8'><title>RT4KSR quality</title>",
            f"<style>{_STYLE}</style>",
            f"<h1>Quality</h1><p>Low-resolution images: {html.escape(report.degradation)}, where a set has none.</p>",
        ]
        for network in report.networks:
            parts += [_summary(network), *(self._subject(subject) for subject in network.subjects)]
        write_bytes(path, "\n".join(parts).encode())

    def _subject(self, subject: SubjectReport) -> str:
        kept = self._kept.get((subject.name, subject.runtime, subject.precision), [])
        against = "the original" if subject.reference else "fp32"
        title = f"{subject.name}, {subject.precision} on {subject.runtime}: patches furthest from {against}"
        return f"<h3>{html.escape(title)}</h3>" + "".join(_patch(image, views) for image, views in kept)


def _summary(network: NetworkReport) -> str:
    rows: list[tuple[str, str, Metrics, float | None, str]] = [("bicubic", "", network.bicubic, None, "")]
    for subject in network.subjects:
        over = "" if subject.passed else "over budget"
        rows.append((f"{subject.name} {subject.precision}", subject.runtime, subject.mean, subject.spent, over))
    body = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(runtime)}</td><td>{mean.psnr_y:.3f}</td>"
        f"<td>{mean.psnr_rgb:.3f}</td><td>{mean.ssim_y:.4f}</td><td>{mean.ssim_rgb:.4f}</td>"
        f"<td>{'' if spent is None else f'{spent:.1%}'}</td><td class='over'>{over}</td></tr>"
        for name, runtime, mean, spent, over in rows
    )
    return (
        f"<h2>{html.escape(network.name)}</h2><p>Gain over bicubic: {network.gain:.3f} dB PSNR-Y; border of "
        f"{network.border} pixels left out.</p><table><tr><th>what</th><th>runtime</th><th>PSNR-Y</th><th>PSNR-RGB</th>"
        f"<th>SSIM-Y</th><th>SSIM-RGB</th><th>gain spent</th><th></th></tr>{body}</table>"
    )


def _patch(image: ImageReport, views: Views) -> str:
    top, left = image.patch
    title = f"{image.group}/{image.name} at {left},{top}: {image.patch_difference:.2f} grey levels (RMS, luma)"
    error, gain = _error_map(views.result, views.original)
    figures = [
        ("LR", views.low),
        ("bicubic", views.bicubic),
        ("this", views.result),
        ("fp32", views.fp32),
        ("original", views.original),
        (f"error of this ×{gain}", error),
        ("this − fp32, ×32", _difference(views.result, views.fp32, 32)),
    ]
    shown = "".join(
        f"<figure><img src='data:image/png;base64,{_png(pixels)}' alt='{html.escape(caption)}'>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, pixels in figures
    )
    return f"<p>{html.escape(title)}</p>{shown}"


def _error_map(result: Pixels, original: Pixels) -> tuple[Pixels, int]:
    """Absolute error, brightened by a power of two so that the largest is nearly white."""
    largest = max(int(np.abs(result.astype(int) - original).max()), 1)
    gain = 1 << max((255 // largest).bit_length() - 1, 0)
    return np.clip(np.abs(result.astype(int) - original) * gain, 0, 255).astype(np.uint8), gain


def _difference(result: Pixels, other: Pixels, gain: int) -> Pixels:
    """Signed, around middle grey."""
    return np.clip(128 + (result.astype(int) - other) * gain, 0, 255).astype(np.uint8)


def _png(pixels: Pixels) -> str:
    stream = io.BytesIO()
    factor = max(_SIDE // max(pixels.shape[:2]), 1)
    Image.fromarray(np.ascontiguousarray(pixels.repeat(factor, 0).repeat(factor, 1))).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()

"""Quality reports as one HTML page: what each precision loses, and its worst patches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.pages.charts import COLOURS, Spread, spreads
from toolkit.pages.document import document, figure, figures, fold, table
from toolkit.pages.slider import png_url
from toolkit.quality.data import Pixels
from toolkit.quality.measurement import Metrics
from toolkit.quality.report import ImageReport, NetworkReport, QualityReport, SubjectReport
from toolkit.quality.subjects import report_name
from toolkit.quoting import html
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import write_bytes

_SHOWN = 3
"""Number of patches shown per network."""

_SIDE = 192
"""Size of a shown patch in pixels."""

_MOST_AMPLIFIED = 32
"""Largest amplification of a difference, so that one grey level does not look like a large error."""

_VISIBLE = 98
"""Percentile of a map's magnitudes that is shown at full contrast: the largest alone would leave the rest black."""

_LEAST_LOSS = 1e-3
"""Share of the mean gain below which losses are drawn alike: an axis of logarithms has no 0."""

_STYLE = """
.patch{display:grid;grid-template-columns:repeat(7,minmax(0,192px));gap:.6em;margin-bottom:1.2em}
@media(max-width:60em){.patch{grid-template-columns:repeat(auto-fill,minmax(8em,1fr))}}
.patch figure{padding:0;border:0;background:none}
img{image-rendering:pixelated;display:block;width:100%;aspect-ratio:1;object-fit:contain;background:var(--card)}
"""
"""Style of patches, in addition to that of all pages."""


@dataclass(frozen=True)
class Views:
    """One patch of the low-resolution image, the upscaled images and the original; all RGB uint8 (H, W, 3)."""

    low: Pixels
    bicubic: Pixels
    result: Pixels
    fp32: Pixels
    original: Pixels


class Pictures:
    """Collects the worst patches of every network during an evaluation."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], list[tuple[ImageReport, Views]]] = {}

    def offer(self, subject: Subject, image: ImageReport, views: Callable[[], Views]) -> None:
        """Keep the patch if it is among the worst of its network; `views` is called only then."""
        kept = self._kept.setdefault((report_name(subject), subject.runtime, subject.precision), [])
        if len(kept) < _SHOWN or image.patch_difference > kept[-1][0].patch_difference:
            kept.append((image, views()))
            kept.sort(key=lambda found: -found[0].patch_difference)
            del kept[_SHOWN:]

    def write(self, path: Path, report: QualityReport, *, overwrite: bool = False) -> None:
        """Write the page.

        Raises:
            InputError: it cannot be written.
            OutputExists: it exists, and `overwrite` is false.
        """
        degradation = f"Low-resolution images: {report.degradation}, unless a set has its own."
        content = [f"<p>{html(degradation)}</p>"]
        for network in report.networks:
            reference = network.subjects[0]
            content += _summary(network)
            content += [self._subject(subject, reference) for subject in network.subjects]
        page = document("RT4KSR image quality", content, style=_STYLE, images=True)
        write_bytes(path, page.encode(), overwrite=overwrite)

    def _subject(self, subject: SubjectReport, reference: SubjectReport) -> str:
        kept = self._kept.get((subject.name, subject.runtime, subject.precision), [])
        against = "the original" if subject.reference else "fp32"
        title = f"{subject.name}, {_configuration(subject)}: where it differs most from {against}"
        ran = f"Stored in {subject.precision}, computed in {subject.ran}."
        ran = f"<p class='marked'>{html(ran)}</p>" if subject.ran else ""
        patches = "".join(_patch(image, views, subject) for image, views in kept)
        return f"<h3>{html(title)}</h3>{ran}{patches}{_images(subject, reference)}"


def _summary(network: NetworkReport) -> Iterator[str]:
    """What decides first; all numbers are behind a fold."""
    reference, *others = network.subjects
    cut = f"; all images cropped to {network.cut_to} (low resolution)" if network.cut_to else ""
    explained = (
        f"Means over {len(reference.images)} images; a border of {network.border} pixels is ignored{cut}. Gain lost: "
        "share of the gain over bicubic that is lost compared with fp32; worst patch: its difference from fp32, of 255 "
        "grey levels."
    )
    yield f"<h2>{html(network.name)}</h2>"
    yield f"<p class='headline'>{html(_headline(network))}</p><p class='soft'>{html(explained)}</p>"
    rows = [["bicubic", f"{network.bicubic.psnr_y:.2f}", f"{network.bicubic.ssim_y:.4f}", "", "", ""]]
    for subject in network.subjects:
        mean = subject.mean
        lost = "" if subject.spent is None else f"{subject.spent:.1%}"
        patch = "" if subject.reference else f"{subject.worst_patch.patch_difference:.2f}"
        name = f"{subject.name} ({subject.precision}), {subject.runtime}"
        rows.append([name, f"{mean.psnr_y:.2f}", f"{mean.ssim_y:.4f}", lost, patch, _verdict(subject)])
    over = len(_OVERVIEW) - 1
    marked = [None, *(None if subject.passed else over for subject in network.subjects)]
    yield table(_OVERVIEW, rows, texts=1, marked=marked)
    yield fold("All columns", _all_columns(network))
    if others and len(reference.images) > 1 and network.gain > 0:
        yield figures([_losses(network)])


def _headline(network: NetworkReport) -> str:
    reference, *others = network.subjects
    gain = (
        f"{reference.name} is {network.gain:.2f} dB (PSNR-Y) better than bicubic interpolation"
        if network.gain > 0
        else f"{reference.name} is no better than bicubic interpolation ({network.gain:.2f} dB PSNR-Y)"
    )
    parts = [
        f"{_configuration(subject)} loses {subject.spent:.1%} of that"
        + ("" if subject.verdict is None else ", within its budget" if subject.passed else ", more than its budget")
        for subject in others
        if subject.spent is not None
    ]
    return "; ".join([gain, *parts]) + "."


def _configuration(subject: SubjectReport) -> str:
    return f"{subject.precision} on {subject.runtime}"


def _verdict(subject: SubjectReport) -> str:
    return "" if subject.verdict is None else "ok" if subject.passed else "over budget"


def _losses(network: NetworkReport) -> str:
    """The loss of every image, on an axis of logarithms: most lie close to 0, and the worst far from it."""
    reference, *others = network.subjects
    least = _LEAST_LOSS * network.gain
    rows = []
    for number, subject in enumerate(others):
        lost = [
            exact.metrics.psnr_y - image.metrics.psnr_y
            for exact, image in zip(reference.images, subject.images, strict=True)
        ]
        mean = reference.mean.psnr_y - subject.mean.psnr_y
        values = [max(value, least) for value in lost]
        value = f"mean {mean:.3f} dB, worst {max(lost):.3f} dB"
        rows.append(Spread(_configuration(subject), value, values, max(mean, least), None, f"c{number % COLOURS}"))
    marks = [(share * network.gain, f"{share:.0%} of the gain") for share in (0.01, 0.1)]
    title = "PSNR-Y lost in each image"
    caption = (
        "Compared with fp32; further left is better. Vertical line: mean. Images that lose less than "
        f"{_LEAST_LOSS:.1%} of the mean gain, or nothing, are at the left end."
    )
    return figure(title, spreads(title, rows, "dB lost", marks), caption)


def _all_columns(network: NetworkReport) -> str:
    header = ("network", "runtime", *_METRICS, "gain lost", "worst image", "worst patch", "budget")
    rows = [["bicubic", "", *_metrics(network.bicubic), "", "", "", ""]]
    for subject in network.subjects:
        name = f"{subject.name} ({subject.precision})"
        rows.append([name, subject.runtime, *_metrics(subject.mean), *_lost(subject)])
    return table(header, rows, texts=2)


def _lost(subject: SubjectReport) -> list[str]:
    """Share of the gain lost on average and in the worst image, and the worst patch in grey levels, each with its limit
    if a budget was requested; then the verdict."""
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
    return [*cells, _verdict(subject)]


def _images(subject: SubjectReport, reference: SubjectReport) -> str:
    """A collapsed table of all images."""
    difference = "worst patch against " + ("original" if subject.reference else "fp32")
    header = ("image", "size", *_METRICS, "bicubic PSNR-Y", "PSNR-Y lost", difference)
    rows = []
    for image, exact in zip(subject.images, reference.images, strict=True):
        lost = "" if subject.reference else f"{exact.metrics.psnr_y - image.metrics.psnr_y:.3f}"
        place = f"{image.patch_difference:.2f} at {image.patch[1]},{image.patch[0]}"
        size = f"{image.width}×{image.height}"
        rows.append([image.label, size, *_metrics(image.metrics), f"{image.bicubic.psnr_y:.3f}", lost, place])
    return fold(f"{len(rows)} images", table(header, rows, texts=2))


_METRICS = ("PSNR-Y", "PSNR-RGB", "SSIM-Y", "SSIM-RGB")
_OVERVIEW = ("network", "PSNR-Y, dB", "SSIM-Y", "gain lost", "worst patch", "budget")


def _metrics(mean: Metrics) -> list[str]:
    return [f"{mean.psnr_y:.3f}", f"{mean.psnr_rgb:.3f}", f"{mean.ssim_y:.4f}", f"{mean.ssim_rgb:.4f}"]


def _patch(image: ImageReport, views: Views, subject: SubjectReport) -> str:
    """A patch as a row of images. The fp32 reference is not shown twice in its own."""
    top, left = image.patch
    alone = subject.reference
    against = "the original" if alone else "fp32"
    height, width = views.original.shape[:2]
    title = (
        f"{image.label}, the {width}×{height} pixels at {left},{top}: they differ from {against} by "
        f"{image.patch_difference:.2f} of 255 grey levels (root mean square of luma)."
    )
    error, gain = _error_map(views.result, views.original)
    difference, times = _difference(views.result, views.fp32)
    shown = [("low resolution", views.low), ("bicubic", views.bicubic), (subject.precision, views.result)]
    shown += [] if alone else [("fp32", views.fp32)]
    shown += [("original", views.original), (f"error against the original ×{gain}; black: none", error)]
    shown += [] if alone else [(f"difference from fp32 ×{times}; grey: none, brighter: larger value", difference)]
    drawn = "".join(
        f"<figure><img src='{_enlarged_png(pixels)}' alt='{html(caption)}'>"
        f"<figcaption>{html(caption)}</figcaption></figure>"
        for caption, pixels in shown
    )
    return f"<p>{html(title)}</p><div class='patch'>{drawn}</div>"


def _error_map(result: Pixels, original: Pixels) -> tuple[Pixels, int]:
    """Absolute error, amplified by a power of two so that the largest errors are nearly white; and that factor."""
    error = np.abs(result.astype(int) - original)
    gain = min(_amplification(error, 255), _MOST_AMPLIFIED)
    return np.clip(error * gain, 0, 255).astype(np.uint8), gain


def _difference(result: Pixels, other: Pixels) -> tuple[Pixels, int]:
    """Signed difference around mid-grey, amplified by a power of two; and that factor."""
    difference = result.astype(int) - other
    gain = min(_amplification(np.abs(difference), 127), _MOST_AMPLIFIED)
    return np.clip(128 + difference * gain, 0, 255).astype(np.uint8), gain


def _amplification(magnitudes: NDArray[np.int_], full: int) -> int:
    """The largest power of two for which nearly all magnitudes stay at or below `full`; at least 1."""
    large = max(int(np.percentile(magnitudes, _VISIBLE, method="higher")), 1)
    return 1 << max((full // large).bit_length() - 1, 0)


def _enlarged_png(pixels: Pixels) -> str:
    factor = max(_SIDE // max(pixels.shape[:2]), 1)
    return png_url(pixels.repeat(factor, 0).repeat(factor, 1))

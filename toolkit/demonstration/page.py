"""The page of the demonstration: a slider between the methods, what was checked, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from toolkit.pages.document import document, facts, table
from toolkit.pages.slider import SLIDER_STYLE, View, slider
from toolkit.quoting import html

if TYPE_CHECKING:
    from toolkit.demonstration.report import DemoReport
    from toolkit.quality.data import Pixels

_ENLARGED = 2
"""Each pixel is shown as a square of this side, because on dense screens single pixels are too small to compare."""

_NEXT = (
    ("toolkit upscale holiday.mp4 photos/ --to 4k", "Upscale your own files."),
    ("toolkit export my_network.pth", "Export your own checkpoint; an ONNX file: toolkit adopt model.onnx."),
    ("toolkit profile", "Compare all runtimes of this machine at 4K, with a report."),
    ("toolkit evaluate --images photos/", "Measure quality on your own pictures."),
)


def page(report: DemoReport, views: Mapping[str, Pixels], credit: str) -> str:
    """The page.

    Args:
        report: of the run.
        views: pictures of the same size by method, uint8 (H, W, 3).
        credit: of the picture.
    """
    names = list(views)
    shown = [View(_caption(name, report), _enlarged(pixels)) for name, pixels in views.items()]
    content = [
        f"<p>{html(_headline(report))}</p>",
        "<p>Drag the lower end of the line.</p>",
        slider("demo", shown, left=names.index("bicubic"), right=names.index("RT4KSR")),
        f"<p class='soft'>{html(credit)}</p>",
        "<h2>What was done</h2>",
        facts(_done(report)),
        "<h2>What to do next</h2>",
        table(("command", "what it does"), _NEXT, texts=2),
    ]
    return document("rt4ksr-toolkit: demonstration", content, style=SLIDER_STYLE, images=True)


def _headline(report: DemoReport) -> str:
    gain = report.psnr_y["RT4KSR"] - report.psnr_y["bicubic"]
    lanczos = report.psnr_y["RT4KSR"] - report.psnr_y["Lanczos"]
    return (
        f"A picture was reduced to half its size and enlarged again. RT4KSR comes {gain:.1f} dB closer to the original "
        f"than bicubic interpolation, and {lanczos:.1f} dB closer than Lanczos (PSNR of luma)."
    )


def _caption(name: str, report: DemoReport) -> str:
    return f"{name} ({report.psnr_y[name]:.2f} dB)" if name in report.psnr_y else name


def _enlarged(pixels: Pixels) -> Pixels:
    return pixels.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)


def _done(report: DemoReport) -> dict[str, str]:
    seconds = report.seconds
    before, after = report.parameters
    times = "; ".join(
        f"{time.runtime}: {time.reason}"
        if time.seconds is None
        else f"{time.runtime} {1000 * time.seconds:.0f} ms ({1 / time.seconds:.1f} frames per second)"
        for time in report.frame_times
    )
    return {
        f"export, {seconds['export']:.0f} s": f"{report.artifact.name}, {report.onnx_bytes:,} bytes; parameters "
        f"{before:,} before merging, {after:,} after",
        f"proof, {seconds['proof']:.0f} s": f"all {report.checks} checks passed: merged network and graph compute "
        f"what the trained network computes; largest error of merged blocks {report.largest_error:.1e} in float64"
        if report.passed
        else "a check FAILED; toolkit verify-fusion shows which",
        f"frame times, {seconds['frame times']:.0f} s": f"{report.workload} on the CPU: {times}. A short measurement; "
        "measure properly with: toolkit profile.",
    }

"""Exports the toolkit's own x2 weights, proves the merge, upscales a picture, measures frame times, writes a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from toolkit.artifact import Artifact
from toolkit.demonstration.page import page
from toolkit.demonstration.report import DemoReport, FrameTime
from toolkit.graph.export import export
from toolkit.images.resizing import downscaled
from toolkit.media.image_upscaler import Upscaler
from toolkit.network.bundled import bundled_checkpoint
from toolkit.profiling.options import ProfileOptions
from toolkit.profiling.profile import profile
from toolkit.quality.data import Pixels, bicubic
from toolkit.quality.measurement import measure
from toolkit.runtimes.registry import default_runtime
from toolkit.system.atomic import check_outputs, write_bytes
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.verification.fusion import FusionReport, verify_fusion
from toolkit.workloads import WORKLOADS

SCALE = 2
_WORKLOAD = WORKLOADS["1080p-4k"].name
PAGE = "index.html"
CREDIT = "Eileen Collins, photograph by NASA (public domain), from scikit-image."

_REFERENCE = "ort-cpu"
"""What the default runtime is compared with."""

_SECONDS = 2.0
"""Of frames per runtime: enough for the order of the frame time, which is all that a demonstration claims."""

_Result = TypeVar("_Result")


def demo(
    directory: Path | str = "demo", progress: ProgressCallback = no_progress, *, overwrite: bool = False
) -> DemoReport:
    """Run the whole chain once. Needs no network, no checkpoint and no pictures.

    Args:
        directory: where the artifact and the page are written; created if it is missing.
        progress: called as each step begins.
        overwrite: replace the page of an earlier run.

    Raises:
        OutputExists: there is such a page.
        CheckFailed: the exported graph failed a check.

    Example:
        >>> toolkit.demonstration("demo").passed  # doctest: +SKIP
        True
    """
    directory = Path(directory)
    output = directory / PAGE
    check_outputs(output, overwrite=overwrite)
    clock = _Clock(progress)
    checkpoint = bundled_checkpoint(SCALE)
    artifact = clock.timed("export", lambda: export(checkpoint, directory=directory, overwrite=overwrite))
    proof = clock.timed("proof", lambda: verify_fusion(checkpoint, artifact, full_frame=False))
    original = picture()
    low = downscaled(original, SCALE)
    views = clock.timed("upscaling", lambda: _views(low, original, artifact))
    times = clock.timed("frame times", lambda: _frame_times(artifact))
    report = _report(output, artifact, proof, _scores(views, original), times, clock.seconds)
    write_bytes(output, page(report, views, CREDIT).encode(), overwrite=overwrite)
    return report


def picture() -> Pixels:
    """The picture of the demonstration, uint8 (320, 384, 3)."""
    with (files("toolkit.demonstration") / "astronaut.png").open("rb") as stream, Image.open(stream) as image:
        return np.asarray(image.convert("RGB"))


class _Clock:
    """Runs steps one after the other and keeps their durations."""

    def __init__(self, progress: ProgressCallback) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    def timed(self, name: str, step: Callable[[], _Result]) -> _Result:
        self._progress(Progress(name))
        begun = time.monotonic()
        result = step()
        self.seconds[name] = time.monotonic() - begun
        return result


def _views(low: Pixels, original: Pixels, artifact: Artifact) -> dict[str, Pixels]:
    """The low-resolution picture, enlarged by every method, and the original."""
    size = original.shape[1], original.shape[0]
    with Upscaler(artifact) as upscale:
        result = upscale(low)
    return {
        "bicubic": bicubic(low, SCALE),
        "Lanczos": np.asarray(Image.fromarray(low).resize(size, Image.Resampling.LANCZOS)),
        "RT4KSR": result,
        "original": original,
    }


def _scores(views: Mapping[str, Pixels], original: Pixels) -> dict[str, float]:
    return {name: measure(view, original, SCALE).metrics.psnr_y for name, view in views.items() if view is not original}


def _frame_times(artifact: Artifact) -> tuple[FrameTime, ...]:
    """On the runtime that `upscale` takes by default, and on ONNX Runtime."""
    runtimes = tuple(dict.fromkeys((default_runtime(artifact), _REFERENCE)))
    options = ProfileOptions(duration=_SECONDS, roofline=False)
    report = profile([artifact], runtimes, [_WORKLOAD], options=options, baseline=False)
    return tuple(
        FrameTime(cell.runtime, None if cell.statistics is None else cell.statistics.median, cell.reason)
        for cell in report.cells
    )


def _report(
    output: Path,
    artifact: Artifact,
    proof: FusionReport,
    scores: dict[str, float],
    times: tuple[FrameTime, ...],
    seconds: dict[str, float],
) -> DemoReport:
    manifest = artifact.manifest
    return DemoReport(
        output,
        artifact.path,
        manifest.onnx_bytes,
        (manifest.source.parameters, manifest.network.parameters),
        len(proof.checks),
        proof.passed,
        max(block.measured for block in proof.blocks),
        scores,
        _WORKLOAD,
        times,
        seconds,
    )

"""What a demonstration did."""

from __future__ import annotations

from pathlib import Path

import msgspec


class FrameTime(msgspec.Struct, frozen=True):
    """Median frame time of the 4K workload on a runtime, in seconds; `reason` says why there is none."""

    runtime: str
    seconds: float | None
    reason: str = ""


class DemoReport(msgspec.Struct, frozen=True):
    """What the demonstration did, in the order in which it did it.

    Attributes:
        page: the HTML page.
        artifact: the exported ONNX file, of `onnx_bytes` bytes.
        parameters: before and after the merge.
        checks: number of checks that merged network and graph passed; `largest_error` is that of merged blocks in
            float64.
        psnr_y: by method, in dB, against the original of the picture.
        workload: what `frame_times` are of.
        seconds: duration of each step, by name.
    """

    page: Path
    artifact: Path
    onnx_bytes: int
    parameters: tuple[int, int]
    checks: int
    passed: bool
    largest_error: float
    psnr_y: dict[str, float]
    workload: str
    frame_times: tuple[FrameTime, ...]
    seconds: dict[str, float]

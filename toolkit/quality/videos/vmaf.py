"""VMAF: Netflix's metric, computed by the `libvmaf` filter of an FFmpeg program while frames arrive."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.system.extras import how_to_install
from toolkit.system.probe import Availability
from toolkit.workloads import Shape

_4K_ROWS = 2160
_LOG = "vmaf.json"
_SECONDS = 60
_REMEDY = f"{how_to_install('vmaf')}, or put an FFmpeg with libvmaf on the PATH."


def model_of(shape: Shape) -> str:
    """The model for frames of a size: the one for 4K television, or the one for 1080p that is used for all else."""
    return "vmaf_4k_v0.6.1" if min(shape.sides) >= _4K_ROWS else "vmaf_v0.6.1"


@cache
def find_vmaf() -> Availability:
    """Whether an FFmpeg with libvmaf is there, of the package imageio-ffmpeg or on the PATH: `version` is its path.

    Each is tried on two frames, since a build may lack the filter or its models.
    """
    candidates = _candidates()
    for program in candidates:
        if _works(program):
            return Availability(True, version=program)
    found = ", ".join(candidates)
    reason = f"FFmpeg here has no libvmaf ({found})" if found else "there is no FFmpeg program"
    return Availability(False, reason, _REMEDY)


def _candidates() -> list[str]:
    found = []
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        package = importlib.import_module("imageio_ffmpeg")
        found.append(cast("Callable[[], str]", package.get_ffmpeg_exe)())
    on_path = shutil.which("ffmpeg")
    return list(dict.fromkeys([*found, *([on_path] if on_path else [])]))


def _works(program: str) -> bool:
    source = ["-f", "lavfi", "-i", "color=s=256x512:r=25:d=0.08"]
    try:
        with tempfile.TemporaryDirectory() as directory:
            command = [program, *_QUIET, *source, *_measuring(Shape(256, 256))]
            tried = subprocess.run(  # noqa: S603
                command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
            )
            return tried.returncode == 0 and (Path(directory) / _LOG).is_file()
    except (OSError, subprocess.TimeoutExpired):
        return False


_QUIET = ("-hide_banner", "-loglevel", "error", "-nostats")


def _measuring(shape: Shape) -> list[str]:
    """Arguments that compare the lower half of a frame with the upper half, the reference."""
    height, width = shape.sides
    graph = (
        f"format=yuv420p,split[a][b];[a]crop={width}:{height}:0:0[r];[b]crop={width}:{height}:0:{height}[d];"
        f"[d][r]libvmaf=model=version={model_of(shape)}:log_fmt=json:log_path={_LOG}"
    )
    return ["-filter_complex", graph, "-f", "null", "-"]


class _Metric(msgspec.Struct):
    mean: float


class _Log(msgspec.Struct):
    pooled_metrics: dict[str, _Metric]


class Vmaf:
    """The VMAF of a clip, whose frames are passed one at a time. It is a process, which ends with the `with` block.

    Reference and result go to it as one frame, the one above the other: so they arrive together, and the process holds
    only few of them. Only luma is passed, in 8 bits, since the models look at nothing else.
    """

    def __init__(self, program: str, shape: Shape) -> None:
        self._directory = tempfile.TemporaryDirectory()
        height, width = shape.sides
        size = f"{width}x{2 * height}"
        source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", "25", "-i", "pipe:0"]
        self._grey = bytes([128]) * (height * width)
        self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603
            [program, *_QUIET, *source, *_measuring(shape)],
            cwd=self._directory.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=(Path(self._directory.name) / "stderr").open("wb"),
        )

    def __enter__(self) -> Vmaf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._directory.cleanup()

    def add(self, result: NDArray[Any], reference: NDArray[Any], depth: int) -> None:
        """Compare the luma of a frame, (H, W) with `depth` bits per sample."""
        pipe = self._process.stdin
        if pipe is None:
            raise InputError("this measurement has ended")
        try:
            for luma in (reference, result):
                pipe.write(_in_8_bits(luma, depth).tobytes())
            pipe.write(self._grey)  # both planes of chroma: a quarter of twice the size each
        except BrokenPipeError as error:
            raise InputError(f"VMAF failed: {self._explained()}") from error

    def finish(self) -> float:
        """The mean over all frames, 0..100.

        Raises:
            InputError: FFmpeg failed.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()
            self._process.stdin = None
        if self._process.wait() != 0:
            raise InputError(f"VMAF failed: {self._explained()}")
        log = msgspec.json.decode((Path(self._directory.name) / _LOG).read_bytes(), type=_Log)
        return log.pooled_metrics["vmaf"].mean

    def _explained(self) -> str:
        lines = (Path(self._directory.name) / "stderr").read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "FFmpeg ended early"


def _in_8_bits(luma: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    if depth == 8:
        return np.ascontiguousarray(luma)
    return np.clip(np.rint(luma / (1 << (depth - 8))), 0, 255).astype(np.uint8)

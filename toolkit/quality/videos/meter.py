"""Metrics of a clip that is upscaled by several methods, computed frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.media.videos.chroma import Chroma
from toolkit.quality.measurement import BEST_PSNR
from toolkit.quality.metrics import PEAK, psnr, squared_error, ssim
from toolkit.quality.videos.coding import Low
from toolkit.quality.videos.references import Clip, Frame, Planes, Yuv
from toolkit.quality.videos.report import ClipScore, PlaneMetrics
from toolkit.quality.videos.vmaf import Vmaf


@dataclass(frozen=True)
class Method:
    """Upscales low-resolution planes (3, H, W), 0..white, to the size of the reference.

    `chroma` is where the chroma of the result comes from, as in `upscale`.
    """

    upscale: Callable[[Planes, int], Planes]
    chroma: Chroma = "network"


class Meter:
    """Collects the metrics of a method on a clip; `worst` is the number of its worst frame and its PSNR-Y."""

    def __init__(self, clip: Clip, vmaf: Vmaf | None) -> None:
        self._depth, self._vmaf = clip.depth, vmaf
        self._rows: list[tuple[float, ...]] = []
        self._flicker: list[float] = []
        self._error: NDArray[Any] | None = None
        self.worst = (0, float("inf"))

    def add(self, result: Yuv, reference: Yuv) -> bool:
        """Compare the next frame; returns whether it is the worst so far.

        Raises:
            InputError: a plane is too small for SSIM, or VMAF failed.
        """
        most = (1 << self._depth) - 1
        pairs = list(zip(result, reference, strict=True))
        psnrs = [min(psnr(squared_error(one, other) * (PEAK / most) ** 2), BEST_PSNR) for one, other in pairs]
        self._rows.append((*psnrs, *(ssim(*self._to_8_bits(pair)) for pair in pairs)))
        error = np.subtract(result[0], reference[0], dtype=np.int32)
        if self._error is not None:
            self._flicker.append(float(np.abs(error - self._error).mean()) * PEAK / most)
        self._error = error
        if self._vmaf is not None:
            self._vmaf.add(result[0], reference[0], self._depth)
        if psnrs[0] >= self.worst[1]:
            return False
        self.worst = len(self._rows) - 1, psnrs[0]
        return True

    def score(self) -> ClipScore:
        """The metrics of all frames."""
        y, u, v, ssim_y, ssim_u, ssim_v = np.mean(self._rows, axis=0).tolist()
        flicker = float(np.mean(self._flicker)) if self._flicker else 0.0
        vmaf = None if self._vmaf is None else self._vmaf.finish()
        return ClipScore(PlaneMetrics(y, u, v, ssim_y, ssim_u, ssim_v, flicker, vmaf), *self.worst)

    def _to_8_bits(self, planes: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Values on the scale 0..255, on which the constants of SSIM are defined."""
        if self._depth == 8:
            return list(planes)
        return [plane * np.float64(PEAK / ((1 << self._depth) - 1)) for plane in planes]


@dataclass(frozen=True)
class Worst:
    """The worst frame of a method so far.

    Attributes:
        number: of the frame, from 0.
        psnr_y: its PSNR-Y.
        planes: the low-resolution frame, 0..white.
        white: see `planes`.
        result: of the method, as large as the reference.
        whole: height and width of the result before it was cut to that size.
        frame: of the reference.
    """

    number: int
    psnr_y: float
    planes: Planes
    white: int
    result: Planes
    whole: tuple[int, int]
    frame: Frame


def measure_clip(
    low: Low,
    methods: Sequence[Method],
    *,
    deep: bool,
    vmaf: str,
    frame_begun: Callable[[], None],
    offer: Callable[[Worst], None],
) -> tuple[ClipScore, ...]:
    """Upscale a clip by several methods, and compare each frame with the reference.

    Args:
        low: its low-resolution frames.
        methods: what is measured.
        deep: whether the methods take 16 bits per sample.
        vmaf: path of an FFmpeg program that computes VMAF; empty: it is not computed.
        frame_begun: called before each frame.
        offer: called with each frame that is the worst of its method so far.

    Raises:
        InputError: a file has fewer frames than its container says, or a frame is too small for SSIM.
    """
    clip = low.clip
    conversions: dict[int, Callable[[Planes], Yuv]] = {}
    with ExitStack() as stack:
        opened = [stack.enter_context(Vmaf(vmaf, clip.shape)) if vmaf else None for _ in methods]
        meters = [Meter(clip, item) for item in opened]
        count = 0
        for frame, given in zip(clip.frames(), low.frames(deep=deep), strict=False):
            frame_begun()
            white = given.white
            if white not in conversions:
                conversions[white] = clip.to_yuv(white)
            for method, meter in zip(methods, meters, strict=True):
                made = method.upscale(given.planes, white)
                result = _within(made, clip)
                yuv = conversions[white](result)
                if method.chroma == "lanczos":
                    yuv = (yuv[0], *given.chroma())
                if meter.add(yuv, frame.yuv):
                    if method.chroma == "lanczos":
                        result = clip.to_rgb(yuv, white)
                    offer(Worst(*meter.worst, given.planes, white, result, made.shape[1:], frame))
            count += 1
        if count != clip.count:
            raise InputError(
                f"{clip.name}: only {count} of {clip.count} frames could be decoded",
                "Copy or download the files again.",
            )
        return tuple(meter.score() for meter in meters)


def _within(result: Planes, clip: Clip) -> Planes:
    """The part of a result that the reference was cut to."""
    return np.ascontiguousarray(result[:, : clip.shape.height, : clip.shape.width])

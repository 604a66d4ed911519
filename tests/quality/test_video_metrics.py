"""Metrics of planes and flicker against scikit-image, NumPy and closed forms."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from quality.plane_metrics import psnr_of, ssim_of

from toolkit.media.videos.colour import Colour
from toolkit.quality.videos.meter import Meter
from toolkit.quality.videos.references import Clip
from toolkit.workloads import Shape


class Still(Clip):
    """A clip of which only the format matters."""

    def frames(self) -> Any:
        return iter(())


def still(pix_fmt: str) -> Clip:
    return Still("still", Shape(40, 48), 1, Fraction(25), pix_fmt, Colour(1, full=False))


@pytest.mark.parametrize(("pix_fmt", "most"), [("yuv420p", 255), ("yuv422p10le", 1023)])
def test_metrics_of_planes(pix_fmt: str, most: int) -> None:
    """Of 8 and more bits: the peak is the largest value of the format."""
    random = np.random.default_rng(0)
    kind: Any = np.uint8 if most == 255 else np.uint16
    shapes = [(40, 48), (20, 24), (20, 24)]
    frames = [[random.integers(0, most + 1, shape).astype(kind) for shape in shapes] for _ in range(3)]
    noisy = [
        [
            np.clip(item + random.normal(0, most / 20 * (1 + number % 2), item.shape), 0, most).astype(kind)
            for item in one
        ]
        for number, one in enumerate(frames)
    ]
    meter = Meter(still(pix_fmt), None)
    worst = [meter.add((a, b, c), (d, e, f)) for (a, b, c), (d, e, f) in zip(noisy, frames, strict=True)]
    score = meter.score()
    names = "yuv"
    for index, name in enumerate(names):
        pairs = [(one[index], other[index]) for one, other in zip(noisy, frames, strict=True)]
        psnrs = [psnr_of(*pair, most) for pair in pairs]
        assert getattr(score.metrics, f"psnr_{name}") == pytest.approx(np.mean(psnrs), abs=1e-9)
        ssims = [ssim_of(*pair, most) for pair in pairs]
        assert getattr(score.metrics, f"ssim_{name}") == pytest.approx(np.mean(ssims), abs=1e-9)
    assert (score.worst_frame, worst) == (1, [True, True, False])
    assert score.worst_psnr_y == pytest.approx(psnr_of(noisy[1][0], frames[1][0], most), abs=1e-9)


def test_flicker_is_the_change_of_the_error() -> None:
    """An error that stays does not flicker; one that steps by 3, then by 5 in half of the pixels, does by 3 and 2.5."""
    grey = np.full((40, 48), 100, np.uint8)
    chroma = np.full((20, 24), 128, np.uint8)
    half = grey + 5
    half[:20] = grey[:20]
    scores = []
    for lumas in ([grey + 9] * 4, [grey + 2, grey - 1], [grey, half], [grey]):
        meter = Meter(still("yuv420p"), None)
        for luma in lumas:
            meter.add((luma, chroma, chroma), (grey, chroma, chroma))
        scores.append(meter.score().metrics.flicker)
    assert scores == [0, 3, 2.5, 0]
    deep = Meter(still("yuv420p10le"), None)
    planes = np.full((40, 48), 400, np.uint16), chroma.astype(np.uint16), chroma.astype(np.uint16)
    for step in (0, 8):
        deep.add((planes[0] + np.uint16(step), *planes[1:]), planes)
    assert deep.score().metrics.flicker == pytest.approx(8 * 255 / 1023)

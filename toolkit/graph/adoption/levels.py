"""Finds which values stand for black and white, the order of channels, and whether the output is limited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.findings import Finding
from toolkit.graph.adoption.ends import BYTES, Ends, Function
from toolkit.graph.adoption.stated import Range
from toolkit.images.resizing import downscaled, resize_bicubic
from toolkit.port import ChannelOrder, Frame, Port
from toolkit.sizes import SizeRule
from toolkit.workloads import Shape

RANGES: tuple[Range, ...] = ((0.0, 1.0), BYTES, (-1.0, 1.0))
"""Values of black and white that networks are trained with, the most usual first."""

LEAST_LIKENESS = 20.0
"""PSNR to the bicubic result in dB from which a graph is taken for a super-resolution network: those of the field have
27 to 45. Noise and other pictures have 5 to 12."""

_MARGIN = 0.3
"""dB by which an assumption must be better than the usual one to be believed."""

_OVERSHOOT = 1e-4
"""Of black to white. Networks that are not limited leave the range by more than this at hard edges."""

_SIDE = 64
"""Height and width of the input in experiments with photographs."""

_LEAST_ERROR = 1e-10
"""Mean square error that counts as none, 100 dB: a network of x1 may return its input."""

_FEW = 2
"""Photographs that suffice to tell value ranges apart: the wrong ones are 10 dB and more worse."""


@dataclass(frozen=True)
class Pair:
    """A low-resolution image and what it should become.

    Attributes:
        low: uint8 (H, W, 3).
        high: the photograph, float64 0..1.
        bicubic: `low` upscaled by bicubic interpolation, float64 0..1.
    """

    low: NDArray[np.uint8]
    high: NDArray[np.float64]
    bicubic: NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """Values of black and white at either end."""

    given: Range
    returned: Range

    def __str__(self) -> str:
        texts = [f"{low:g}..{high:g}" for low, high in (self.given, self.returned)]
        return texts[0] if self.given == self.returned else f"{texts[0]} to {texts[1]}"


def image_pairs(images: Sequence[NDArray[np.uint8]], scale: int, sizes: SizeRule, fixed: Shape | None) -> list[Pair]:
    """Pairs from the centres of photographs."""
    shape = fixed or sizes.extended(Shape(_SIDE, _SIDE))
    target = shape.upscaled(scale)
    pairs = []
    for image in images:
        # A photograph that is too small is repeated by reflection: what matters are its structures, not its size.
        extra = [max(0, side - have) for side, have in zip(target.sides, image.shape[:2], strict=True)]
        large = np.pad(image, ((0, extra[0]), (0, extra[1]), (0, 0)), "reflect")
        top, left = ((have - side) // 2 for have, side in zip(large.shape[:2], target.sides, strict=True))
        high = np.ascontiguousarray(large[top : top + target.height, left : left + target.width])
        low = downscaled(high, scale)
        pairs.append(Pair(low, high / 255, resize_bicubic(low, target) / 255))
    return pairs


def measured_levels(
    ends: Ends, function: Function, pairs: Sequence[Pair], scale: int, stated: Levels | None, order: ChannelOrder
) -> tuple[Levels, Finding]:
    """Values of black and white: those with which results are most like bicubic upscaling.

    Raises:
        InputError: with none of them are the results anything like it: it is no network for super-resolution.
    """
    candidates = [stated] if stated else _candidates(ends)
    likeness: dict[Levels, float] = {}
    for given in dict.fromkeys(levels.given for levels in candidates):
        port = ends.given(given, order)
        results = [function(port.from_image(pair.low, floating=np.float64)) for pair in pairs[:_FEW]]
        for levels in candidates:
            if levels.given == given:
                output = ends.returned(levels.returned, order, scale)
                likeness[levels] = _mean_psnr(output, results, [pair.bicubic for pair in pairs[:_FEW]])
    finite = {levels: value for levels, value in likeness.items() if np.isfinite(value)}
    best = max(finite, key=lambda levels: finite[levels], default=candidates[0])
    usual = candidates[0]
    if usual in finite and finite[best] - finite[usual] < _MARGIN:
        best = usual
    shown = sorted(finite, key=lambda levels: finite[levels], reverse=True)[:3]
    evidence = "PSNR to bicubic: " + (
        ", ".join(f"{finite[levels]:.1f} dB with {levels}" for levels in shown) or "its values are not finite"
    )
    if finite.get(best, -np.inf) < LEAST_LIKENESS:
        raise InputError(
            f"its output is unlike the upscaled input ({evidence}; a super-resolution network has at least "
            f"{LEAST_LIKENESS:.0f} dB)",
            "If it is one, state what its values mean with --value-range and --channel-order.",
        )
    return best, Finding("value range", str(best), evidence, given=stated is not None)


def _candidates(ends: Ends) -> list[Levels]:
    """Every combination that the element types allow, the usual ones first."""
    given, returned = ([BYTES] if uint8 else RANGES for uint8 in (ends.uint8, ends.returns_uint8))
    pairs = [Levels(first, second) for first in given for second in returned]
    return sorted(pairs, key=lambda levels: levels.given != levels.returned)


def measured_order(
    ends: Ends, function: Function, pairs: Sequence[Pair], scale: int, levels: Levels, stated: ChannelOrder | None
) -> tuple[ChannelOrder, Finding]:
    """RGB or BGR: the one whose results are nearer to the photographs. One channel is luma.

    Networks treat channels almost alike, so the difference is small. It is believed only if every photograph agrees.
    """
    if ends.grey:
        return "Y", Finding("channel order", "Y", "one channel: luma; chroma is upscaled by bicubic interpolation")
    if stated is not None:
        return stated, Finding("channel order", stated, given=True)
    quality: dict[ChannelOrder, list[float]] = {}
    for order in ("RGB", "BGR"):
        given, returned = ends.given(levels.given, order), ends.returned(levels.returned, order, scale)
        quality[order] = [
            _psnr(returned, function(given.from_image(pair.low, floating=np.float64)), pair.high) for pair in pairs
        ]
    gains = np.subtract(quality["BGR"], quality["RGB"])
    believed = bool(np.all(gains > 0) and np.mean(gains) >= _MARGIN)
    means = ", ".join(f"{order} {np.mean(values):.2f} dB" for order, values in quality.items())
    close = "" if believed or np.mean(gains) <= -_MARGIN else "; too close to tell, and RGB is usual"
    return "BGR" if believed else "RGB", Finding(
        "channel order", "BGR" if believed else "RGB", f"PSNR on {len(pairs)} photographs: {means}{close}"
    )


def measured_limits(ends: Ends, function: Function, port: Port, returned: Port, shape: Shape) -> tuple[bool, Finding]:
    """Whether the output stays within black and white at hard edges."""
    if ends.returns_uint8:
        return False, Finding("clamped", "yes", "the output is uint8")
    rows, columns = np.mgrid[0 : shape.height, 0 : shape.width]
    blocks = ((rows // 5 + columns // 7) % 2 * 255).astype(np.uint8)[..., None]
    values = returned.values(function(port.from_image(blocks, floating=np.float64)))
    low, high = ((float(value) - returned.value_range[0]) / returned.span for value in (values.min(), values.max()))
    clamped = low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT
    text = "yes" if clamped else "no"
    return clamped, Finding("clamped", text, f"hard edges give {low:.3f} to {high:.3f}, with black 0 and white 1")


def suitable(sizes: SizeRule, fixed: Shape | None) -> Shape:
    """A small size that the graph takes."""
    return fixed or sizes.extended(Shape(_SIDE, _SIDE))


def _mean_psnr(port: Port, results: Sequence[Frame], pictures: Sequence[NDArray[np.float64]]) -> float:
    psnr = [_psnr(port, *pair) for pair in zip(results, pictures, strict=True)]
    return float(np.mean(psnr))


def _psnr(port: Port, frame: Frame, picture: NDArray[np.float64]) -> float:
    """Of a frame against an RGB picture 0..1, in dB; of luma against the picture's luma."""
    expected = port.values(port.from_image(picture, floating=np.float64)).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        error = (port.values(frame).astype(np.float64) - expected) / port.span
        mean = float(np.mean(np.square(error)))
    return float(-10 * np.log10(np.maximum(mean, _LEAST_ERROR)))

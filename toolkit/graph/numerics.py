"""Is it still the same function? Graphs are run by ONNX's reference implementation and held against float64 truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.artifact import Layout, PortType
from toolkit.workloads import Shape

Truth = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""The exact network: float64 (N, 3, H, W) in 0..1 to float64 (N, 3, sH, sW), not clamped."""

Single = Callable[[NDArray[Any]], NDArray[Any]]
"""The same network in float32."""

FLOAT_BOUND = 1e-5
"""Largest error of a float32 graph against float64, for an input and output range of 0..1."""

UINT8_BOUND = 1.0
"""Grey levels: a value near a half may round either way."""

UINT8_SHARE_BOUND = 1e-3
"""Share of values that may do so. Without it, cutting off instead of rounding would pass: that too is one level."""

PROBE_SIZES = Shape(26, 38), Shape(34, 18), Shape(20, 20)


@dataclass(frozen=True)
class Probes:
    """Test images and the exact network's answers, computed once and used after every step."""

    images: tuple[NDArray[np.uint8], ...]
    answers: tuple[NDArray[np.float64], ...]
    rounding: float = 0.0
    """Largest error of PyTorch's own float32 on these images: what a deep network loses in any implementation."""

    @classmethod
    def of(cls, truth: Truth, sizes: tuple[Shape, Shape, Shape] = PROBE_SIZES, single: Single | None = None) -> Probes:
        images = probe_images(sizes)
        answers = tuple(truth(image / 255) for image in images)
        if single is None:
            return cls(images, answers)
        errors = [
            np.abs(single((image / 255).astype(np.float32)) - answer).max()
            for image, answer in zip(images, answers, strict=True)
        ]
        return cls(images, answers, float(np.max(errors)))

    @property
    def float_bound(self) -> float:
        """`FLOAT_BOUND`, or twice PyTorch's own error where float32 itself is further from the truth than that."""
        return max(FLOAT_BOUND, 2 * self.rounding)

    def worst_error(self, model: onnx.ModelProto, dtype: PortType = "float32", layout: Layout = "NCHW") -> float:
        """Largest absolute error over all images: of the value for float graphs, in grey levels for uint8 ones."""
        return float(np.max([error.max() for error in self.errors(model, dtype, layout)]))

    def errors(
        self, model: onnx.ModelProto, dtype: PortType = "float32", layout: Layout = "NCHW"
    ) -> list[NDArray[np.float64]]:
        """Absolute error of every value, an array an image."""
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(model)
        name = model.graph.input[0].name
        errors = []
        for image, answer in zip(self.images, self.answers, strict=True):
            fed: NDArray[Any] = image if dtype == "uint8" else (image / 255).astype(np.float32)
            fed = np.ascontiguousarray(fed.transpose(0, 2, 3, 1)) if layout == "NHWC" else fed
            result = np.asarray(evaluator.run(None, {name: fed})[0])  # type: ignore[index]  # no names: a list
            result = result.transpose(0, 3, 1, 2) if layout == "NHWC" else result
            errors.append(np.abs(result.astype(np.float64) - _expected(answer, dtype)))
        return errors


def quantised(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Values 0..1 as grey levels: clamped, rounded to nearest, ties to even."""
    return np.rint(np.clip(np.asarray(image, np.float64), 0, 1) * 255)


def probe_images(sizes: tuple[Shape, Shape, Shape] = PROBE_SIZES) -> tuple[NDArray[np.uint8], ...]:
    """Three images (1, 3, H, W): noise, ramps with hard edges, black and white squares."""
    noise = np.random.default_rng(0).integers(0, 256, (3, sizes[0].height, sizes[0].width), np.uint8)
    rows, columns = np.mgrid[0 : sizes[1].height, 0 : sizes[1].width]
    ramps = np.stack([rows * 7 % 256, columns * 14 % 256, (rows // 8 + columns // 6) % 2 * 255])
    rows, columns = np.mgrid[0 : sizes[2].height, 0 : sizes[2].width]
    squares = np.stack([(rows + columns) // 5 % 2 * 255] * 3)
    return tuple(image[None].astype(np.uint8) for image in (noise, ramps, squares))


def _expected(answer: NDArray[np.float64], dtype: PortType) -> NDArray[np.float64]:
    return quantised(answer) if dtype == "uint8" else answer

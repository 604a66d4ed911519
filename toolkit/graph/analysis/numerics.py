"""Is it still the same function? Graphs are run by ONNX's reference implementation and compared with the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.artifact import Layout, PortType
from toolkit.graph.analysis.float64 import float64_function
from toolkit.workloads import Shape

Truth = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""The exact network: float64 (N, 3, H, W) in 0..1 to float64 (N, 3, sH, sW), not clamped."""

FLOAT64_BOUND = 1e-11
"""Largest error of a float64 graph, relative to the output's largest value: rounding of a few thousand sums.

Measured errors are near 1e-14. The smallest fault that float32 weights could show, one of them off by a unit in the
last place, is near 1e-8.
"""

PROBE_SIZES = Shape(26, 38), Shape(34, 18), Shape(20, 20)


@dataclass(frozen=True)
class Probes:
    """Test images and the exact network's answers, computed once and used after every step."""

    images: tuple[NDArray[np.uint8], ...]
    answers: tuple[NDArray[np.float64], ...]

    @classmethod
    def of(cls, truth: Truth, sizes: tuple[Shape, Shape, Shape] = PROBE_SIZES) -> Probes:
        images = probe_images(sizes)
        return cls(images, tuple(truth(image / 255) for image in images))

    def float64_error(self, model: onnx.ModelProto, dtype: PortType = "float32", layout: Layout = "NCHW") -> float:
        """Largest error of a graph that computes in float64, relative to each answer's largest value.

        Args:
            model: its constants are float64; where `dtype` is float32, so are its ends.
            dtype: of the ends that the graph has in float32 form. What a uint8 graph returns must be nearest to the
                answer: the error is what its distance exceeds half a grey level by, as a share of 255.
            layout: of the ends.
        """
        returned = self._returned(float64_function(model), dtype, layout, np.float64)
        return self._relative_error(returned, dtype)

    def float32_error(self, model: onnx.ModelProto, dtype: PortType = "float32", layout: Layout = "NCHW") -> float:
        """The same for the float32 graph as it is stored, run in float32.

        The result depends on the machine in its last digits: something to report, with a bound that is wide enough for
        every CPU (`toolkit.network.rounding`).
        """
        return self._relative_error(self._returned(_evaluator(model), dtype, layout), dtype)

    def worst_error(self, model: onnx.ModelProto, dtype: PortType = "float32", layout: Layout = "NCHW") -> float:
        """Largest absolute error over all images: of the value for float graphs, in grey levels for uint8 ones."""
        return float(np.max([error.max() for error in self.errors(model, dtype, layout)]))

    def errors(
        self, model: onnx.ModelProto, dtype: PortType = "float32", layout: Layout = "NCHW"
    ) -> list[NDArray[np.float64]]:
        """Absolute error of every value, one array per image."""
        returned = self._returned(_evaluator(model), dtype, layout)
        pairs = zip(returned, self.answers, strict=True)
        return [np.abs(result - (quantised(answer) if dtype == "uint8" else answer)) for result, answer in pairs]

    def _returned(
        self,
        function: Callable[[NDArray[Any]], NDArray[Any]],
        dtype: PortType,
        layout: Layout,
        floating: type[np.floating] = np.float32,
    ) -> Iterable[NDArray[np.float64]]:
        """What a graph makes of each image, as float64 (1, 3, sH, sW)."""
        for image in self.images:
            fed: NDArray[Any] = image if dtype == "uint8" else (image / 255).astype(floating)
            result = function(np.ascontiguousarray(fed.transpose(0, 2, 3, 1)) if layout == "NHWC" else fed)
            yield (result.transpose(0, 3, 1, 2) if layout == "NHWC" else result).astype(np.float64)

    def _relative_error(self, returned: Iterable[NDArray[np.float64]], dtype: PortType) -> float:
        measure = grey_level_error if dtype == "uint8" else relative_error
        return float(np.max([measure(*pair) for pair in zip(returned, self.answers, strict=True)]))


def relative_error(result: NDArray[np.floating], answer: NDArray[np.float64]) -> float:
    """Largest distance, relative to the answer's largest value where that exceeds the nominal range 0..1."""
    return float(np.abs(result - answer).max() / np.maximum(1.0, np.abs(answer).max()))


def grey_level_error(result: NDArray[np.floating], answer: NDArray[np.float64]) -> float:
    """How much further than half a level grey levels are from an answer in 0..1, at most, as a share of 255.

    0 when each is a nearest one; at a tie either neighbour is.
    """
    distance = np.abs(result - np.clip(answer, 0, 1) * 255)
    return float(np.maximum(0.0, distance - 0.5).max() / 255)


def _evaluator(model: onnx.ModelProto) -> Callable[[NDArray[Any]], NDArray[Any]]:
    from onnx.reference import ReferenceEvaluator

    evaluator, name = ReferenceEvaluator(model), model.graph.input[0].name
    return lambda frame: np.asarray(evaluator.run(None, {name: frame})[0])  # type: ignore[index]  # no names: a list


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

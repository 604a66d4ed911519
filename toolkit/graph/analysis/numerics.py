"""Measures whether a graph still computes the network's function, by ONNX's reference implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.graph.analysis.float64 import float64_function, quiet_overflow
from toolkit.port import PLANAR, Frame, Port
from toolkit.sizes import SizeRule
from toolkit.workloads import Shape

Truth = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""The exact network: float64 (N, 3, H, W), RGB in 0..1, to float64 (N, C, sH, sW), RGB or luma, not limited unless the
network does that itself."""

FLOAT64_BOUND = 1e-11
"""Largest error of a float64 graph, relative to the output's largest value: the rounding of a few thousand sums.

Measured errors are near 1e-14. The smallest possible fault, one float32 weight that is off by a unit in the last place,
causes an error near 1e-8.
"""

PROBE_SIZES = Shape(26, 38), Shape(34, 18), Shape(20, 20)


def probe_sizes(sizes: SizeRule, fixed: Shape | None = None) -> tuple[Shape, Shape, Shape]:
    """Sizes of the test images for a graph that takes only some."""
    first, second, third = (fixed or sizes.extended(shape) for shape in PROBE_SIZES)
    return first, second, third


@dataclass(frozen=True)
class Probes:
    """Test images and the exact network's outputs for them, computed once and compared after every step."""

    images: tuple[NDArray[np.uint8], ...]
    answers: tuple[NDArray[np.float64], ...]

    @classmethod
    def of(cls, truth: Truth, sizes: tuple[Shape, Shape, Shape] = PROBE_SIZES) -> Probes:
        images = probe_images(sizes)
        return cls(images, tuple(truth(PLANAR.from_image(image, floating=np.float64)) for image in images))

    def float64_error(self, model: onnx.ModelProto, given: Port = PLANAR, returned: Port = PLANAR) -> float:
        """Largest error of a graph that computes in float64: see `frame_error`.

        Args:
            model: its constants are float64; so are its input and output, unless they are uint8.
            given: input port that the graph has in float32 form.
            returned: output port likewise.
        """
        frames = self._returned(float64_function(model), given, np.float64)
        return self._largest_error(frames, returned)

    def float32_error(self, model: onnx.ModelProto, given: Port = PLANAR, returned: Port = PLANAR) -> float:
        """The same for the float32 graph as it is stored, run in float32.

        The result depends on the machine in its last digits: something to report, with a bound that is wide enough for
        every CPU (`toolkit.network.rounding`).
        """
        return self._largest_error(self._returned(_evaluator(model), given), returned)

    def errors(
        self, model: onnx.ModelProto, given: Port = PLANAR, returned: Port = PLANAR
    ) -> list[NDArray[np.float64]]:
        """Absolute error of every value (H, W, C), one array per image, in the units of the output port."""
        frames = self._returned(_evaluator(model), given)
        return [
            np.abs(returned.values(frame).astype(np.float64) - _expected(returned, answer))
            for frame, answer in zip(frames, self.answers, strict=True)
        ]

    def reach(self, port: Port) -> float:
        """Largest magnitude that the exact network computes, at least that of white, in a port's units.

        Images such as noise, which no network was trained on, can drive values far out of the nominal range, and errors
        with them. Limiting the output takes the values back, but not the errors of those that stay within the range.
        """
        return port.span * max(1.0, *(float(np.abs(answer).max()) for answer in self.answers))

    def _returned(
        self, function: Callable[[Frame], Frame], given: Port, floating: type[np.floating] | None = None
    ) -> Iterable[Frame]:
        """What a graph returns for each image."""
        for image in self.images:
            yield function(given.from_image(image, floating=floating))

    def _largest_error(self, frames: Iterable[Frame], port: Port) -> float:
        errors = [frame_error(port, *pair) for pair in zip(frames, self.answers, strict=True)]
        return float(np.max(errors))


def exact_network(function: Callable[[Frame], Frame], given: Port, returned: Port) -> Truth:
    """The exact network that a float64 graph is, from the graph as a function of frames and its ports."""

    def network(image: NDArray[np.float64]) -> NDArray[np.float64]:
        frame = function(given.from_image(PLANAR.values(image), floating=np.float64))
        # Not through `from_image`, which repeats luma three times.
        picture = returned.to_image(frame, np.float64)
        return np.ascontiguousarray(picture.transpose(2, 0, 1)[None])

    return network


def frame_error(port: Port, frame: Frame, answer: NDArray[np.float64]) -> float:
    """Largest error of a frame; see `frame_errors`."""
    return float(frame_errors(port, frame, answer).max())


def frame_errors(port: Port, frame: Frame, answer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Errors of the values of a frame, with black 0 and white 1.

    Args:
        port: that returned it.
        frame: its values may be float64 where the port is floating point.
        answer: of the exact network, (1, C, H, W) with the port's channels.

    Returns:
        (H, W, C). For floating-point ports, the distance from the answer, relative to the answer's largest value where
        that exceeds 1. For uint8 ports, by how much the distance exceeds half a level, as a share of black to white: 0
        when the value is a nearest level; at a tie either neighbour is.
    """
    values = port.exact_values(PLANAR.values(answer))
    distance = np.abs(port.values(frame).astype(np.float64) - values)
    if port.dtype == "uint8":
        return np.asarray(np.maximum(0.0, distance - 0.5) / port.span)
    return np.asarray(distance / port.span / np.maximum(1.0, np.abs(answer).max()))


def relative_error(result: NDArray[np.floating], answer: NDArray[np.float64]) -> float:
    """Largest distance, relative to the answer's largest value where that exceeds the nominal range 0..1."""
    return float(np.abs(result - answer).max() / np.maximum(1.0, np.abs(answer).max()))


def _expected(port: Port, answer: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a port should hold for an answer of the exact network, as a picture (H, W, C)."""
    values = port.exact_values(PLANAR.values(answer))
    return np.rint(values) if port.dtype == "uint8" else values


def _evaluator(model: onnx.ModelProto) -> Callable[[Frame], Frame]:
    from onnx.reference import ReferenceEvaluator

    evaluator, name = ReferenceEvaluator(model), model.graph.input[0].name

    def function(frame: Frame) -> Frame:
        with quiet_overflow():
            return np.asarray(evaluator.run(None, {name: frame})[0])  # type: ignore[index]  # no names: a list

    return function


def probe_images(sizes: tuple[Shape, Shape, Shape] = PROBE_SIZES) -> tuple[NDArray[np.uint8], ...]:
    """Three pictures (H, W, 3): noise, ramps with hard edges, black and white squares."""
    noise = np.random.default_rng(0).integers(0, 256, (3, sizes[0].height, sizes[0].width), np.uint8)
    rows, columns = np.mgrid[0 : sizes[1].height, 0 : sizes[1].width]
    ramps = np.stack([rows * 7 % 256, columns * 14 % 256, (rows // 8 + columns // 6) % 2 * 255])
    rows, columns = np.mgrid[0 : sizes[2].height, 0 : sizes[2].width]
    squares = np.stack([(rows + columns) // 5 % 2 * 255] * 3)
    return tuple(planes.transpose(1, 2, 0).astype(np.uint8) for planes in (noise, ramps, squares))

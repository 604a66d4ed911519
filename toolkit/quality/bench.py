"""The share of a network's gain that a graph spends, measured over and over on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.artifact import Manifest, Port
from toolkit.errors import InputError, Unavailable
from toolkit.graph.precision.calibration import calibration_images
from toolkit.images import centre_crop
from toolkit.quality.data import Degradation, Pair, bicubic, find_items, load_pair
from toolkit.quality.metrics import luma, psnr, squared_error
from toolkit.quality.subjects import frame_from, pixels_from
from toolkit.runtimes.hardware import usable_processors
from toolkit.workloads import Shape

_CROP = 256
"""High-resolution pixels to a side: enough to feel every layer, small enough to be measured hundreds of times."""

_MOST = 16


@dataclass(frozen=True)
class Bench:
    """Images, and what fp32 and bicubic reach on them.

    Attributes:
        pairs: crops, all of which count alike.
        port: the graph's input.
        border: pixels left out at each edge.
        exact: mean PSNR-Y of the fp32 graph.
        gain: how much that is more than bicubic's.
    """

    pairs: tuple[Pair, ...]
    port: Port
    border: int
    exact: float
    gain: float

    @classmethod
    def of(cls, model: onnx.ModelProto, manifest: Manifest, data: Sequence[Path]) -> Bench:
        """Measure the fp32 graph on image sets, or on the images that ship with the toolkit.

        Raises:
            InputError: the network gains nothing over bicubic there: there is nothing to spend.
            Unavailable: ONNX Runtime is not installed.
        """
        scale = manifest.network.scale
        pairs = _pairs(data, scale, None if manifest.shape is None else Shape(*manifest.shape))
        blank = cls(pairs, manifest.input, scale, 0.0, 1.0)
        exact = blank.quality(model)
        base = float(np.mean([blank.score(bicubic(pair.low, scale), pair) for pair in pairs]))
        if exact <= base:
            raise InputError(
                f"{manifest.name} is no better than bicubic on these images ({exact:.2f} and {base:.2f} dB)",
                "A budget is a share of the gain: take a trained network, and images it is good at.",
            )
        return cls(pairs, manifest.input, scale, exact, exact - base)

    def spent(self, model: onnx.ModelProto) -> float:
        """Share of the gain that a graph loses."""
        return (self.exact - self.quality(model)) / self.gain

    def quality(self, model: onnx.ModelProto) -> float:
        """Mean PSNR-Y of a graph, run by ONNX Runtime."""
        session = _session(model)
        scores = []
        for pair in self.pairs:
            (result,) = session.run(None, {self.port.name: frame_from(pair.low, self.port)})
            scores.append(self.score(pixels_from(result, self.port), pair))
        return float(np.mean(scores))

    def score(self, image: NDArray[np.uint8], pair: Pair) -> float:
        """PSNR-Y of one result."""
        inner = slice(self.border, -self.border or None)
        return psnr(squared_error(luma(image[inner, inner]), luma(pair.high[inner, inner])))


def _pairs(data: Sequence[Path], scale: int, fixed: Shape | None) -> tuple[Pair, ...]:
    if data:
        found = [load_pair(item, scale, Degradation()) for item in find_items(data, scale)[:_MOST]]
    else:
        found = []
        for image in calibration_images()[:_MOST]:
            height, width = (side // (2 * scale) * 2 * scale for side in image.shape[:2])
            high = centre_crop(image, Shape(height, width))
            found.append(Pair(Degradation().apply(high, scale), high))
    return tuple(_cropped(pair, scale, fixed) for pair in found)


def _cropped(pair: Pair, scale: int, fixed: Shape | None) -> Pair:
    height, width = pair.low.shape[:2]
    most = _CROP // scale // 2 * 2
    size = fixed or Shape(min(height, most), min(width, most))
    if size.height > height or size.width > width:
        raise InputError(f"an image of {width}x{height} is smaller than the graph's {size}", "Take larger images.")
    top, left = ((height - size.height) // 2, (width - size.width) // 2)
    rows, columns = slice(top, top + size.height), slice(left, left + size.width)
    large = tuple(slice(part.start * scale, part.stop * scale) for part in (rows, columns))
    return Pair(np.ascontiguousarray(pair.low[rows, columns]), pair.high[large])


def _session(model: onnx.ModelProto) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable(f"tuning needs onnxruntime: {error}", 'pip install "rt4ksr-toolkit[cpu]"') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = usable_processors(), 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )

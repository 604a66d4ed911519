"""The share of a network's gain that a graph spends, measured over and over on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from toolkit.artifact import Manifest, Port
from toolkit.errors import InputError, Unavailable
from toolkit.graph.precision.calibration import calibration_images
from toolkit.images import centre_crop
from toolkit.quality.budget import Spent
from toolkit.quality.data import Degradation, Pair, Pixels, bicubic, described, find_items, load_pair
from toolkit.quality.measurement import BEST_PSNR, worst_patch
from toolkit.quality.metrics import luma, psnr, squared_error
from toolkit.quality.subjects import frame_from, pixels_from
from toolkit.runtimes.hardware import usable_processors
from toolkit.workloads import Shape

_CROP = 256
"""High-resolution pixels to a side: enough to feel every layer, small enough to be measured hundreds of times."""

_MOST = 20


@dataclass(frozen=True)
class Bench:
    """Images, and what fp32 and bicubic reach on them.

    Attributes:
        images: which they are, in a few words.
        pairs: crops, all of which count alike.
        port: the graph's input.
        border: pixels left out at each edge.
        exact: results of the fp32 graph.
        scores: their PSNR-Y.
        gain: how much these are more than bicubic's, on average.
    """

    images: str
    pairs: tuple[Pair, ...]
    port: Port
    border: int
    exact: tuple[Pixels, ...]
    scores: tuple[float, ...]
    gain: float

    @classmethod
    def of(cls, model: onnx.ModelProto, manifest: Manifest, data: Sequence[Path]) -> Bench:
        """Measure the fp32 graph on image sets, or on the images that ship with the toolkit.

        Raises:
            InputError: the network gains nothing over bicubic there: there is nothing to spend.
            Unavailable: ONNX Runtime is not installed.
        """
        scale = manifest.network.scale
        images, pairs = _pairs(data, scale, None if manifest.shape is None else Shape(*manifest.shape))
        blank = cls(images, pairs, manifest.input, scale, (), (), 1.0)
        exact = blank.results(model)
        scores = blank.scored(exact)
        gain = float(np.mean(scores) - np.mean(blank.scored([bicubic(pair.low, scale) for pair in pairs])))
        if gain <= 0:
            raise InputError(
                f"{manifest.name} is no better than bicubic on these images: {gain:.2f} dB",
                "A budget is a share of the gain: take a trained network, and images it is good at.",
            )
        return cls(images, pairs, manifest.input, scale, exact, scores, gain)

    def spent(self, model: onnx.ModelProto) -> Spent:
        """What a graph loses."""
        results = self.results(model)
        losses = np.subtract(self.scores, self.scored(results)) / self.gain
        patches = (worst_patch(one, other, self.border) for one, other in zip(results, self.exact, strict=True))
        return Spent(float(losses.mean()), float(losses.max()), max(patch.difference for patch in patches))

    def results(self, model: onnx.ModelProto) -> tuple[Pixels, ...]:
        """What a graph makes of the low-resolution crops, run by ONNX Runtime."""
        session, made = _session(model), []
        for pair in self.pairs:
            (result,) = session.run(None, {self.port.name: frame_from(pair.low, self.port)})
            made.append(pixels_from(result, self.port))
        return tuple(made)

    def scored(self, results: Sequence[Pixels]) -> tuple[float, ...]:
        """PSNR-Y of results."""
        inner = slice(self.border, -self.border or None)
        return tuple(
            min(psnr(squared_error(luma(result[inner, inner]), luma(pair.high[inner, inner]))), BEST_PSNR)
            for result, pair in zip(results, self.pairs, strict=True)
        )


def _pairs(data: Sequence[Path], scale: int, fixed: Shape | None) -> tuple[str, tuple[Pair, ...]]:
    """Some image pairs, of all sets alike, and which they are."""
    if data:
        items = find_items(data, scale)
        chosen = [items[index * len(items) // _MOST] for index in range(_MOST)] if len(items) > _MOST else items
        found = [load_pair(item, scale, Degradation()) for item in chosen]
        name = described(chosen)
    else:
        found, name = [], "images of the toolkit"
        for image in calibration_images()[:_MOST]:
            height, width = (side // (2 * scale) * 2 * scale for side in image.shape[:2])
            high = centre_crop(image, Shape(height, width))
            found.append(Pair(Degradation().apply(high, scale), high))
    return name, tuple(_cropped(pair, scale, fixed) for pair in found)


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

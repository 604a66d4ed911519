"""Measures how much of a network's gain over bicubic a graph loses, repeatedly on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from toolkit.artifact import Manifest
from toolkit.checks import Spent
from toolkit.errors import InputError
from toolkit.graph.precision.calibration import calibration_images
from toolkit.images import centre_crop
from toolkit.images.chroma import coloured_image
from toolkit.port import Frame, Port
from toolkit.quality.budget import spent_of
from toolkit.quality.data import Degradation, Pair, Pixels, bicubic, find_items, load_pair
from toolkit.quality.measurement import BEST_PSNR, worst_patch
from toolkit.quality.metrics import luma, psnr, squared_error
from toolkit.system.hardware import usable_cpus
from toolkit.workloads import Shape

_CROP = 256
"""Height and width of high-resolution crops: larger than the receptive field, and small enough for hundreds of
measurements."""

_MOST = 20


@dataclass(frozen=True)
class Bench:
    """Images, and the results of the fp32 graph on them.

    Attributes:
        data: names of the image sets.
        pairs: crops, with equal weights.
        input: input port of the graph.
        output: output port of the graph.
        border: pixels that are ignored at each edge.
        exact: results of the fp32 graph.
        scores: PSNR-Y of `exact` for each pair, in dB.
        gain: mean of `scores` minus the mean PSNR-Y of bicubic, in dB.
    """

    data: str
    pairs: tuple[Pair, ...]
    input: Port
    output: Port
    border: int
    exact: tuple[Pixels, ...]
    scores: tuple[float, ...]
    gain: float

    @classmethod
    def of(
        cls, model: onnx.ModelProto, manifest: Manifest, data: Sequence[Path], calibration: Path | None = None
    ) -> Bench:
        """Measure the fp32 graph on image sets or, if there are none, on calibration images: of a directory, or bundled
        ones.

        Raises:
            InputError: an image set or directory cannot be used.
        """
        scale = manifest.network.scale
        data_names, pairs = _pairs(data, calibration, manifest)
        blank = cls(data_names, pairs, manifest.input, manifest.output, scale, (), (), 1.0)
        exact = blank.results(model)
        scores = blank.scored(exact)
        gain = float(np.mean(scores) - np.mean(blank.scored([bicubic(pair.low, scale) for pair in pairs])))
        return cls(data_names, pairs, manifest.input, manifest.output, scale, exact, scores, gain)

    @property
    def images(self) -> str:
        """Number of images and names of their sets, for messages."""
        return f"{len(self.pairs)} images of {self.data}"

    def require_gain(self) -> None:
        """Raise InputError unless the network gains something over bicubic on these images; losses are shares of
        that gain.
        """
        if not self.gain > 0:
            raise InputError(
                f"the network is no better than bicubic on {self.images}: {self.gain:.2f} dB",
                "A budget is a share of that gain. Use a trained network and images like its training data.",
            )

    def spent(self, model: onnx.ModelProto) -> Spent:
        """What a graph loses compared with the fp32 graph.

        Raises:
            InputError: the fp32 graph gains nothing over bicubic.
        """
        self.require_gain()
        results = self.results(model)
        patches = (worst_patch(one, other, self.border) for one, other in zip(results, self.exact, strict=True))
        return spent_of(self.scores, self.scored(results), self.gain, [patch.difference for patch in patches])

    def results(self, model: onnx.ModelProto) -> tuple[Pixels, ...]:
        """Upscale the low-resolution crops."""
        run = _function(model)
        lows = [pair.low for pair in self.pairs]
        return tuple(
            coloured_image(self.output, run({self.input.name: self.input.from_image(low)}), low) for low in lows
        )

    def scored(self, results: Sequence[Pixels]) -> tuple[float, ...]:
        """PSNR-Y of results in dB, one per pair."""
        inner = slice(self.border, -self.border or None)
        return tuple(
            min(psnr(squared_error(luma(result[inner, inner]), luma(pair.high[inner, inner]))), BEST_PSNR)
            for result, pair in zip(results, self.pairs, strict=True)
        )


def _pairs(data: Sequence[Path], calibration: Path | None, manifest: Manifest) -> tuple[str, tuple[Pair, ...]]:
    """Crops of image pairs, evenly distributed over all sets, and the names of the sets."""
    scale, sizes = manifest.network.scale, manifest.sizes
    if data:
        items = find_items(data, scale)
        chosen = [items[index * len(items) // _MOST] for index in range(_MOST)] if len(items) > _MOST else items
        found = [load_pair(item, scale, Degradation()) for item in chosen]
        name = ", ".join(dict.fromkeys(item.group for item in chosen))
    else:
        found, name = [], "the toolkit" if calibration is None else calibration.name
        for image in calibration_images(calibration)[:_MOST]:
            low = sizes.within(Shape(*(side // scale for side in image.shape[:2])))
            high = centre_crop(image, low.upscaled(scale))
            found.append(Pair(Degradation().apply(high, scale), high))
    return name, tuple(_cropped(pair, manifest) for pair in found)


def _cropped(pair: Pair, manifest: Manifest) -> Pair:
    scale, (height, width) = manifest.network.scale, pair.low.shape[:2]
    if manifest.shape is None:
        size = manifest.sizes.within(Shape(*(min(side, _CROP // scale) for side in (height, width))))
    else:
        size = Shape(*manifest.shape)
    if size.height > height or size.width > width:
        raise InputError(f"an image of {width}x{height} is smaller than the graph's {size}", "Use larger images.")
    top, left = ((height - size.height) // 2, (width - size.width) // 2)
    rows, columns = slice(top, top + size.height), slice(left, left + size.width)
    large = tuple(slice(part.start * scale, part.stop * scale) for part in (rows, columns))
    return Pair(np.ascontiguousarray(pair.low[rows, columns]), pair.high[large])


def _function(model: onnx.ModelProto) -> Callable[[dict[str, Frame]], Frame]:
    """A function that runs a graph, with ONNX Runtime if installed, otherwise with ONNX's reference implementation."""
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        evaluator: Any = ReferenceEvaluator(model)
        return lambda frame: np.asarray(evaluator.run(None, frame)[0])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = usable_cpus(), 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    return lambda frame: np.asarray(session.run(None, frame)[0])

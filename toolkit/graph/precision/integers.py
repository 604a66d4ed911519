"""How the convolutions of a graph become integer ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.artifact import Manifest
from toolkit.graph.any_size import sizeless
from toolkit.graph.precision.base import Prepared, Rewritten, TargetPrecision
from toolkit.graph.precision.calibration import activation_magnitudes, calibration_images, usable_images
from toolkit.graph.precision.fitting import RoundedWeights
from toolkit.graph.precision.integer_fit import fit_integers
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.quantise import QuantiseConvs
from toolkit.graph.precision.rewriting import rewrite
from toolkit.graph.precision.scaling import ScaleChannels, int8_factors
from toolkit.images import centre_crop
from toolkit.images.resizing import downscaled
from toolkit.quoting import first_few
from toolkit.workloads import Shape

_CROP = 128
"""Largest height and width of what weights are fitted on: thirty such images have more pixels than are needed."""

_NAMED = 5
"""Most images that a note names."""


@dataclass(frozen=True)
class PreparedIntegers(Prepared):
    """What is measured once for all mixes of int8 with float32.

    Attributes:
        precision: the target.
        weights: the fp32 graph with its channels scaled, and weights for it that are fitted to the integers that its
            convolutions read.
        manifest: of the fp32 artifact.
        magnitudes: what int8's 127 stands for, by the name of each tensor around a convolution.
        left_out: images of the directory of calibration images that could not be used.
    """

    precision: TargetPrecision
    weights: RoundedWeights
    manifest: Manifest
    magnitudes: Mapping[str, float]
    left_out: tuple[Path, ...] = ()

    @classmethod
    def of(
        cls, precision: TargetPrecision, model: onnx.ModelProto, manifest: Manifest, options: ConvertOptions
    ) -> PreparedIntegers:
        """Measure the ranges on the images that the options name, and fit the weights to them.

        Raises:
            InputError: there are no such images, or most of them cannot be used.
            Unavailable: ONNX Runtime, whose calibrators are used, is not installed.
        """
        images, left_out = _images(manifest, options)
        port = manifest.input
        frames = [port.from_image(_cropped(image, manifest)) for image in images]
        scaled = ScaleChannels(int8_factors(sizeless(model, manifest), port, frames)).rewritten(model)
        free, known = sizeless(scaled, manifest), None
        if options.method != "error":
            known = activation_magnitudes(free, port, images, options.method, options.percentile)
        found = fit_integers(free, port, frames, known)
        return cls(precision, RoundedWeights(scaled, found.model), manifest, found.magnitudes, left_out)

    def rewrite(self, options: ConvertOptions) -> Rewritten:
        model = self.weights.keeping(options.exclude.__contains__)
        graph_pass = QuantiseConvs(self.magnitudes, options.exclude)
        made = rewrite(ir.from_proto(model), graph_pass, self.manifest, self.precision.name)
        return replace(made, notes=(*made.notes, *self._notes()))

    def _notes(self) -> Iterator[str]:
        if self.left_out:
            names = first_few([path.name for path in self.left_out], _NAMED)
            yield f"{self.precision.name}: images that could not be used for calibration: {names}"


def _images(manifest: Manifest, options: ConvertOptions) -> tuple[list[NDArray[np.uint8]], tuple[Path, ...]]:
    """What to measure on, and images that were left out. The toolkit's own images are reduced first: a network is given
    images that someone reduced, whose neighbouring pixels differ more."""
    if options.calibration is not None:
        return usable_images(options.calibration, manifest.sizes)
    scale, reduced = manifest.network.scale, []
    for image in calibration_images():
        low = manifest.sizes.within(Shape(*(side // scale for side in image.shape[:2])))
        if min(low.sides) < manifest.sizes.padded(1):
            return calibration_images(None, manifest.sizes), ()
        reduced.append(downscaled(centre_crop(image, low.upscaled(scale)), scale))
    return reduced, ()


def _cropped(image: NDArray[np.uint8], manifest: Manifest) -> NDArray[np.uint8]:
    shape = manifest.sizes.within(Shape(*(min(side, _CROP) for side in image.shape[:2])))
    return centre_crop(image, shape) if min(shape.sides) >= manifest.sizes.padded(1) else image

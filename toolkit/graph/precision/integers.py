"""How the convolutions of a graph become integer ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from toolkit.artifact import Manifest
from toolkit.graph.editing import sizeless
from toolkit.graph.precision.base import Prepared, Rewritten, TargetPrecision
from toolkit.graph.precision.calibration import activation_magnitudes, calibration_images
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.quantise import QuantiseConvs
from toolkit.graph.precision.rewriting import rewrite


@dataclass(frozen=True)
class PreparedIntegers(Prepared):
    """What is measured once for all mixes of int8 with float32.

    Attributes:
        precision: the target.
        model: the fp32 graph.
        manifest: of the fp32 artifact.
        magnitudes: what int8's 127 stands for, by the name of each tensor around a convolution.
    """

    precision: TargetPrecision
    model: onnx.ModelProto
    manifest: Manifest
    magnitudes: Mapping[str, float]

    @classmethod
    def of(
        cls, precision: TargetPrecision, model: onnx.ModelProto, manifest: Manifest, options: ConvertOptions
    ) -> PreparedIntegers:
        """Measure the ranges on the images that the options name.

        Raises:
            InputError: there is no such image.
            Unavailable: ONNX Runtime, whose calibrators are used, is not installed.
        """
        images = calibration_images(options.calibration, manifest.sizes)
        free = sizeless(model, manifest)
        found = activation_magnitudes(free, manifest.input, images, options.method, options.percentile)
        return cls(precision, model, manifest, found)

    def rewrite(self, options: ConvertOptions) -> Rewritten:
        graph_pass = QuantiseConvs(self.magnitudes, options.exclude)
        return rewrite(ir.from_proto(self.model), graph_pass, self.manifest, self.precision.name)

"""How a graph becomes one of float16 or bfloat16 tensors, with some nodes in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.artifact import Manifest
from toolkit.graph.any_size import sizeless
from toolkit.graph.matching import reads_whole_frame
from toolkit.graph.precision.base import Prepared, Rewritten, TargetPrecision
from toolkit.graph.precision.calibration import calibration_images
from toolkit.graph.precision.centring import CentreOutputs, output_means
from toolkit.graph.precision.fitting import RoundedWeights
from toolkit.graph.precision.keeping import kept_nodes
from toolkit.graph.precision.lower import LowerPrecision
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.rewriting import rewrite
from toolkit.images import centre_crop
from toolkit.workloads import Shape

_CROP = 128
"""Largest height and width of the images that means and weights are measured on: they hold enough pixels for both."""


def calibration_frames(manifest: Manifest) -> list[NDArray[Any]]:
    """The toolkit's calibration images, at most 128x128, as the artifact's input takes them."""
    crops = [
        centre_crop(image, manifest.sizes.within(Shape(*(min(side, _CROP) for side in image.shape[:2]))))
        for image in calibration_images(sizes=manifest.sizes)
    ]
    return [manifest.input.from_image(image) for image in crops]


@dataclass(frozen=True)
class PreparedFloats(Prepared):
    """What is measured once for all mixes of a floating-point precision with float32.

    Attributes:
        precision: the target.
        manifest: of the fp32 artifact.
        weights: the float32 graph, and weights for it that are values of the target type already.
        means: (C,) of what each of its convolutions computes, by the convolution's name.
    """

    precision: TargetPrecision
    manifest: Manifest
    weights: RoundedWeights
    means: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        precision: TargetPrecision,
        manifest: Manifest,
        weights: RoundedWeights,
        frames: Sequence[NDArray[Any]],
    ) -> PreparedFloats:
        """Measure the means of `weights.model` on these frames."""
        means = output_means(sizeless(weights.model, manifest), manifest.input, frames)
        return cls(precision, manifest, weights, means)

    def rewrite(self, options: ConvertOptions) -> Rewritten:
        kept = kept_nodes(self.weights.model, options.keep_fp32)
        model = self.weights.keeping(kept)
        if self.manifest.opset < self.precision.opset:
            model = onnx.version_converter.convert_version(model, self.precision.opset)
        graph, target = ir.from_proto(model), ir.DataType[self.precision.onnx_type]
        # Centring comes before lowering: it moves the means to nodes that stay in float32, while all are float32.
        centre = CentreOutputs(self.means, kept, target.numpy())
        centre(graph)

        def keep(node: ir.Node) -> bool:
            return kept(str(node.name)) or node.name in centre.added or reads_whole_frame(node)

        lower = LowerPrecision(target, keep, title=f"{self.precision.name} tensors")
        return rewrite(graph, lower, self.manifest, self.precision.name)

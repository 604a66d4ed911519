"""What fine-tuning knows of a precision: how its convolutions are simulated, and how the result is rewritten."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import onnx
from numpy.typing import NDArray

from toolkit.artifact import Manifest
from toolkit.graph.any_size import sizeless
from toolkit.graph.precision.base import Rewritten, TargetPrecision
from toolkit.graph.precision.centring import output_means
from toolkit.graph.precision.fitting import RoundedWeights
from toolkit.graph.precision.floats import calibration_frames
from toolkit.graph.precision.integers import PreparedIntegers
from toolkit.graph.precision.keeping import kept_nodes
from toolkit.graph.precision.options import ConvertOptions
from toolkit.training.lowering.floats import FloatConvolutions
from toolkit.training.lowering.graph_network import Convolutions, GraphNetwork
from toolkit.training.lowering.integers import IntegerConvolutions


@dataclass(frozen=True)
class Lowering(ABC):
    """A precision that a graph is fine-tuned for.

    Attributes:
        target: the precision.
        model: the fp32 graph.
        manifest: of its artifact.
        options: of the conversion.
    """

    target: TargetPrecision
    model: onnx.ModelProto
    manifest: Manifest
    options: ConvertOptions

    @abstractmethod
    def convolutions(self) -> Convolutions:
        """How the precision computes the convolutions, with what is measured before training.

        Raises:
            InputError: a name in the options fits no node, or an image cannot be used.
            Unavailable: what measures is not installed.
        """

    @property
    def form(self) -> onnx.ModelProto:
        """The fp32 graph in the form that is trained: the same function."""
        return self.model

    def start(self) -> onnx.ModelProto:
        """This form with the weights that training begins with."""
        return self.form

    @abstractmethod
    def rewritten(self, network: GraphNetwork, range_margin: float = 1.0) -> Rewritten:
        """The trained network as a graph of the precision.

        Args:
            network: with trained weights.
            range_margin: by which trained ranges of integers are widened.
        """


class IntegerLowering(Lowering):
    """int8, whose ranges start where calibration finds them."""

    def convolutions(self) -> IntegerConvolutions:
        self._prepared.rewrite(self.options)  # refuses convolutions that cannot be quantised, before training
        return IntegerConvolutions(self.form, self._prepared.magnitudes, self.options.exclude)

    @property
    def form(self) -> onnx.ModelProto:
        """With its channels scaled to the same range."""
        return self._prepared.weights.model

    def start(self) -> onnx.ModelProto:
        return self._prepared.weights.keeping(self.options.exclude.__contains__)

    @cached_property
    def _prepared(self) -> PreparedIntegers:
        return PreparedIntegers.of(self.target, self.model, self.manifest, self.options)

    def rewritten(self, network: GraphNetwork, range_margin: float = 1.0) -> Rewritten:
        convolutions = network.convolutions
        if not isinstance(convolutions, IntegerConvolutions):
            raise TypeError("the network was not trained for integers")
        trained = network.written(self.form)
        images = {port.name for port in self.form.graph.input}  # their range is known
        magnitudes = {
            name: value if name in images else value * range_margin for name, value in convolutions.magnitudes().items()
        }
        prepared = PreparedIntegers(self.target, RoundedWeights(trained, trained), self.manifest, magnitudes)
        return prepared.rewrite(self.options)


class FloatLowering(Lowering):
    """bf16 and fp16: the conversion then rounds the trained weights, as it does for any network."""

    def convolutions(self) -> FloatConvolutions:
        frames: list[NDArray[Any]] = calibration_frames(self.manifest)
        kept = kept_nodes(self.model, self.options.keep_fp32)
        means = output_means(sizeless(self.model, self.manifest), self.manifest.input, frames)
        return FloatConvolutions(self.model, self.target.storage, kept, means)

    def rewritten(self, network: GraphNetwork, range_margin: float = 1.0) -> Rewritten:
        return self.target.prepare(network.written(self.model), self.manifest, self.options).rewrite(self.options)


def lowering_for(
    target: TargetPrecision, model: onnx.ModelProto, manifest: Manifest, options: ConvertOptions
) -> Lowering:
    """The one for a precision."""
    return (FloatLowering if target.floating else IntegerLowering)(target, model, manifest, options)

"""bf16 weights whose rounding errors compensate each other, instead of each weight's nearest bf16 value.

A convolution computes y = W a at every pixel: a is 1 (which the bias is multiplied with) followed by the K - 1 values
under the kernel, W is (O, K). The rounding error of one weight can largely be corrected by the weights after it,
because the values in a are correlated: neighbouring pixels and channels are similar. How correlated they are is
measured on calibration images, and this is the error that is minimised, with H = E[a aT]:

    E |W a - Q a|^2  =  sum over outputs of  (w - q) H (w - q)T          W: exact weights, Q: weights that bf16 holds

This is GPTQ (Frantar et al., ICLR 2023), with one difference: a is what the convolution reads in the rounded network,
while y is what it computes in the exact one. Layers are rounded in the order in which they are computed, so each layer
also corrects for the error of the layers before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from toolkit.errors import InputError
from toolkit.graph.analysis.tensors import tensor_function
from toolkit.graph.editing import copied, replace_nodes
from toolkit.graph.precision.fitting import (
    DenseConv,
    Doubles,
    RoundedWeights,
    corrected,
    damped,
    dense_convs,
    give_weights,
    rounded_together,
    samples,
)
from toolkit.graph.precision.keeping import Kept
from toolkit.port import Port


def round_weights(
    model: onnx.ModelProto,
    port: Port,
    images: Sequence[NDArray[Any]],
    kept: Kept = lambda _: False,
) -> onnx.ModelProto:
    """The float32 graph with weights and biases of dense convolutions replaced by bf16 values, stored as float32.

    Args:
        model: takes any size; nothing in it is lowered yet.
        port: its input.
        images: frames to measure on, as the port says.
        kept: whether the node of a name will stay in float32.

    Raises:
        InputError: there is no image.
    """
    if not images:
        raise InputError("rounding weights needs images, and none were given", "Give a directory of images.")
    rounded = copied(model)
    _round_inputs(rounded, kept)
    for conv in list(dense_convs(model, kept)):
        statistics = _Statistics.measured(conv, model, rounded, port, images)
        if not np.isfinite(statistics.inputs).all() or not np.isfinite(statistics.missing).all():
            continue  # the network itself leaves float32's range here, which no rounding repairs
        give_weights(rounded, conv, "rounded", *statistics.rounded(conv))
    return RoundedWeights(model, rounded).keeping(kept)


@dataclass(frozen=True)
class _Statistics:
    """What rounding a convolution needs to know, in the notation of the module's docstring.

    Attributes:
        inputs: H, (K, K): mean of a aT over all sampled pixels.
        missing: (O, K): mean of (y - W a) aT. It is zero as long as no layer before was rounded.
    """

    inputs: Doubles
    missing: Doubles

    @classmethod
    def measured(
        cls,
        conv: DenseConv,
        exact: onnx.ModelProto,
        rounded: onnx.ModelProto,
        port: Port,
        images: Sequence[NDArray[Any]],
    ) -> _Statistics:
        """Measure a convolution with its exact weights: a from the `rounded` graph, y from the `exact` one."""
        random = np.random.default_rng(0)  # the same positions in every run, so that conversion is reproducible
        reads = next(node for node in rounded.graph.node if node.name == conv.node.name).input[0]
        inputs, outputs = tensor_function(rounded, reads), tensor_function(exact, conv.node.output[0])
        flat = conv.flat
        products, missing, count = np.zeros((flat.shape[1],) * 2), np.zeros(flat.shape), 0
        for image in images:
            patches, wanted = samples(conv, inputs(image, port), outputs(image, port), random)
            # In float64: H is inverted below, which amplifies rounding errors by its condition number.
            products += patches.T @ patches
            missing += (wanted - patches @ flat.T).T @ patches
            count += len(patches)
        return cls(products / count, missing / count)

    def rounded(self, conv: DenseConv) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The weights (O, I, KY, KX) and biases (O,) that minimise the error, all of them bf16 values."""
        products = damped(self.inputs)
        # First the real-valued weights: rounding W itself would keep the errors of the layers before.
        flat = rounded_together(corrected(conv, products, self.missing), products, lambda _, column: _nearest(column))
        return flat[:, 1:].reshape(conv.weight.shape).astype(np.float32), flat[:, 0].astype(np.float32)


def _nearest(values: Doubles) -> Doubles:
    """The nearest bf16 value of each."""
    return values.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def _round_inputs(model: onnx.ModelProto, kept: Kept) -> None:
    """Let convolutions read bf16 values, in a float32 graph, as they will when the graph is lowered."""
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Conv" and not kept(node.name):
            low, high = f"{node.name}.input.low", f"{node.name}.input.rounded"
            nodes.append(helper.make_node("Cast", [node.input[0]], [low], name=low, to=TensorProto.BFLOAT16))
            nodes.append(helper.make_node("Cast", [low], [high], name=high, to=TensorProto.FLOAT))
            node.input[0] = high
        nodes.append(node)
    replace_nodes(model, nodes)

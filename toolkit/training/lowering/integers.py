"""int8 convolutions in PyTorch, with the integers of the ONNX graph that `QuantiseConvs` makes, and with gradients."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import onnx
import torch
from torch import Tensor, nn

from toolkit.graph.precision.quantise import LARGEST
from toolkit.training.lowering.graph_network import Convolutions, key_of
from toolkit.training.lowering.operators import Geometry, rounded, straight_through

_LOWEST = -LARGEST - 1
"""What QuantizeLinear saturates negative values to."""

_RATE = 10.0
"""Steps are trained as logarithms, by this many times the learning rate of weights: a step that is 1 % too small costs
as much as a weight that is off by far less than 1 %."""


class IntegerConvolutions(Convolutions):
    """Convolutions of int8 values: activations with one step per tensor, weights with one per output channel.

    Integers are held in float32, which is exact: sums stay below 2^24. The gradient ignores the rounding (straight
    through), and reaches the step of an activation through its scale (Esser et al., "Learned Step Size Quantization",
    ICLR 2020). Weights always fill their range, so their step is not learned but follows their largest magnitudes.
    """

    def __init__(self, model: onnx.ModelProto, magnitudes: Mapping[str, float], excluded: Collection[str] = ()) -> None:
        """`magnitudes`: what 127 stands for at first, by the name of the activation. `excluded`: convolutions that stay
        in float32."""
        super().__init__()
        self.excluded = frozenset(excluded)
        names = [node.input[0] for node in model.graph.node if node.op_type == "Conv" and node.name not in excluded]
        self._names = tuple(dict.fromkeys(names))
        logarithms = {name: math.log(magnitudes[name] / LARGEST) / _RATE for name in self._names}
        self.steps = nn.ParameterDict(
            {key_of(name): nn.Parameter(torch.tensor(value)) for name, value in logarithms.items()}
        )

    def step_of(self, tensor: str) -> Tensor:
        """The scale of QuantizeLinear for an activation: float32, a scalar."""
        logarithm: Tensor = self.steps[key_of(tensor)] * _RATE
        return logarithm.exp()

    def magnitudes(self) -> dict[str, float]:
        """What 127 stands for, by the name of the activation."""
        return {name: float(self.step_of(name).detach()) * LARGEST for name in self._names}

    def convolve(
        self, node: str, tensor: str, geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        if node in self.excluded:
            return geometry.convolve(x, weight, bias)
        step = self.step_of(tensor)
        integers, weight_steps = weight_integers(weight)
        sums = geometry.convolve(activation_integers(x, step), integers)
        made = sums * (step * weight_steps)[:, None, None]
        return made if bias is None else made + bias[:, None, None]


def activation_integers(x: Tensor, step: Tensor) -> Tensor:
    """What QuantizeLinear(x, step) computes: whole numbers in -128..127, as float."""
    return rounded((x / step).clamp(_LOWEST, LARGEST))


def weight_integers(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers of at most 127 (O, I, KY, KX), and the step of each output channel (O,), as
    `quantise.weight_integers`."""
    exact = weight.detach().double()
    rows = exact.abs().flatten(1)
    total = rows.topk(min(2, rows.shape[1])).values.sum(1)
    steps = torch.where(total > 0, total / LARGEST, 1.0).float()
    column = steps[:, None, None, None]
    whole = (exact / column.double()).round().clamp(-LARGEST, LARGEST).to(weight.dtype)
    return straight_through(weight / column, whole), steps

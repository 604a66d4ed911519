"""bf16 and fp16 convolutions in PyTorch: float32 sums of rounded values, with gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.graph.precision.keeping import Kept
from toolkit.training.lowering.graph_network import Convolutions, key_of
from toolkit.training.lowering.operators import Geometry, straight_through


class FloatConvolutions(Convolutions):
    """Convolutions whose input, weights and output are rounded, as `LowerPrecision` lowers them.

    Where only float32 nodes read the output, its mean is not rounded, as `CentreOutputs` has it. What lies between
    convolutions and is lowered, too, is not simulated.
    """

    def __init__(
        self, model: onnx.ModelProto, storage: str, kept: Kept, means: Mapping[str, NDArray[np.float64]]
    ) -> None:
        """`storage`: the type, as PyTorch names it. `means`: of the channels of each convolution's output."""
        super().__init__()
        self._dtype: torch.dtype = getattr(torch, storage)
        convs = [node for node in model.graph.node if node.op_type == "Conv" and not kept(node.name)]
        self._lowered = frozenset(node.name for node in convs)
        ends = {item.name for item in model.graph.output}
        for conv in convs:
            readers = [node.name for node in model.graph.node if conv.output[0] in node.input]
            if conv.name in means and conv.output[0] not in ends and all(map(kept, readers)):
                self.register_buffer(_mean(conv.name), torch.from_numpy(means[conv.name]).float(), persistent=False)

    def convolve(
        self, node: str, tensor: str, geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        if node not in self._lowered:
            return geometry.convolve(x, weight, bias)
        made = geometry.convolve(self._rounded(x), self._rounded(weight))
        mean: Any = getattr(self, _mean(node), None)
        if bias is None:
            return self._rounded(made)
        if mean is None:
            return self._rounded(made + self._rounded(bias)[:, None, None])
        left = self._rounded(bias - mean)
        return self._rounded(made + left[:, None, None]) + (bias - left)[:, None, None]

    def _rounded(self, x: Tensor) -> Tensor:
        """The nearest value of the type; for the gradient see `straight_through`."""
        return straight_through(x, x.to(self._dtype).to(x.dtype))


def _mean(conv: str) -> str:
    return f"mean_{key_of(conv)}"

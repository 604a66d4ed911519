"""A bound on the error of a network in float32 on any CPU, computed in float64 from its weights.

How far a float32 result is from the exact one depends on the CPU: vector width, order of summation, fused
multiply-adds, the library's exp and erf. All of them follow the standard model of floating-point arithmetic: the error
of an operation is at most u = 2^-24 of its result, and that of a sum of n products about sqrt(n)·u of the sum of their
magnitudes, in whatever order it is computed (N. Higham, T. Mary, "A new approach to probabilistic rounding error
analysis", SIAM J. Sci. Comput. 41, 2019).

So the bound sums up, for one input:

- for every operation, an error of the full size that the model allows its result, with a random sign per value:
  u·|x| for one rounding, u·(sqrt(n) + 2)·Σ|w·x| for a convolution of n products per output (the 2 are the roundings of
  its stored weights), u·sqrt(n)·mean|x| for a mean of n values, 4·u for erf and exp;
- what the network makes of these errors: each is added to the result in float64 where it arises, and passes through all
  operations that follow, which amplify or average it as they do any signal;
- a factor `MARGIN`, as signs of real errors are not those of the simulation.

The bound is `MARGIN` times the difference at the output. Only float64 arithmetic and a seeded generator are involved,
so it is the same on every machine. Worst-case bounds (n·u for a sum, all signs alike, absolute weights from layer to
layer) hold too, but exceed the output itself after a few layers, so that nothing could fail them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

UNIT = 2.0**-24
"""Half a unit in the last place of float32: the largest relative error of one rounding."""

MARGIN = 8.0
"""How much more than the simulated error is allowed.

The signs of real errors are not those of the simulation, and the largest error in a frame of millions of values exceeds
that of a small probe. Real errors are 6 to 50 times below the simulated ones, because the average error of a rounding
is a fraction of the largest. So a sound float32 result is a factor of about 50 or more below this bound. Half
precision, TF32 and bfloat16, whose units are at least 2^13 times this one, exceed it.
"""

_STORED_ROUNDINGS = 2
"""How often a stored weight is rounded: after the merge of a block, and at the end of the export."""

_FUNCTION_ULPS = 4
"""Accuracy of erf and exp in common vector libraries: within 4 units of the largest intermediate result."""

Error = Callable[[NDArray[Any], NDArray[Any]], float]
"""How two results differ: `(result, reference) -> error`."""

_MOVES = {
    "pixel_shuffle",
    "pixel_unshuffle",
    "reflection_pad2d",
    "index",
    "upsample_nearest2d",
    "relu",
    "cat",
    "lift_fresh",
}
"""Operations, other than views, that only move or select values and so round nothing."""


class FloatCost:
    """Bounds on the error of one network in float32, in the terms of `error`.

    Both methods take an input (1, 3, H, W) of any floating type, with values as the network takes them.

    Args:
        network: any module with one input and one output. It is copied.
        error: measures a simulated result against the exact one.
    """

    def __init__(self, network: nn.Module, error: Error) -> None:
        self._exact = copy.deepcopy(network).double().eval()
        self._stored = _perturbed(self._exact)
        self._error = error

    def arithmetic(self, image: NDArray[Any]) -> float:
        """Bound on the error of the network computed in float32, stored weights included, for this input."""
        frame = _frame(image)
        with torch.no_grad():
            exact = self._exact(frame)
            with _Rounding():
                rounded = self._exact(frame)
        return MARGIN * self._error(rounded.numpy(), exact.numpy())

    def storage(self, image: NDArray[Any]) -> float:
        """Bound on the effect of rounding the weights to float32, when all arithmetic is in float64."""
        frame = _frame(image)
        with torch.no_grad():
            return MARGIN * self._error(self._stored(frame).numpy(), self._exact(frame).numpy())


class _Rounding(TorchDispatchMode):  # type: ignore[no-untyped-call]  # its __init_subclass__ is not typed
    """While active, adds to the result of every float64 operation an error as large as float32 may make there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator = torch.Generator().manual_seed(0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not isinstance(result, Tensor) or result.dtype != torch.float64 or func.is_view or name in _MOVES:
            return result
        return result + UNIT * _magnitude(func, name, args, result) * _signs(result, self._generator)


def _magnitude(func: Any, name: str, args: tuple[Any, ...], result: Tensor) -> Tensor:
    """The largest error of an operation's result in float32, in units of u. Of the result's shape."""
    if name in ("convolution", "conv2d"):
        x, weight, bias, *geometry = args
        products = weight[0].numel()
        # Cancellation makes a sum small, not its rounding errors: these go with the sum of the magnitudes.
        absolute: Tensor = func(x.abs(), weight.abs(), None if bias is None else bias.abs(), *geometry)
        return absolute * (math.sqrt(products) + _STORED_ROUNDINGS)
    if name == "mean":
        x, *axes = args
        mean: Tensor = func(x.abs(), *axes)
        return mean * math.sqrt(x.numel() / result.numel())
    if name in ("gelu", "sigmoid", "silu"):
        # 1 + erf(x) cancels where x is negative, so that the error is relative to the operands, not to the result.
        return _FUNCTION_ULPS * torch.maximum(args[0].abs(), result.abs())
    return result.abs()


def _perturbed(network: nn.Module) -> nn.Module:
    """A copy whose weights have the largest error that storing them may make, with random signs."""
    generator = torch.Generator().manual_seed(0)
    stored = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in stored.parameters():
            parameter.mul_(1 + _STORED_ROUNDINGS * UNIT * _signs(parameter, generator))
    return stored


def _signs(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, like.shape, generator=generator, dtype=torch.int8) * 2 - 1


def _frame(image: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(image, np.float64, order="C"))

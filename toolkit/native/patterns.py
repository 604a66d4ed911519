"""Finds layer norms, GELUs and SiLUs that a graph expresses in elementary operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import erf
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.matching import constant, consumers, is_channel_mean, producer

Doubles = NDArray[np.float64]
_ERF: Callable[[Doubles], Doubles] = np.vectorize(erf, otypes=[np.float64])
_ELEMENTWISE: dict[str, Callable[..., Doubles]] = {
    "Add": np.add,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Erf": _ERF,
    "Tanh": np.tanh,
}
_GELU_TOLERANCE = {"float32": 1e-6, "bfloat16": 0.02}
"""Largest difference from the exact GELU, by type of the constants: those of a bf16 graph are rounded."""


@dataclass(frozen=True)
class NormPattern:
    """A layer norm over channels without scale and shift; its last node is a Div."""

    data: ir.Value
    centre: bool
    epsilon: float


@dataclass(frozen=True)
class ActivationPattern:
    """A GELU or SiLU; its last node is a Mul."""

    data: ir.Value
    kind: Literal["gelu", "gelu-tanh", "silu"]


@dataclass(frozen=True)
class Patterns:
    """Patterns by their last node (`found`), and for each other node of a pattern its last node (`inner`)."""

    found: dict[ir.Node, NormPattern | ActivationPattern]
    inner: dict[ir.Node, ir.Node]


def find_patterns(model: ir.Model) -> Patterns:
    """All norms, GELUs and SiLUs whose intermediate values are not used elsewhere."""
    patterns = Patterns({}, {})
    for node in model.graph:
        find = _FINDERS.get(node.op_type)
        match = None if find is None else find(node)
        if match is None:
            continue
        last, pattern, inner = match
        if all(set(consumers(item.outputs[0])) <= {*inner, last} for item in inner):
            patterns.found[last] = pattern
            patterns.inner.update(dict.fromkeys(inner, last))
    return patterns


def _norm(divide: ir.Node) -> tuple[ir.Node, NormPattern, list[ir.Node]] | None:
    """x / sqrt(mean(x * x) + epsilon), where x may have had its mean subtracted before."""
    centred, root = divide.inputs[0], producer(divide.inputs[1], "Sqrt")
    add = None if root is None else producer(root.inputs[0], "Add")
    if centred is None or root is None or add is None:
        return None
    epsilon = next((constant(value) for value in add.inputs if constant(value) is not None), None)
    mean = next((node for value in add.inputs if (node := producer(value, "ReduceMean")) is not None), None)
    square = None if mean is None else producer(mean.inputs[0], "Mul")
    if epsilon is None or epsilon.size != 1 or mean is None or square is None or not is_channel_mean(mean):
        return None
    if any(value is not centred for value in square.inputs):
        return None
    inner = [square, mean, add, root]
    subtract = producer(centred, "Sub")
    average = None if subtract is None else producer(subtract.inputs[1], "ReduceMean")
    if subtract is None or average is None or average.inputs[0] is not subtract.inputs[0]:
        return divide, NormPattern(centred, False, float(epsilon.item())), inner
    data = subtract.inputs[0]
    if data is None or not is_channel_mean(average):
        return None
    return divide, NormPattern(data, True, float(epsilon.item())), [average, subtract, *inner]


def _gelu(bend: ir.Node) -> tuple[ir.Node, ActivationPattern, list[ir.Node]] | None:
    """A GELU around an Erf or Tanh node.

    x * Phi(x) starts and ends at the same value x: follow the only reader of each result until a node reads x again.
    Exporters write the factors in many different orders, so the nodes between are not matched by structure: they are
    evaluated at 241 points of [-6, 6], and the result is compared with the exact function.
    """
    chain = [bend]
    data = None
    for _ in range(6):
        readers = consumers(chain[-1].outputs[0])
        if len(readers) != 1 or readers[0].op_type not in _ELEMENTWISE:
            return None
        chain.append(readers[0])
        data = next((value for value in readers[0].inputs if value is not None and _is_data(value, chain)), None)
        if data is not None:
            break
    before = None if data is None else _between(bend, data)
    if data is None or before is None:
        return None
    inner = [*before, *chain[:-1]]
    x = np.linspace(-6, 6, 241)
    values = {data: x}
    for node in [*inner, chain[-1]]:
        operands = [values[value] if value in values else constant(value) for value in node.inputs if value is not None]
        values[node.outputs[0]] = _ELEMENTWISE[node.op_type](*[np.asarray(item, np.float64) for item in operands])
    tanh = bend.op_type == "Tanh"
    phi = 0.5 * (1 + (np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)) if tanh else _ERF(x / np.sqrt(2))))
    given = {array.dtype.name for node in inner for value in node.inputs if (array := constant(value)) is not None}
    tolerance = max((_GELU_TOLERANCE.get(name, 0.0) for name in given), default=0.0)
    if np.abs(values[chain[-1].outputs[0]] - x * phi).max() > tolerance:
        return None
    return chain[-1], ActivationPattern(data, "gelu-tanh" if tanh else "gelu"), inner


def _is_data(value: ir.Value, chain: list[ir.Node]) -> bool:
    return constant(value) is None and value.producer() not in chain


def _between(bend: ir.Node, data: ir.Value) -> list[ir.Node] | None:
    """Elementwise nodes that compute the input of `bend` from `data`, in execution order; None if there are others."""
    found: dict[ir.Node, None] = {}

    def visit(value: ir.Value | None) -> bool:
        if value is None or value is data or constant(value) is not None:
            return value is not None
        node = value.producer()
        if node is None or node.op_type not in _ELEMENTWISE or not all(visit(item) for item in node.inputs):
            return False
        found[node] = None
        return True

    return list(found) if visit(bend.inputs[0]) else None


def _silu(sigmoid: ir.Node) -> tuple[ir.Node, ActivationPattern, list[ir.Node]] | None:
    """x * sigmoid(x)."""
    data, gate = sigmoid.inputs[0], sigmoid.outputs[0]
    readers = consumers(gate)
    if data is None or len(readers) != 1 or readers[0].op_type != "Mul":
        return None
    if {*readers[0].inputs} != {data, gate}:
        return None
    return readers[0], ActivationPattern(data, "silu"), [sigmoid]


_FINDERS: dict[str, Callable[[ir.Node], tuple[ir.Node, NormPattern | ActivationPattern, list[ir.Node]] | None]] = {
    "Div": _norm,
    "Erf": _gelu,
    "Tanh": _gelu,
    "Sigmoid": _silu,
}
"""What looks for a pattern around a node, by its operator."""

"""Which nodes stay in float32, by the names in `ConvertOptions.keep_fp32`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import onnx

from toolkit.errors import InputError
from toolkit.graph.precision.options import BETWEEN

_NORM = "norm"
_MULTIPLY = {"MatMul", "Gemm"}

Kept = Callable[[str], bool]
"""Whether the node of a name stays in float32."""


def kept_nodes(model: onnx.ModelProto, wanted: Sequence[str]) -> Kept:
    """Whether a node stays in float32, as a function of its name.

    Args:
        model: whose nodes the names are looked up in; it may be rewritten afterwards.
        wanted: a name means its node and everything below it (`body.0.norm`); `norm` means every norm, and `between`
            everything but dense convolutions and matrix products.

    Raises:
        InputError: a name matches no node.
    """
    names = [node.name for node in model.graph.node]
    for item in wanted:
        if item != BETWEEN and not any(_named(name, [item]) for name in names):
            raise InputError(f"no node is called {item!r}", "`toolkit inspect --nodes` lists them.")
    multiplying = {node.name for node in model.graph.node if _multiplies(node)}

    def kept(name: str) -> bool:
        return (BETWEEN in wanted and name not in multiplying) or _named(name, wanted)

    return kept


def _multiplies(node: onnx.NodeProto) -> bool:
    groups = next((item.i for item in node.attribute if item.name == "group"), 1)
    return node.op_type in _MULTIPLY or (node.op_type == "Conv" and groups == 1)


def _named(name: str, wanted: Iterable[str]) -> bool:
    return any(name == item or name.startswith(f"{item}.") or (item == _NORM and ".norm." in name) for item in wanted)

"""Removes padding to a multiple, and the cropping that goes with it, from a graph that does both by its own size."""

from __future__ import annotations

import onnx_ir as ir

from toolkit.graph.editing import remove_unused_nodes, shorten_output
from toolkit.graph.matching import constant, producer
from toolkit.graph.passes.base import GraphPass

_PLAIN = {"Identity", "Cast"}
"""Operators between the ends of the graph and its padding that do not change sizes."""


class ReleasePadding(GraphPass):
    """Let the graph take only sizes that need no padding; sessions extend other images before they enter it.

    Padding by amounts that the graph computes from its input's size makes every node depend on the whole frame as far
    as an analysis can tell, so that frames cannot be upscaled in strips, and it is work on the device that strips and
    tiles do not need.

    Requires: nothing. The graph computes the same function only for sizes that it did not pad. The caller finds out
    which those are, and whether extending other images by reflection gives what the graph's own padding gave.
    Ensures: the input is not padded by computed amounts.
    """

    title = "padding outside the graph"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        pads = [node for node in list(model.graph) if _pads_input(node)]
        if not pads:
            return ir.passes.PassResult(model, modified=False)
        for pad in pads:
            pad.outputs[0].replace_all_uses_with(pad.inputs[0])  # type: ignore[arg-type]  # a Pad has an input
        self._drop_cropping(model)
        remove_unused_nodes(model)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        if left := [node.name for node in model.graph if _pads_input(node)]:
            raise ir.passes.PostconditionError(f"{left} still pad by computed amounts")

    @staticmethod
    def _drop_cropping(model: ir.Model) -> None:
        """The output becomes what the last Slices with computed ends crop."""
        result = model.graph.outputs[0]
        cropped = result
        while (crop := producer(cropped, "Slice")) is not None and constant(crop.inputs[2]) is None:
            if crop.inputs[0] is None:
                break
            cropped = crop.inputs[0]
        if cropped is not result:
            shorten_output(model, cropped)


def _pads_input(node: ir.Node) -> bool:
    """Whether it pads the graph's input by amounts that are computed."""
    if node.op_type != "Pad" or constant(node.inputs[1]) is not None:
        return False
    value = node.inputs[0]
    while value is not None and (before := value.producer()) is not None and before.op_type in _PLAIN:
        value = before.inputs[0]
    return value is not None and value.is_graph_input()

"""The base class of all passes: what a pass requires and ensures, and which places it did not rewrite."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from toolkit.port import Port


class GraphPass(ir.passes.InPlacePass):
    """A rewrite of the graph, in place, that keeps the function.

    A subclass overrides three methods of onnx-ir's contract, of which only `call` is not optional:

    - `requires` raises PreconditionError if the graph is not one that the pass can be applied to;
    - `call` rewrites the graph, and calls `refuse` for each place that looked like a match but was not rewritten;
    - `ensures` raises PostconditionError if something is left that the pass should have removed.

    A call of the pass runs all three in this order. That the function stayed the same is measured by the caller
    (`toolkit.graph.pipeline`), because no condition on the structure can prove it.

    Attributes:
        title: what reports call the step.
        refused: why a place was not rewritten, by the name of its node.
        port: how the graph's input and output hold pictures after the pass, if it changes that.
        returned: how only the output does, if the pass changes that.
        notes: what users of the result should know.
    """

    title: str = ""
    port: Port | None = None
    returned: Port | None = None

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}

    def refuse(self, node: ir.Node, reason: str) -> None:
        """Note why a place that looked like a match is not rewritten."""
        self.refused[str(node.name)] = reason

    @property
    def notes(self) -> list[str]:
        return []

    @property
    def refusals(self) -> list[str]:
        """For reports: each place that was not rewritten, and why."""
        return [f"{node}: {reason}" for node, reason in self.refused.items()]

    def rewritten(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The graph after this pass; `model` itself is not changed.

        Raises:
            InvariantError: a condition did not hold.
        """
        graph = ir.from_proto(model)
        self(graph)
        return ir.to_proto(graph)

"""From the exporter's graph to the deployed one, with a check after every step that the function is still the same.

The graph is exported, rewritten and simplified in float64, and after every step compared in float64 with the network.
At the end each constant is rounded to float32, once and to nearest, which is checked constant by constant. So the
proof is that of the float64 graph, and what is stored is its rounding; neither depends on how a CPU rounds float32.
What float32 arithmetic costs is measured beside it, with a bound that holds for every CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.checks import Check, CheckKind
from toolkit.errors import CheckFailed
from toolkit.graph.analysis.float64 import in_float32, largest_rounding
from toolkit.graph.analysis.numerics import FLOAT64_BOUND, Probes, Truth
from toolkit.graph.passes.base import GraphPass
from toolkit.graph.passes.check_size import CheckSize
from toolkit.graph.passes.fix_shape import FixShape
from toolkit.graph.passes.fold_centring import FoldCentring
from toolkit.graph.passes.fold_norm_scale import FoldNormScale
from toolkit.graph.passes.limit_output import LimitOutput
from toolkit.graph.passes.merge_unshuffle import MergeUnshuffle
from toolkit.graph.passes.readable_names import ReadableNames
from toolkit.graph.passes.uint8_io import Uint8IO
from toolkit.graph.passes.widen_channel_mean import WidenChannelMean
from toolkit.graph.simplify import simplify
from toolkit.manifest_parts import Step
from toolkit.network.architectures.configuration import Configuration
from toolkit.network.impulses import ROUNDING_BOUND
from toolkit.port import PLANAR, Layout, Port
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import Shape

Cost = Callable[[NDArray[Any]], float]
"""What float32 may cost the network for an input (1, 3, H, W) in 0..1, on any CPU, as `relative_error` measures it."""

_REHEARSAL = 24
"""Height and width, in pixels, at which static graphs are checked: the reference implementation is slow."""


@dataclass
class Deployment:
    """A graph between the exporter's form and the deployed one, and the record of the steps so far."""

    model: onnx.ModelProto
    probes: Probes
    progress: ProgressCallback
    steps: list[Step] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    given: Port = PLANAR
    """How the input holds pictures."""
    returned: Port = PLANAR
    """How the output holds them."""

    def run(self, graph_pass: GraphPass, *, measure: bool = True) -> None:
        """Apply a pass between its pre- and postcondition, then measure.

        Raises:
            CheckFailed: a condition did not hold, or the function changed.
        """
        self.progress(Progress(graph_pass.title))
        try:
            model = graph_pass.rewritten(self.model)  # runs `requires` before and `ensures` after
        except ir.passes.InvariantError as error:
            raise CheckFailed(f"{graph_pass.title}: {error}") from error
        self.given = graph_pass.port or self.given
        self.returned = graph_pass.returned or graph_pass.port or self.returned
        self.record(graph_pass.title, model, "; ".join(graph_pass.refusals), measure=measure)

    def record(self, title: str, model: onnx.ModelProto, detail: str = "", *, measure: bool = True) -> None:
        """Make `model` the current graph, and check that it still computes the network's function."""
        self.steps.append(Step(title, len(model.graph.node), detail))
        self.model = model
        if measure:
            self.check("graph", title, self.probes.float64_error(model, self.given, self.returned), FLOAT64_BOUND)

    def store(self) -> onnx.ModelProto:
        """The graph in float32; how far its constants are from the float64 ones is checked."""
        stored = in_float32(self.model)
        self.check("stored constants", "float32 graph", largest_rounding(self.model, stored), ROUNDING_BOUND)
        return stored

    def run_in_float32(self, cost: Cost) -> None:
        """Measure what float32 arithmetic costs the stored graph."""
        bound = max(cost(PLANAR.from_image(image, floating=np.float64)) for image in self.probes.images)
        error = self.probes.float32_error(in_float32(self.model), self.given, self.returned)
        self.check("float32 arithmetic", "ONNX reference implementation", error, bound)

    def check(self, kind: CheckKind, subject: str, measured: float, bound: float) -> None:
        """Record a measurement.

        Raises:
            CheckFailed: it is beyond its bound.
        """
        check = Check.of(kind, subject, measured, bound)
        self.checks.append(check)
        if not check.passed:
            what = f"{subject} changed the function: the error" if kind == "graph" else check.name
            raise CheckFailed(f"{what} is {measured:.3g}, allowed {bound:.3g}")


@dataclass(frozen=True)
class Deployed:
    """A finished graph with its record."""

    model: onnx.ModelProto
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]


def deploy(
    model: onnx.ModelProto,
    config: Configuration,
    truth: Truth,
    cost: Cost,
    *,
    shape: Shape | None = None,
    uint8_layout: Layout | None = None,
    clamp: bool = True,
    with_simplify: bool = True,
    progress: ProgressCallback = no_progress,
) -> Deployed:
    """Rewrite `model`, as the exporter wrote it, for deployment, and store it in float32.

    Args:
        model: dynamic height and width, float64 throughout, input (1, 3, H, W).
        config: of the network.
        truth: the network with the same weights in float64, which every step is compared with.
        cost: what float32 may cost it.
        shape: make the graph static at the end.
        uint8_layout: take and return uint8 images in this layout.
        clamp: limit a floating-point output to 0..1.
        with_simplify: run onnxsim.
        progress: called as each step begins.

    Raises:
        CheckFailed: a step's condition did not hold, or it changed the function.
    """
    deployment = Deployment(model, Probes.of(truth), progress)
    deployment.record("torch.onnx.export", model)
    for graph_pass in (ReadableNames(), MergeUnshuffle(), FoldNormScale(), FoldCentring(), WidenChannelMean()):
        deployment.run(graph_pass)
    if with_simplify:
        progress(Progress("onnxsim"))
        deployment.record("onnxsim", simplify(deployment.model))
    ends: tuple[GraphPass, ...] = ()
    if uint8_layout is not None:
        ends = (Uint8IO(uint8_layout),)
    elif clamp:
        ends = (LimitOutput(),)
    if shape is not None:
        _make_static(deployment, config, truth, cost, shape, ends)
    else:
        for last in ends:
            deployment.run(last)
        if config.sizes.multiple > 1:
            deployment.run(CheckSize(config.scale, deployment.given))
    _finish(deployment.model, config)
    stored = deployment.store()
    if shape is None:
        deployment.run_in_float32(cost)
    onnx.checker.check_model(stored, full_check=True)
    return Deployed(stored, tuple(deployment.steps), tuple(deployment.checks))


def _make_static(
    deployment: Deployment,
    config: Configuration,
    truth: Truth,
    cost: Cost,
    shape: Shape,
    ends: tuple[GraphPass, ...],
) -> None:
    """Run the last passes, and check them at a small size of the same parity that extends the image in the same way."""
    small = Shape(*(size if size <= _REHEARSAL else _REHEARSAL + size % 2 for size in (shape.height, shape.width)))
    rehearsal = Deployment(deployment.model, Probes.of(truth, (small, small, small)), deployment.progress)
    for current, size in ((rehearsal, small), (deployment, shape)):
        current.run(FixShape(size.height, size.width, config.scale, config.sizes), measure=current is rehearsal)
        for graph_pass in ends:
            current.run(graph_pass, measure=current is rehearsal)
    if [node.op_type for node in rehearsal.model.graph.node] != [node.op_type for node in deployment.model.graph.node]:
        raise CheckFailed(f"the graph for {shape} has other nodes than the one that was checked at {small}")
    rehearsal.run_in_float32(cost)
    deployment.checks += [msgspec.structs.replace(check, detail=f"at {small}") for check in rehearsal.checks]


def _finish(model: onnx.ModelProto, config: Configuration) -> None:
    """Give dynamic sizes readable names and drop the shapes of intermediate tensors, in place."""
    del model.graph.value_info[:]
    for end, factor in ((model.graph.input[0], ""), (model.graph.output[0], f"{config.scale}*")):
        symbols = [dim for dim in end.type.tensor_type.shape.dim if not dim.HasField("dim_value")]
        for dim, name in zip(symbols, ("height", "width"), strict=False):
            dim.dim_param = f"{factor}{name}"

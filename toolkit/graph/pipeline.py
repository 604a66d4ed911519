"""From the exporter's graph to the deploy form, measuring after every step that the function is still the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import onnx
import onnx_ir as ir

from toolkit.artifact import Layout, PortType, Step
from toolkit.checks import Check
from toolkit.errors import CheckFailed
from toolkit.graph.numerics import UINT8_BOUND, UINT8_SHARE_BOUND, Probes, Single, Truth
from toolkit.graph.passes.fix_shape import FixShape
from toolkit.graph.passes.fold_centring import FoldCentring
from toolkit.graph.passes.fold_norm_scale import FoldNormScale
from toolkit.graph.passes.matching import GraphPass
from toolkit.graph.passes.merge_unshuffle import MergeUnshuffle
from toolkit.graph.passes.readable_names import ReadableNames
from toolkit.graph.passes.uint8_io import Uint8IO
from toolkit.graph.simplify import simplify
from toolkit.network.config import NetworkConfig
from toolkit.workloads import Shape

Report = Callable[[str], None]

_REHEARSAL = 24


@dataclass
class Deployment:
    """A graph on its way to deploy form, and the record of that way."""

    model: onnx.ModelProto
    probes: Probes
    report: Report
    steps: list[Step] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    dtype: PortType = "float32"
    layout: Layout = "NCHW"

    def run(self, graph_pass: GraphPass, *, measure: bool = True) -> None:
        """Apply a pass between its pre- and postcondition, then measure.

        Raises:
            CheckFailed: a condition did not hold, or the function changed.
        """
        self.report(graph_pass.title)
        model = ir.from_proto(self.model)
        try:
            graph_pass(model)  # runs `requires` before and `ensures` after
        except ir.passes.InvariantError as error:
            raise CheckFailed(f"{graph_pass.title}: {error}") from error
        if isinstance(graph_pass, Uint8IO):
            self.dtype, self.layout = "uint8", graph_pass.layout
        self.record(graph_pass.title, ir.to_proto(model), "; ".join(graph_pass.refusals), measure=measure)

    def record(self, title: str, model: onnx.ModelProto, detail: str = "", *, measure: bool = True) -> None:
        """Take `model` as the current one, when it computes what it should."""
        self.steps.append(Step(title, len(model.graph.node), detail))
        self.model = model
        if measure:
            errors = np.concatenate([image.ravel() for image in self.probes.errors(model, self.dtype, self.layout)])
            bound = UINT8_BOUND if self.dtype == "uint8" else self.probes.float_bound
            check = Check.of("graph", title, float(errors.max()), bound)
            checks = [check]
            if self.dtype == "uint8":
                share = float(np.mean(errors > 0))
                checks.append(Check.of("values off by one", title, share, UINT8_SHARE_BOUND))
            self.checks += checks
            for check in checks:
                if not check.passed:
                    measured = f"{check.name} is {check.measured:.3g}, allowed {check.bound:g}"
                    raise CheckFailed(f"{title} changed the function: {measured}")


@dataclass(frozen=True)
class Deployed:
    """A finished graph with its record."""

    model: onnx.ModelProto
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]


def deploy(
    model: onnx.ModelProto,
    config: NetworkConfig,
    truth: Truth,
    *,
    single: Single | None = None,
    shape: Shape | None = None,
    uint8_layout: Layout | None = None,
    with_simplify: bool = True,
    report: Report = lambda _: None,
) -> Deployed:
    """Bring `model`, fresh from the exporter, to deploy form.

    Args:
        model: dynamic height and width, float input (1, 3, H, W).
        truth: the exact network, which every step is measured against.
        single: the same in float32, to know what rounding alone costs; None: no more than the released networks lose.
        shape: make the graph static at the end.
        uint8_layout: take and return uint8 images in this layout.
        with_simplify: run onnxsim.
        report: called with the title of each step.

    Raises:
        CheckFailed: a step's condition did not hold, or it changed the function.
    """
    deployment = Deployment(model, Probes.of(truth, single=single), report)
    deployment.record("torch.onnx.export", model)
    for graph_pass in (ReadableNames(), MergeUnshuffle(), FoldNormScale(), FoldCentring()):
        deployment.run(graph_pass)
    if with_simplify:
        report("onnxsim")
        deployment.record("onnxsim", simplify(deployment.model))
    if shape is None:
        if uint8_layout is not None:
            deployment.run(Uint8IO(uint8_layout))
    else:
        _make_static(deployment, config, truth, single, shape, uint8_layout)
    return Deployed(_finished(deployment.model, config), tuple(deployment.steps), tuple(deployment.checks))


def _make_static(
    deployment: Deployment,
    config: NetworkConfig,
    truth: Truth,
    single: Single | None,
    shape: Shape,
    uint8_layout: Layout | None,
) -> None:
    """The last passes, rehearsed at a small size of the same parity, where the reference implementation is quick."""
    small = Shape(*(size if size <= _REHEARSAL else _REHEARSAL + size % 2 for size in (shape.height, shape.width)))
    rehearsal = Deployment(deployment.model, Probes.of(truth, (small, small, small), single), deployment.report)
    for current, size in ((rehearsal, small), (deployment, shape)):
        current.run(FixShape(size.height, size.width, config.scale, config.minimum_size), measure=current is rehearsal)
        if uint8_layout is not None:
            current.run(Uint8IO(uint8_layout), measure=current is rehearsal)
    if [node.op_type for node in rehearsal.model.graph.node] != [node.op_type for node in deployment.model.graph.node]:
        raise CheckFailed(f"the graph for {shape} has other nodes than the one that was checked at {small}")
    deployment.checks += [msgspec.structs.replace(check, detail=f"at {small}") for check in rehearsal.checks]


def _finished(model: onnx.ModelProto, config: NetworkConfig) -> onnx.ModelProto:
    """Sizes named for people, no left-over shapes of intermediate tensors; valid."""
    del model.graph.value_info[:]
    for end, factor in ((model.graph.input[0], ""), (model.graph.output[0], f"{config.scale}*")):
        symbols = [dim for dim in end.type.tensor_type.shape.dim if not dim.HasField("dim_value")]
        for dim, name in zip(symbols, ("height", "width"), strict=False):
            dim.dim_param = f"{factor}{name}"
    onnx.checker.check_model(model, full_check=True)
    return model

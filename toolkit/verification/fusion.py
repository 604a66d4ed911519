"""`verify-fusion`: each block proved, then the whole network and the exported graph measured against it."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.checks import Check, CheckKind
from toolkit.errors import InputError, Unavailable
from toolkit.graph.export import export
from toolkit.graph.numerics import FLOAT_BOUND, UINT8_BOUND, quantised
from toolkit.graph.source import is_made_from
from toolkit.network.checkpoint import Checkpoint
from toolkit.network.fusion import fuse
from toolkit.network.model import RT4KSR, numpy_function
from toolkit.network.proof import BLOCK_BOUND, ROUNDING_BOUND, BlockProof, prove_blocks
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.registry import RUNTIMES
from toolkit.verification.inputs import TestInput, real_images, synthetic_inputs
from toolkit.workloads import Shape, workload_for_scale

FLOAT64_BOUND = 1e-11
"""Whole network, fused against unfused, in float64: rounding of a few thousand sums, relative to the output."""

_ROUNDINGS = 3
"""Each of two float32 forms may be as far off as a third, and in a full frame further than in small inputs."""

_EXECUTORS = ("ort-cpu", "openvino")

_FLOAT64_VALUES = 1_000_000
"""Larger inputs are compared in float32 only: a full frame in float64 costs gigabytes and shows nothing new."""


@dataclass(frozen=True)
class Comparison:
    """One input through every form of the network.

    Errors are as `difference` measures them; None where there is nothing to compare: a full frame in float64, or values
    that the exported graph cannot take (outside a uint8 image). `rounding` is the unfused network in float32 against
    itself in float64: what float32 alone costs.
    """

    input: str
    shape: Shape
    float64: float | None
    float32: float
    rounding: float | None = None
    graph_unfused: float | None = None
    graph_fused: float | None = None


@dataclass(frozen=True)
class Bounds:
    """What is allowed; `graph` is in grey levels for uint8 artifacts.

    Forms in float32 may differ by 1e-5, or by three times what float32 alone costs this network where that is more:
    a network of large inner values rounds more in any form. The proof is in float64.
    """

    graph: float
    block: float = BLOCK_BOUND
    rounding: float = ROUNDING_BOUND
    float64: float = FLOAT64_BOUND
    float32: float = FLOAT_BOUND


@dataclass(frozen=True)
class FusionReport:
    """Everything `verify-fusion` found out; `passed` only if every measurement is within its bound.

    `graph` names the runtime that ran the exported graph.
    """

    blocks: tuple[BlockProof, ...]
    comparisons: tuple[Comparison, ...]
    graph: str
    bounds: Bounds
    notes: tuple[str, ...] = ()

    @property
    def checks(self) -> list[Check]:
        """Every measurement with its bound."""
        bounds = self.bounds
        checks = [Check.of("fusion", block.name, block.measured, bounds.block) for block in self.blocks]
        checks += [Check.of("stored weights", block.name, block.rounding, bounds.rounding) for block in self.blocks]
        for item in self.comparisons:
            measured: tuple[tuple[CheckKind, float | None, float], ...] = (
                ("float64", item.float64, bounds.float64),
                ("float32", item.float32, bounds.float32),
                ("graph against unfused", item.graph_unfused, bounds.graph),
                ("graph against fused", item.graph_fused, bounds.graph),
            )
            checks += [Check.of(kind, item.input, value, bound) for kind, value, bound in measured if value is not None]
        return checks

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def verify_fusion(
    checkpoint: Checkpoint,
    artifact: Artifact | None = None,
    images: Sequence[TestInput] | None = None,
    *,
    full_frame: bool = True,
    report: Callable[[str], None] = lambda _: None,
) -> FusionReport:
    """Prove every block of a checkpoint, then compare unfused, fused and exported network.

    Args:
        checkpoint: in training form.
        artifact: exported from it; default: one made for the occasion and thrown away.
        images: real images; default: `real_images()`.
        full_frame: also compare one frame of the 4K workload of the network's scale.
        report: called with what is about to be measured.

    Raises:
        InputError: the checkpoint is fused already, or the artifact was made from another one.
        Unavailable: no runtime that could run the exported graph is installed.
    """
    network = checkpoint.network
    if checkpoint.layout == "rep_conv":
        raise InputError(
            f"{checkpoint.file} is already fused: there is nothing left to compare the merge with",
            "Give the checkpoint in training form (expand_conv, fea_conv, reduce_conv).",
        )
    report("blocks")
    blocks = tuple(prove_blocks(network, fuse(network)))
    with tempfile.TemporaryDirectory() as directory:
        if artifact is None:
            artifact = export(checkpoint, directory=directory, report=report)
        elif artifact.manifest.precision != "fp32":
            raise InputError(
                f"{artifact.path.name} is {artifact.manifest.precision}; fusion is proved on the fp32 artifact",
                "Its conversion was measured when it was made: see `toolkit inspect`.",
            )
        elif not is_made_from(artifact, checkpoint):
            raise InputError(f"{artifact.path} was not made from {checkpoint.file}")
        return _compare(network, artifact, blocks, images, full_frame, report)


def _compare(
    network: RT4KSR,
    artifact: Artifact,
    blocks: tuple[BlockProof, ...],
    images: Sequence[TestInput] | None,
    full_frame: bool,
    report: Callable[[str], None],
) -> FusionReport:
    notes = []
    shape = None if artifact.manifest.shape is None else Shape(*artifact.manifest.shape)
    given = real_images(shape=shape) if images is None else images
    if not given:
        notes.append("no real images were compared: give some with --images")
    if not blocks:
        notes.append("this network has no reparameterizable blocks: there is nothing to merge, only a graph to compare")
    session, graph = _graph_session(artifact)
    comparer = _Comparer(network, session)
    comparisons = []
    for item in chain(synthetic_inputs(shape), given, _full_frame(network, shape) if full_frame else ()):
        report(item.name)
        comparisons.append(comparer.compare(item))
    rounding = max((item.rounding for item in comparisons if item.rounding is not None), default=0.0)
    single = max(FLOAT_BOUND, _ROUNDINGS * rounding)
    if single > FLOAT_BOUND:
        notes.append(
            f"float32 alone costs this network up to {rounding:.1e}: its forms there may differ by {single:.1e}"
        )
    bounds = Bounds(UINT8_BOUND if artifact.manifest.input.dtype == "uint8" else single, float32=single)
    return FusionReport(blocks, tuple(comparisons), graph, bounds, tuple(notes))


class _Comparer:
    """The forms of one network, made once."""

    def __init__(self, network: RT4KSR, session: Session) -> None:
        exact = copy.deepcopy(network).double()
        self._exact = numpy_function(exact, "float64"), numpy_function(fuse(exact), "float64")
        self._single = numpy_function(network, "float32"), numpy_function(fuse(network), "float32")
        self._session = session

    def compare(self, item: TestInput) -> Comparison:
        unfused, fused = (function(item.array) for function in self._single)
        float64 = rounding = None
        if item.array.size <= _FLOAT64_VALUES:
            exact_unfused, exact_fused = (function(item.array) for function in self._exact)
            float64, rounding = difference(exact_fused, exact_unfused), difference(unfused, exact_unfused)
        shape = Shape(*item.array.shape[2:])
        against_unfused, against_fused = self._compare_graph(item, shape, unfused, fused)
        single = difference(fused, unfused)
        return Comparison(item.name, shape, float64, single, rounding, against_unfused, against_fused)

    def _compare_graph(
        self, item: TestInput, shape: Shape, unfused: NDArray[Any], fused: NDArray[Any]
    ) -> tuple[float | None, float | None]:
        session = self._session
        port = session.artifact.manifest.input
        if port.dtype == "uint8":
            if not item.image:
                return None, None
            # The networks were given values between grey levels; compare what the graph can be given.
            grey = quantised(item.array)
            unfused, fused = (quantised(function((grey / 255).astype(np.float32))) for function in self._single)
            frame: NDArray[Any] = grey.astype(np.uint8)
            unit = 255.0
        else:
            frame, unit = item.array, 1.0
        session.bind(shape)
        frame = frame.transpose(0, 2, 3, 1) if port.layout == "NHWC" else frame
        result = session.run(np.ascontiguousarray(frame))
        result = result.transpose(0, 3, 1, 2) if port.layout == "NHWC" else result
        return difference(result, unfused, unit), difference(result, fused, unit)


def difference(result: NDArray[Any], reference: NDArray[Any], nominal: float = 1.0) -> float:
    """Largest absolute difference; where the reference exceeds its nominal range, in proportion to that excess."""
    distance = np.abs(np.subtract(result, reference, dtype=np.float64)).max()
    return float(distance / np.maximum(1.0, np.abs(reference).max() / nominal))


def _full_frame(network: RT4KSR, shape: Shape | None) -> Iterable[TestInput]:
    """One frame of noise of the 4K workload's size, unless the artifact is made for another."""
    workload = workload_for_scale(network.config.scale)
    if workload is None or shape not in (None, workload.shape):
        return
    size = (1, 3, workload.shape.height, workload.shape.width)
    yield TestInput(f"full frame, {workload.name}", np.random.default_rng(1).random(size, np.float32))


def _graph_session(artifact: Artifact) -> tuple[Session, str]:
    """A session on the first runtime that works, and its name."""
    for name in _EXECUTORS:
        if RUNTIMES[name].probe().ok:
            return RUNTIMES[name].load(artifact), name
    raise Unavailable(
        f"the exported graph cannot be compared: none of {', '.join(_EXECUTORS)} is installed",
        'pip install "rt4ksr-toolkit[cpu]"',
    )

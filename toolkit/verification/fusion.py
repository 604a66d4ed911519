"""`toolkit verify-fusion`: proves the merge of each block, then compares the whole network and the exported graph.

Equality is tested in float64, where bounds are the same on every machine: 1e-11 between unfused and fused network. The
exported graph, computed in float64 with its stored constants, may differ by what rounding those constants to float32
can change. The comparisons in float32, including the graph on a runtime, show what float32 costs on this machine; their
bound is what it can cost on any CPU (`toolkit.network.rounding`).
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.checks import Check, CheckKind
from toolkit.errors import InputError, Unavailable
from toolkit.graph.analysis.numerics import FLOAT64_BOUND, frame_error
from toolkit.graph.export import export
from toolkit.graph.source import is_made_from
from toolkit.network.checkpoint import Checkpoint
from toolkit.network.fusion import fuse
from toolkit.network.impulses import BLOCK_BOUND, ROUNDING_BOUND
from toolkit.network.module import NetworkModule, numpy_function
from toolkit.network.proof import BlockProof, prove_blocks
from toolkit.network.rounding import FloatCost
from toolkit.port import PLANAR, Port, PortType
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.registry import RUNTIMES
from toolkit.system.extras import how_to_install
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.verification.exact_graph import ExactGraph
from toolkit.verification.inputs import TestInput, real_images, synthetic_inputs
from toolkit.workloads import Shape, workload_for_scale

_EXECUTORS = ("ort-cpu", "openvino")

_FLOAT64_VALUES = 1_000_000
"""Larger inputs are compared in float32 only: a full frame in float64 needs gigabytes and shows nothing new."""

_REFERENCE_VALUES = 20_000
"""Larger inputs are not run by ONNX's reference implementation, which takes seconds for 256x256 pixels."""

_UINT8_BOUND = 1.0
"""In grey levels: a value near a half may be rounded either way in float32."""


@dataclass(frozen=True)
class Comparison:
    """One input, run by all forms of the network.

    Errors are those of `difference`. None if not compared: a full frame in float64, or values outside 0..1 for a uint8
    graph.

    Attributes:
        input: name of the input.
        shape: its size in pixels.
        float64: fused against unfused network, both in float64.
        float32: the same in float32, by PyTorch.
        graph_float64: the exported graph, computed in float64, against the unfused network in float64; for a
            uint8 graph, the excess over half a grey level, divided by 255.
        graph_unfused: the exported graph on a runtime against the unfused network in float32.
        graph_fused: the same against the fused network.
    """

    input: str
    shape: Shape
    float64: float | None
    float32: float
    graph_float64: float | None = None
    graph_unfused: float | None = None
    graph_fused: float | None = None


@dataclass(frozen=True)
class Bounds:
    """Largest allowed errors, the same on every machine.

    Attributes:
        graph: for the exported graph on a runtime; in grey levels for uint8 artifacts.
        graph_float64: for the exported graph in float64: what rounding its constants to float32 can change.
        float32: between two forms in float32: what float32 can cost both of them on any CPU.
        block: of `BlockProof.measured`.
        rounding: of `BlockProof.rounding`.
        float64: for unfused against fused in float64.
    """

    graph: float
    graph_float64: float
    float32: float
    block: float = BLOCK_BOUND
    rounding: float = ROUNDING_BOUND
    float64: float = FLOAT64_BOUND

    @classmethod
    def of(cls, network: NetworkModule, dtype: PortType) -> Bounds:
        """Compute the bounds from the network's weights, on small inputs."""
        costs = [FloatCost(form, difference) for form in (network, fuse(network))]
        inputs = [item.array for item in synthetic_inputs()]
        float32 = max(sum(cost.arithmetic(array) for cost in costs) for array in inputs)
        storage = max(costs[1].storage(array) for array in inputs)
        return cls(_UINT8_BOUND if dtype == "uint8" else float32, storage, float32)


@dataclass(frozen=True)
class FusionReport:
    """All measurements of `verify-fusion`; `passed` if every one is within its bound.

    `graph` is the name of the runtime that ran the exported graph.
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
                ("graph in float64", item.graph_float64, bounds.graph_float64),
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
    progress: ProgressCallback = no_progress,
) -> FusionReport:
    """Prove the merge of every block of a checkpoint, then compare the unfused, fused and exported network.

    Args:
        checkpoint: in training form.
        artifact: exported from it; default: a temporary export.
        images: real images; default: `real_images()`.
        full_frame: also compare one frame of the 4K workload of the network's scale.
        progress: called before each measurement.

    Raises:
        InputError: the checkpoint is fused already, or the artifact was exported from another one.
        Unavailable: no runtime for the exported graph is installed.

    Example:
        >>> checkpoint = toolkit.load_checkpoint("rt4ksr_x2.safetensors")
        >>> toolkit.verify_fusion(checkpoint, full_frame=False).passed
        True
    """
    network = checkpoint.network
    if checkpoint.merged:
        raise InputError(
            f"{checkpoint.file} is already fused: there is no unfused network to compare with",
            "Give the checkpoint in training form, before its blocks were merged.",
        )
    progress(Progress("blocks"))
    blocks = tuple(prove_blocks(network, fuse(network)))
    with tempfile.TemporaryDirectory() as directory:
        if artifact is None:
            artifact = export(checkpoint, directory=directory, progress=progress)
        elif artifact.manifest.lowered:
            raise InputError(
                f"{artifact.path.name} is {artifact.manifest.precision}; fusion is verified on the fp32 artifact",
                "The error of its conversion is in its manifest: see `toolkit inspect`.",
            )
        elif not is_made_from(artifact, checkpoint):
            raise InputError(f"{artifact.path} was not exported from {checkpoint.file}")
        return _compare(network, artifact, blocks, images, full_frame, progress)


def _compare(
    network: NetworkModule,
    artifact: Artifact,
    blocks: tuple[BlockProof, ...],
    images: Sequence[TestInput] | None,
    full_frame: bool,
    progress: ProgressCallback,
) -> FusionReport:
    notes = []
    shape = None if artifact.manifest.shape is None else Shape(*artifact.manifest.shape)
    given = real_images(shape=shape) if images is None else images
    if not given:
        notes.append("no real images were compared; specify some with --images")
    if not blocks:
        notes.append("this network has no reparameterizable blocks: only the graph was compared")
    session, graph = _graph_session(artifact)
    comparer = _Comparer(network, session, ExactGraph(artifact))
    comparisons = []
    for item in chain(synthetic_inputs(shape), given, _full_frame(network, shape) if full_frame else ()):
        progress(Progress(item.name))
        comparisons.append(comparer.compare(item))
    if all(item.graph_float64 is None for item in comparisons):
        notes.append(f"the graph was not computed in float64: its fixed size {shape} is too large")
    bounds = Bounds.of(network, artifact.manifest.input.dtype)
    return FusionReport(blocks, tuple(comparisons), graph, bounds, tuple(notes))


class _Comparer:
    """All forms of one network, created once."""

    def __init__(self, network: NetworkModule, session: Session, graph: ExactGraph) -> None:
        exact = copy.deepcopy(network).double()
        self._exact = numpy_function(exact, "float64"), numpy_function(fuse(exact), "float64")
        self._single = numpy_function(network, "float32"), numpy_function(fuse(network), "float32")
        self._session, self._graph = session, graph

    def compare(self, item: TestInput) -> Comparison:
        unfused, fused = (function(item.array) for function in self._single)
        float64 = graph_float64 = None
        if item.array.size <= _FLOAT64_VALUES:
            exact_unfused, exact_fused = (function(item.array) for function in self._exact)
            float64 = difference(exact_fused, exact_unfused)
        if item.array.size <= _REFERENCE_VALUES:
            graph_float64 = self._graph_in_float64(item)
        shape = Shape(*item.array.shape[2:])
        against_unfused, against_fused = self._compare_graph(item, shape, unfused, fused)
        single = difference(fused, unfused)
        return Comparison(item.name, shape, float64, single, graph_float64, against_unfused, against_fused)

    def _graph_in_float64(self, item: TestInput) -> float | None:
        contract = self._session.contract
        if contract.input.dtype == "uint8" and not item.image:
            return None
        frame = contract.input.from_image(_picture(item.array), floating=np.float64)
        # The network is given what the frame holds: uint8 ports round their input.
        answer = self._exact[0](_planar(contract.input.to_image(frame, np.float64)))
        return frame_error(contract.output, self._graph.run(frame), answer)

    def _compare_graph(
        self, item: TestInput, shape: Shape, unfused: NDArray[Any], fused: NDArray[Any]
    ) -> tuple[float | None, float | None]:
        session = self._session
        given, returned = session.contract.input, session.contract.output
        if given.dtype == "uint8" and not item.image:
            return None, None
        frame = given.from_image(_picture(item.array))
        if given.dtype == "uint8":
            # A uint8 graph takes whole grey levels only, so all forms are compared on quantised values.
            held = PLANAR.from_image(given.to_image(frame, np.float64))
            unfused, fused = (function(held) for function in self._single)
        session.bind(shape)
        result = session.run(frame)
        if returned.dtype == "uint8":
            expected = [returned.from_image(_picture(answer)) for answer in (unfused, fused)]
            return difference(result, expected[0], returned.span), difference(result, expected[1], returned.span)
        image = returned.to_image(result, np.float64)
        return _graph_difference(returned, image, unfused), _graph_difference(returned, image, fused)


def _picture(array: NDArray[Any]) -> NDArray[np.float64]:
    """(1, 3, H, W) as a picture."""
    return PLANAR.values(array).astype(np.float64)


def _planar(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """A picture as (1, 3, H, W), in float64."""
    return PLANAR.from_image(picture, floating=np.float64)


def difference(result: NDArray[Any], reference: NDArray[Any], nominal: float = 1.0) -> float:
    """Largest absolute difference; if the reference exceeds its nominal range, divided by that excess."""
    distance = np.abs(np.subtract(result, reference, dtype=np.float64)).max()
    return float(distance / np.maximum(1.0, np.abs(reference).max() / nominal))


def _graph_difference(port: Port, image: NDArray[np.float64], answer: NDArray[Any]) -> float:
    """The difference of a picture that a graph returned, and a network's answer, which the graph may limit.

    It is relative to the answer before it is limited: so large are the values that were rounded on the way.
    """
    picture = _picture(answer)
    distance = difference(image, port.limit(picture))
    return distance / max(1.0, float(np.abs(picture).max())) if port.limited else difference(image, picture)


def _full_frame(network: NetworkModule, shape: Shape | None) -> Iterable[TestInput]:
    """One frame of noise in the size of the 4K workload, unless the artifact has another fixed size."""
    workload = workload_for_scale(network.config.scale)
    if workload is None or shape not in (None, workload.shape):
        return
    size = (1, 3, workload.shape.height, workload.shape.width)
    yield TestInput(f"full frame, {workload.name}", np.random.default_rng(1).random(size, np.float32))


def _graph_session(artifact: Artifact) -> tuple[Session, str]:
    """A session on the first runtime that is available, and the runtime's name."""
    for name in _EXECUTORS:
        if RUNTIMES[name].probe().ok:
            return RUNTIMES[name].load(artifact), name
    raise Unavailable(
        f"the exported graph cannot be run: none of {', '.join(_EXECUTORS)} is installed",
        how_to_install("cpu"),
    )

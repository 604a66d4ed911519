"""Adopts a checkpoint whose network spandrel builds: module → ONNX, compared with the module in float64 → adopted.

Runs in the separate process that adopts graphs: torch's exporters are large, and the file is a stranger's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.checks import Check
from toolkit.errors import InputError
from toolkit.findings import Finding
from toolkit.graph.adoption.adopting import Adopted, adopted
from toolkit.graph.adoption.reading import read_graph
from toolkit.graph.adoption.stated import Stated
from toolkit.graph.analysis.float64 import float64_function, in_float32
from toolkit.graph.analysis.numerics import relative_error
from toolkit.manifest_parts import Source
from toolkit.network.module import numpy_function, parameter_count
from toolkit.network.spandrel import SpandrelNetwork, spandrel_network
from toolkit.network.tracing import WAYS, Way, example_shape, rewrites_itself, traced
from toolkit.system.atomic import sha256_of_file
from toolkit.system.foreign import first_line
from toolkit.system.progress import Progress, ProgressCallback
from toolkit.workloads import Shape

OPSET = 20

ATTRIBUTE_BOUND = 2**-20
"""Largest difference of the exporter's graph from the module, in float64, relative to the output's largest value.
Without attributes it is near 1e-15. ONNX stores attributes such as the slope of LeakyRelu in float32, which changes
results by some 1e-9; an operator or a size that was written wrongly changes them by far more than the bound."""

_TOOLS = ("torch", "onnxscript", "spandrel")
_LICENCES = "MIT, Apache 2.0 or public domain"

Truth = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class _Traced:
    """A float64 graph that computes what its module does.

    Attributes:
        model: the graph.
        way: of exporting.
        check: the comparison.
    """

    model: onnx.ModelProto
    way: Way
    check: Check


def adopted_checkpoint(
    path: Path,
    entry: str | None,
    name: str,
    scale: int | None,
    licence: str | None,
    progress: ProgressCallback,
    *,
    with_simplify: bool = True,
) -> Adopted:
    """The artifact that a checkpoint becomes.

    Args:
        path: of the checkpoint.
        entry: which weights to take when it has several sets.
        name: of the artifact, with its precision.
        scale: expected; None: any.
        licence: of the weights.
        progress: called as each step begins.
        with_simplify: run onnxsim.

    Raises:
        CheckpointError: see `spandrel_network`.
        InputError: it has another scale, torch cannot export it, or it is no super-resolution network.
        CheckFailed: a step changed the function.
    """
    progress(Progress("recognising the network"))
    network = spandrel_network(path, entry)
    if scale not in (None, network.scale):
        raise InputError(f"it upscales x{network.scale}, not x{scale}", "Correct --scale, or leave it out.")
    made = _exported(network, progress)
    stated = Stated(
        network.scale,
        (0.0, 1.0),
        "RGB" if network.channels == 3 else "Y",
        network.sizes,
        keep_size=made.way == "fixed size",
        by=network.by,
    )
    with TemporaryDirectory() as scratch:
        graph = Path(scratch) / "network.onnx"
        onnx.save(in_float32(made.model), graph)
        result = adopted(read_graph(graph), graph, name, stated, licence, progress, with_simplify=with_simplify)
    manifest = result.manifest
    manifest = msgspec.structs.replace(
        manifest,
        network=msgspec.structs.replace(manifest.network, family=network.architecture),
        source=_source(path, network, manifest.source),
        checks=(made.check, *manifest.checks),
        tools=manifest.tools | {tool: version(tool) for tool in _TOOLS},
    )
    return Adopted(manifest, result.content)


def _source(path: Path, network: SpandrelNetwork, graph: Source) -> Source:
    """The checkpoint in place of the graph that was made from it on the way."""
    by = network.by
    known = (
        Finding(
            "architecture", network.architecture, f"by {by}, from its tensors: {', '.join(network.tags)}", given=True
        ),
        Finding("licence of the code", _LICENCES, f"{by} has no other architectures", given=True),
    )
    return msgspec.structs.replace(
        graph,
        file=path.name.encode("utf-8", "replace").decode(),
        sha256=sha256_of_file(path),
        layout=network.architecture,
        parameters=parameter_count(network.module),
        kind="spandrel",
        findings=(*known, *graph.findings),
    )


def _exported(network: SpandrelNetwork, progress: ProgressCallback) -> _Traced:
    """The network as a graph, by the first way that works.

    Raises:
        InputError: none does.
    """
    exact = network.module.double()
    truth = numpy_function(exact, "float64")
    reasons = []
    for way in WAYS[1:2] if rewrites_itself(exact, network.channels, network.sizes) else WAYS:
        progress(Progress(f"torch.onnx.export, {way}"))
        try:
            model = onnx.load_from_string(traced(exact, way, network.channels, network.sizes, OPSET))
            error = _difference(float64_function(model), truth, network, way)
        except Exception as failure:  # noqa: BLE001  (torch's exporters raise anything; the reasons are reported)
            reasons.append(f"{way}: {first_line(failure)}")
            continue
        check = Check.of("graph", "torch.onnx.export", error, ATTRIBUTE_BOUND, way)
        if check.passed:
            return _Traced(model, way, check)
        reasons.append(f"{way}: the graph differs from the module by {error:.1e} (bound {ATTRIBUTE_BOUND:.0e})")
    raise InputError(
        f"torch cannot export {network.architecture}: {'; '.join(reasons)}",
        "Export it to ONNX with its own code, and give that file to `toolkit adopt`.",
    )


def _difference(graph: Truth, truth: Truth, network: SpandrelNetwork, way: Way) -> float:
    """Largest difference between graph and module on noise: at the size of the example, and at others if it has any."""
    first = example_shape(network.sizes)
    steps = network.sizes.multiple
    others = (
        () if way == "fixed size" else (Shape(first.width + steps, first.height), network.sizes.extended(Shape(1, 1)))
    )
    generator = np.random.default_rng(0)
    frames = [generator.random((1, network.channels, *shape.sides)) for shape in (first, *others)]
    return max(relative_error(graph(frame), truth(frame)) for frame in frames)

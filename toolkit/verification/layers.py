"""`toolkit compare --layers`: finds the first node at which two graphs differ."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.graph.analysis.tensors import EVALUATORS, tensors
from toolkit.graph.reading import read_model
from toolkit.pages.drawing import drawn
from toolkit.port import PLANAR
from toolkit.quoting import plot
from toolkit.runtimes.subject import Subject
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.verification.functions import same_scale
from toolkit.workloads import Shape

LAYER_BOUND = 1e-4
"""Largest allowed error of a tensor relative to its largest value: far above the rounding of float32."""

_SIZE = Shape(32, 48)


class LayerComparison(msgspec.Struct, frozen=True):
    """A tensor that both graphs have. `relative` is the largest error divided by the first side's largest value."""

    name: str
    operator: str
    largest: float
    mean: float
    relative: float


class LayerReport(msgspec.Struct, frozen=True):
    """Tensors in the order of the first graph, and the first of them that exceeds the bound.

    `unmatched` are tensors of the first graph that the second does not have, because it was rewritten or fused.
    """

    first: str
    second: str
    bound: float
    layers: tuple[LayerComparison, ...]
    unmatched: tuple[str, ...]
    culprit: str | None

    @property
    def passed(self) -> bool:
        return self.culprit is None


def compare_layers(
    first: Subject,
    second: Subject,
    image: NDArray[np.float32] | None = None,
    bound: float = LAYER_BOUND,
    progress: ProgressCallback = no_progress,
) -> LayerReport:
    """Match the tensors inside two artifacts or engines of ONNX Runtime by name, and compare their values.

    Args:
        first: the reference. The runtime `reference` is ONNX's reference implementation, exact within the graph's
        types. second: compared with it. image: float32 (1, 3, H, W); default: seeded noise of 32x48. bound: see
        `LAYER_BOUND`. progress: called before each network runs.

    Raises:
        InputError: one of them has no ONNX graph, their scales differ, or they have no tensor in common.
        Unavailable: a runtime cannot run a graph.
    """
    same_scale(first, second)
    graphs = [_graph(first), _graph(second)]
    shape = first.fixed or second.fixed or _SIZE
    given = np.random.default_rng(0).random((1, 3, *shape.sides), np.float32) if image is None else image
    found = []
    for subject, path in zip((first, second), graphs, strict=True):
        progress(Progress(subject.label))
        found.append(
            tensors(read_model(path), subject.contract.input.from_image(PLANAR.values(given)), subject.runtime)
        )
    model = read_model(graphs[0])
    layers, unmatched = [], []
    for node in model.graph.node:
        for name in node.output:
            if name not in found[0]:
                continue  # integers
            if name not in found[1] or found[0][name].shape != found[1][name].shape:
                unmatched.append(name)
            else:
                layers.append(_compared(name, node.op_type, found[0][name], found[1][name]))
    if not layers:
        raise InputError(f"{first.label} and {second.label} have no tensor in common", "Export both in the same way.")
    # Not `relative > bound`: NaN must exceed the bound.
    culprit = next((layer.name for layer in layers if not layer.relative <= bound), None)
    return LayerReport(first.label, second.label, bound, tuple(layers), tuple(unmatched), culprit)


def plot_layers(report: LayerReport, path: Path, *, overwrite: bool = False) -> None:
    """Draw the error along the graph; the suffix of `path` chooses the format (PNG, SVG or PDF).

    Raises:
        Unavailable: matplotlib is not installed.
        InputError: the file cannot be written.
        OutputExists: it exists, and `overwrite` is false.
    """
    tiny, places = 1e-9, range(len(report.layers))
    with drawn(path, width=max(6, 0.22 * len(report.layers)), overwrite=overwrite) as axes:
        axes.semilogy(places, [max(layer.relative, tiny) for layer in report.layers], marker="o", markersize=3)
        axes.axhline(report.bound, color="tab:red", linewidth=1, label=f"bound {report.bound:g}")
        axes.set_xticks(places, [plot(layer.name) for layer in report.layers], rotation=90, fontsize=6)
        axes.set_ylabel("largest error / largest value")
        axes.set_title(plot(f"{report.second} against {report.first}"), fontsize=9)
        axes.legend()


def _graph(subject: Subject) -> Path:
    """The ONNX file that is run."""
    if subject.graph is None:
        raise InputError(
            f"the tensors of {subject.label} are not accessible: a checkpoint, or an engine without an ONNX graph",
            f"Compare artifacts, each on one of {', '.join(EVALUATORS)}, or engines of ort-cpu.",
        )
    return subject.graph


def _compared(name: str, operator: str, a: NDArray[np.float64], b: NDArray[np.float64]) -> LayerComparison:
    error = np.abs(a - b)
    largest, magnitude = float(error.max()), float(np.abs(a).max())
    relative = largest / magnitude if magnitude > 0 else largest
    return LayerComparison(name, operator, largest, float(error.mean()), relative)

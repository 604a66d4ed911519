"""RT4KSR in training form, exported by torch alone and adopted, is the network that `export` writes."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
from kept_traces import kept_trace
from numpy.typing import NDArray
from onnx import numpy_helper
from samples import needs_data, released

from toolkit.graph.adoption.adopting import adopted
from toolkit.graph.adoption.reading import read_graph
from toolkit.graph.adoption.stated import NOTHING
from toolkit.graph.analysis.float64 import float64_function
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.pipeline import Deployment
from toolkit.network.checkpoint import load_checkpoint
from toolkit.network.fusion import fuse, mergeable_blocks
from toolkit.network.module import numpy_function
from toolkit.sizes import EVEN
from toolkit.system.progress import no_progress


@pytest.mark.slow
@needs_data
def test_the_graph_passes_alone_fuse_rt4ksr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that ships; test_merge_affine.py fuses a small one of that kind."""
    exact: list[onnx.ModelProto] = []
    store = Deployment.store

    def recorded(deployment: Deployment) -> onnx.ModelProto:
        exact.append(deployment.model)
        return store(deployment)

    monkeypatch.setattr(Deployment, "store", recorded)
    checkpoint = load_checkpoint(released(2))
    network = copy.deepcopy(checkpoint.network).double()
    path = tmp_path / "unfused.onnx"
    onnx.save(kept_trace(network), path)
    made = adopted(read_graph(path), path, "unfused_fp32", NOTHING, None, no_progress)

    proofs = [check for check in made.manifest.checks if check.kind == "fusion"]
    assert len(proofs) >= len(mergeable_blocks(network))
    assert all(check.passed and check.bound == 1e-12 for check in proofs)
    assert (made.manifest.network.scale, made.manifest.sizes) == (2, EVEN)
    # In float64: the graph, before its constants are rounded, and PyTorch's network, merged by its own rule.
    ours, theirs = float64_function(exact[0]), numpy_function(fuse(network), "float64")
    for shape in ((26, 34), (20, 20)):
        frame = np.random.default_rng(0).random((1, 3, *shape))
        expected = theirs(frame)
        assert np.abs(ours(frame) - expected).max() <= 1e-12 * np.abs(expected).max()
    # As stored: the same nodes, and the same weights. `export` rounds a kernel twice, after merging and after folding.
    fused = export(checkpoint, ExportOptions(clamp=False), tmp_path)
    graphs = onnx.load_from_string(made.content).graph, onnx.load(fused.path).graph
    assert [node.op_type for node in graphs[0].node] == [node.op_type for node in graphs[1].node]
    for one, other in zip(*map(convolutions, graphs), strict=True):
        assert np.abs(one - other).max() <= 2**-22 * np.abs(other).max()


def convolutions(graph: onnx.GraphProto) -> list[NDArray[np.float64]]:
    """Weights and biases of the convolutions, in their order."""
    arrays = {tensor.name: numpy_helper.to_array(tensor).astype(np.float64) for tensor in graph.initializer}
    return [arrays[name] for node in graph.node if node.op_type == "Conv" for name in node.input[1:]]

"""`toolkit verify-fusion GRAPH.onnx`: which parts of any graph are one convolution each, proved in float64.

The graph comes from elsewhere, so it is read, rewritten and run in a process of its own, with limits:
`python -P -m toolkit.verification.merges FILE` prints the report, or the refusal, as JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx

from toolkit.checks import Check
from toolkit.errors import InputError, ToolkitError
from toolkit.graph.adoption.normalising import normalised
from toolkit.graph.adoption.reading import read_graph
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.analysis.numerics import FLOAT64_BOUND, relative_error
from toolkit.graph.passes.merge_affine import Merge, MergeAffine
from toolkit.graph.reading import allowed_memory, dangerous
from toolkit.network.impulses import BLOCK_BOUND
from toolkit.port import Frame
from toolkit.system.documents import from_json
from toolkit.system.foreign import first_line
from toolkit.system.isolated import run_isolated

_SECONDS = 600
"""For networks of some hundred convolutions with 64 channels; a network of 16 takes half a minute."""
_SIDE = 64
"""Of the image that whole graphs are compared on: a multiple of what networks unshuffle by."""


class MergeReport(msgspec.Struct, frozen=True, tag=True):
    """What was merged in a graph.

    Attributes:
        merges: in the order of the graph.
        refusals: affine parts that are not one convolution at their borders, or too large: name and reason.
        whole: the merged graph against the graph as it was, in float64 on noise.
        nodes: of the graph before and after, without constants.
    """

    merges: tuple[Merge, ...]
    refusals: tuple[tuple[str, str], ...]
    whole: Check
    nodes: tuple[int, int]

    @property
    def proofs(self) -> tuple[Check, ...]:
        """One for each merge."""
        return tuple(Check.of("fusion", merge.name, merge.error, BLOCK_BOUND) for merge in self.merges)

    @property
    def checks(self) -> tuple[Check, ...]:
        return (*self.proofs, self.whole)

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


class _Refused(msgspec.Struct, frozen=True, tag=True):
    """Why a file is not a graph whose convolutions can be merged."""

    message: str
    remedy: str = ""


class _Outcome(msgspec.Struct, frozen=True):
    """What the separate process prints."""

    found: MergeReport | _Refused


def verify_merges(path: Path) -> MergeReport:
    """Find, merge and prove the affine parts of a graph; nothing is written.

    Args:
        path: of an ONNX file with one image as input and one as output.

    Raises:
        InputError: it is not such a file.
        ArtifactError: reading or running it ended the process that did so.
    """
    ended = run_isolated(
        ["-m", "toolkit.verification.merges", str(path.absolute())],
        seconds=_SECONDS,
        memory=allowed_memory(path.stat().st_size),
    )
    if ended.end != "done":
        raise dangerous(path, "merging its convolutions", ended)
    found = from_json(ended.output, _Outcome).found
    if isinstance(found, _Refused):
        raise InputError(found.message, found.remedy)
    return found


def merged_report(path: Path) -> MergeReport:
    """`verify_merges`, in this process."""
    model = in_float64(normalised(read_graph(path), str(path)))
    graph_pass = MergeAffine()
    result = graph_pass.rewritten(model)
    frame = _noise(model)
    before, after = (float64_function(graph)(frame).astype(np.float64) for graph in (model, result))
    error = relative_error(after, before)
    counts = [sum(node.op_type != "Constant" for node in graph.graph.node) for graph in (model, result)]
    merges, refusals = tuple(graph_pass.merges), tuple(graph_pass.refused.items())
    return MergeReport(
        merges, refusals, Check.of("graph", "merged graph", error, FLOAT64_BOUND), (counts[0], counts[1])
    )


def _noise(model: onnx.ModelProto) -> Frame:
    """An input of the graph: of its own size, if that is fixed."""
    tensor = model.graph.input[0].type.tensor_type
    shape = [dim.dim_value or _SIDE for dim in tensor.shape.dim]
    generator = np.random.default_rng(0)
    if tensor.elem_type == onnx.TensorProto.UINT8:
        return generator.integers(0, 256, shape, np.uint8)
    return generator.random(shape)


def _outcome(path: Path) -> MergeReport | _Refused:
    try:
        return merged_report(path)
    except ToolkitError as error:
        return _Refused(str(error.args[0]), error.remedy)
    except Exception as error:  # noqa: BLE001  (whatever a library raises about the file is the answer)
        return _Refused(f"cannot merge {path}: {first_line(error)}")


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_Outcome(_outcome(Path(sys.argv[1])))))

"""Writes a script that compares two graphs tensor by tensor with Polygraphy, for further debugging."""

from __future__ import annotations

import os
from pathlib import Path
from string import Template

from toolkit.errors import InputError
from toolkit.quoting import python_literal, visible
from toolkit.runtimes.script import in_docstring, noise_source
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import write_bytes
from toolkit.workloads import Shape

_SIZE = Shape(64, 96)

_SCRIPT = Template('''\
"""Compares $first with $second, tensor by tensor, with Polygraphy.

Needs: $needs
$first is the reference. By default the outputs are compared; with --all, every tensor that both graphs have.
"""

from __future__ import annotations

import argparse
import sys
from collections import OrderedDict
from pathlib import Path
$environment
import numpy as np
from polygraphy import constants
from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs, OnnxFromPath
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
$imports
from polygraphy.comparator import Comparator, CompareFunc

FIRST = $first_path
SECOND = $second_path
FRAME_SHAPE = $shape


def graph(path: str, every: bool) -> BytesFromOnnx:
    model = OnnxFromPath(str(Path(globals().get("__file__", "")).parent / path))
    return BytesFromOnnx(ModifyOutputs(model, outputs=constants.MARK_ALL) if every else model)


def frame() -> np.ndarray:
    """Seeded noise."""
$noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="compare every tensor")
    parser.add_argument("--tolerance", type=float, default=$tolerance, help="largest absolute error (%(default)s)")
    given = parser.parse_args()
    runners = [
        OnnxrtRunner(SessionFromOnnx(graph(FIRST, given.all)), name="first"),
        $runner,
    ]
    results = Comparator.run(runners, data_loader=[OrderedDict({$input: frame()})])
    compare = CompareFunc.simple(atol=given.tolerance, rtol=0.0, check_shapes=True)
    sys.exit(not bool(Comparator.compare_accuracy(results, compare_func=compare)))


if __name__ == "__main__":
    main()
''')

_TENSORRT = (
    "from polygraphy.backend.trt import EngineFromNetwork, NetworkFromOnnxBytes, TrtRunner",
    """TrtRunner(
            EngineFromNetwork(NetworkFromOnnxBytes(graph(SECOND, given.all), strongly_typed=True)), name="second"
        )""",
)
_RTX = 'import os\n\nos.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"  # read when Polygraphy is imported\n'
_ONNXRUNTIME = "", 'OnnxrtRunner(SessionFromOnnx(graph(SECOND, given.all)), name="second")'

_RUNNERS = {
    "ort-cpu": ("onnxruntime, polygraphy", "", *_ONNXRUNTIME),
    "tensorrt": ("tensorrt, polygraphy, onnxruntime, a GPU", "", *_TENSORRT),
    "tensorrt-rtx": ("tensorrt-rtx, polygraphy, onnxruntime, a GPU", _RTX, *_TENSORRT),
}
"""For each runtime of the second side: required packages, code before the imports, imports, and the runner."""


def polygraphy_script(
    first: Subject, second: Subject, tolerance: float, path: Path | None = None, *, overwrite: bool = False
) -> str:
    """A Python script that compares two artifacts with Polygraphy.

    Args:
        first: an artifact, which ONNX Runtime runs.
        second: an artifact on ort-cpu, tensorrt or tensorrt-rtx, with the same ends as the first.
        tolerance: largest absolute error.
        path: where to write the script too; it finds the graphs from there. None: from the current directory.

    Raises:
        InputError: they are not such a pair, or the script cannot be written.
        OutputExists: `path` exists, and `overwrite` is false.
    """
    graphs = [item.artifact for item in (first, second) if item.artifact is not None]
    if len(graphs) < 2 or first.runtime != "ort-cpu" or second.runtime not in _RUNNERS:
        raise InputError(
            f"Polygraphy cannot compare {first.label} with {second.label}",
            f"Give an artifact on ort-cpu, then one on {', '.join(_RUNNERS)}.",
        )
    ports = [graph.manifest.input for graph in graphs]
    if ports[0].same_frames != ports[1].same_frames:
        raise InputError(f"{first.label} and {second.label} take different frames", "Export both with the same --io.")
    needs, environment, imports, runner = _RUNNERS[second.runtime]
    shape = first.fixed or second.fixed or _SIZE
    home = Path() if path is None else path.parent
    text = _SCRIPT.substitute(
        first=in_docstring(visible(first.label)),
        second=in_docstring(visible(second.label)),
        needs=needs,
        environment=environment,
        imports=imports,
        first_path=python_literal(os.path.relpath(graphs[0].path, home)),
        second_path=python_literal(os.path.relpath(graphs[1].path, home)),
        shape=python_literal(ports[0].frame_shape(shape)),
        noise=noise_source(ports[0]),
        input=python_literal(ports[0].name),
        tolerance=python_literal(tolerance),
        runner=runner,
    )
    if path is not None:
        write_bytes(path, text.encode(), overwrite=overwrite)
    return text

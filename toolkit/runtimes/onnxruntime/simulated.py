"""A runtime that computes an artifact's own arithmetic on any CPU, as hardware with float32 accumulators does."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path

from toolkit.artifact import Artifact
from toolkit.checks import SIMULATED
from toolkit.precisions import Precision
from toolkit.runtimes.onnxruntime.runtime import OrtCpuRuntime
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Runtime, Session
from toolkit.system.probe import Availability


class SimulatedRuntime(Runtime):
    """ONNX Runtime in float32, with every tensor rounded to the type that it has in the artifact."""

    name = SIMULATED
    description = "ONNX Runtime, roundings of the artifact's precision simulated, CPU"

    def _probe(self) -> Availability:
        return OrtCpuRuntime().probe()

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        import onnx

        from toolkit.graph.precision.simulate import simulated
        from toolkit.graph.reading import read_model

        directory = tempfile.TemporaryDirectory()
        path = Path(directory.name) / artifact.path.name
        onnx.save(simulated(read_model(artifact.path)), path)
        session = OrtCpuRuntime().load(Artifact(path, artifact.manifest), options)
        # ONNX Runtime reads the file again to report what ran, so the file lives as long as the session.
        weakref.finalize(session, directory.cleanup)
        return session

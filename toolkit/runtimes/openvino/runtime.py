"""The OpenVINO runtime, on the CPU."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.precision.registry import find_precision
from toolkit.precisions import Precision
from toolkit.runtimes.building import BuildingRuntime, BuildJob
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.openvino.script import generate_script
from toolkit.runtimes.openvino.session import (
    BLOB,
    CAPABILITIES,
    SCHEDULING,
    OpenVinoEngineSession,
    OpenVinoSession,
)
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.script import ScriptJob
from toolkit.system.extras import how_to_install
from toolkit.system.hardware import cpu_identity, cpu_model, usable_cpus
from toolkit.system.openvino_core import openvino_core
from toolkit.system.probe import Availability, probe_import
from toolkit.workloads import Shape


class OpenVinoRuntime(BuildingRuntime):
    """OpenVINO, CPU device, one stream. An engine is the compiled model, for one size."""

    name = "openvino"
    description = "OpenVINO, CPU device"
    options = frozenset({"threads"})
    rehearsed: ClassVar[bool] = True
    rehearses_engines: ClassVar[bool] = True
    one_size_engines: ClassVar[bool] = True

    def _probe(self) -> Availability:
        remedy = how_to_install("openvino")
        found = probe_import("openvino", remedy)
        if not found.ok:
            return found
        try:
            devices = openvino_core().available_devices
        except Exception as error:  # noqa: BLE001  (a broken plugin raises anything)
            return Availability(False, f"OpenVINO does not start: {error}", remedy)
        if "CPU" not in devices:
            return Availability(False, "OpenVINO has no CPU device here", remedy)
        return Availability(True, version=version("openvino"))

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        return OpenVinoSession(artifact, precision, options.resolved_threads())

    def identity(self, options: BuildOptions) -> dict[str, str]:
        try:
            found = version("openvino")
        except PackageNotFoundError:
            found = "not installed"
        return {"version": found, **cpu_identity()}

    def machine(self) -> dict[str, str]:
        return {"processor": cpu_model()[0]}

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        precision, threads = job.artifact.manifest.precision, job.options.threads or usable_cpus()
        session = OpenVinoSession(job.artifact, precision, threads)
        session.bind(_required(job.shape, job.artifact))
        ran = Counter(node.precision for node in session.executed().values())
        read_back = {"executed": ", ".join(f"{precision}: {nodes} nodes" for precision, nodes in ran.items())}
        return {BLOB: session.exported()}, read_back

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        return OpenVinoEngineSession(engine, options.resolved_threads())

    def _script(self, subject: ScriptJob) -> str:
        _required(subject.shape, subject.artifact)
        hint = find_precision(subject.artifact.manifest.precision).openvino_hint
        return generate_script(subject, SCHEDULING, hint, CAPABILITIES[hint])


def _required(shape: Shape | None, artifact: Artifact) -> Shape:
    if shape is None:
        raise InputError(f"{artifact.manifest.name} has no size to build for", "Give one: --shape 1080p.")
    return shape

"""Runtimes of the providers of `plugin_provider`: GPUs of any vendor through WebGPU, DirectML, CoreML, and others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import ClassVar

from toolkit.artifact import Artifact
from toolkit.precisions import Precision
from toolkit.runtimes.building import BuildingRuntime, BuildJob
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.onnxruntime.agreement import agree
from toolkit.runtimes.onnxruntime.plugin_provider import PLUGIN_PROVIDERS, PluginProvider
from toolkit.runtimes.onnxruntime.plugin_session import PluginSession
from toolkit.runtimes.onnxruntime.runtime import onnxruntime_version, probe_provider
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.system.hardware import cpu_model
from toolkit.system.probe import Availability, probe_code, probe_import

_MODEL = "model.onnx"

_START = """
from toolkit.runtimes.onnxruntime.plugin_session import start
start({runtime!r})
"""
"""Starts the provider, in a separate process: drivers may crash, and print on their own."""


class PluginRuntime(BuildingRuntime):
    """ONNX Runtime on one provider. Every node runs there and the results are right, or the session is refused.

    An engine holds the graph, which ONNX Runtime optimises when it loads it.
    """

    rehearsed: ClassVar[bool] = True
    rehearses_engines: ClassVar[bool] = True

    def __init__(self, plugin: PluginProvider) -> None:
        self.name, self.description = plugin.runtime, plugin.description
        self._plugin = plugin

    def _probe(self) -> Availability:
        found = self._probe_package()
        if not found.ok:
            return found
        started = probe_code(_START.format(runtime=self.name), self._plugin.remedy)
        if not started.ok:
            return started
        device = started.version.splitlines()[-1] if started.version else ""
        return replace(started, version=", ".join(filter(None, (found.version, device))))

    def _probe_package(self) -> Availability:
        plugin = self._plugin
        if not plugin.module:
            return probe_provider(plugin.provider.name, plugin.remedy)
        for module in ("onnxruntime", plugin.module):
            if not (found := probe_import(module, plugin.remedy)).ok:
                return found
        return Availability(True, version=f"{onnxruntime_version()}, {plugin.version()}")

    def identity(self, options: BuildOptions) -> dict[str, str]:
        return {"version": self.probe().version or "not available"}

    def machine(self) -> dict[str, str]:
        return {"processor": cpu_model()[0]}

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        session, _ = self._checked(artifact, options)
        return session

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        session, distance = self._checked(job.artifact, SessionOptions())
        ran = Counter(node.precision for node in session.executed().values())
        read_back = {
            "provider": self._plugin.provider.name,
            "executed": ", ".join(f"{precision}: {nodes} nodes" for precision, nodes in ran.items()),
            "distance from the artifact's arithmetic": f"{distance:.2g} of white",
        }
        return {_MODEL: job.artifact.path.read_bytes()}, read_back

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        session, _ = self._checked(Artifact(engine.file(_MODEL), engine.manifest), options)
        return session

    def _checked(self, artifact: Artifact, options: SessionOptions) -> tuple[Session, float]:
        """A session, and the distance of its results from the artifact's arithmetic."""
        session = PluginSession(artifact, self._plugin, options.resolved_threads())
        return session, agree(artifact, session, f"{self.name}, {self.probe().version}")


def plugin_runtimes() -> tuple[PluginRuntime, ...]:
    """One runtime for each provider."""
    return tuple(map(PluginRuntime, PLUGIN_PROVIDERS))

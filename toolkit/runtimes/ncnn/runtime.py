"""The ncnn runtimes: an artifact converted by pnnx, on the CPU or on a GPU of any vendor through Vulkan."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.runtimes.building import BuildingRuntime, BuildJob
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.ncnn.conversion import BIN, PARAM, Converted, converted, find_pnnx, obstacle, proved_error
from toolkit.runtimes.ncnn.network import NcnnNetwork
from toolkit.runtimes.ncnn.session import NcnnSession
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.system.extras import how_to_install
from toolkit.system.hardware import cpu_model
from toolkit.system.probe import Availability, probe_code, probe_import
from toolkit.workloads import Shape

_REMEDY = how_to_install("ncnn")

_SOFTWARE = "RT4KSR_SOFTWARE_VULKAN"
STARTS_VULKAN = f"""
import os
import ncnn
if not ncnn.get_gpu_count():
    raise SystemExit("there is no Vulkan driver with a device")
device = ncnn.get_gpu_info(ncnn.get_default_gpu_index())
if device.type() == 3 and os.environ.get("{_SOFTWARE}") != "1":  # VK_PHYSICAL_DEVICE_TYPE_CPU
    raise SystemExit(f"Vulkan has only a driver in software ({{device.device_name()}}), slower than the CPU")
print(device.device_name())
ncnn.destroy_gpu_instance()
"""
"""Starts Vulkan, in a separate process: drivers may crash, and print on their own. Desktops without a GPU often have a
driver in software, which takes seconds for a frame: it is not to be part of every `profile`."""


class NcnnRuntime(BuildingRuntime):
    """ncnn, CPU, float32. An engine is the converted network, for any size and any machine."""

    name = "ncnn"
    description = "ncnn, CPU"
    options = frozenset({"threads"})
    rehearsed: ClassVar[bool] = True
    rehearses_engines: ClassVar[bool] = True
    bound: ClassVar[float] = 2**-11
    """Largest error of a network, as a share of white. Rounding costs a hundredth of it."""

    def _probe(self) -> Availability:
        found = self.probe_engine()
        if found.ok and find_pnnx() is None:
            return Availability(False, "pnnx, which converts artifacts, is not installed", _REMEDY)
        return found

    def probe_engine(self) -> Availability:
        """An engine needs no pnnx."""
        found = probe_import("ncnn", _REMEDY)
        return Availability(True, version=_version("ncnn")) if found.ok else found

    def refusal(self, artifact: Artifact, precision: Precision) -> str:
        if other := super().refusal(artifact, precision):
            return other
        return obstacle(artifact.manifest) if precision == FULL_PRECISION else f"it computes in {FULL_PRECISION}"

    def _accept(self, artifact: Artifact, options: BuildOptions) -> Shape | None:
        shape = super()._accept(artifact, options)
        if artifact.manifest.shape is not None:
            return shape
        if options.shape is not None:
            raise InputError("an ncnn engine takes every size that its artifact takes", "Leave out --shape.")
        return None

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        network, _ = self._proved(artifact, converted(artifact), options)
        return NcnnSession(artifact, network)

    def identity(self, options: BuildOptions) -> dict[str, str]:
        return {"version": _version("ncnn")}

    def machine(self) -> dict[str, str]:
        return {"processor": cpu_model()[0], "pnnx": _version("pnnx")}

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        made = converted(job.artifact)
        network, error = self._proved(job.artifact, made, SessionOptions(job.options.threads))
        ran = Counter(node.precision for node in network.executed().values())
        read_back = {
            "executed": ", ".join(f"{precision}: {layers} layers" for precision, layers in ran.items()),
            "error against float64": f"{error:.2g} of white",
        }
        return {PARAM: made.param, BIN: made.weights}, read_back

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        param, weights = (engine.file(name).read_bytes() for name in (PARAM, BIN))
        return NcnnSession(Artifact(engine.file(PARAM), engine.manifest), self._network(param, weights, options))

    def _proved(self, artifact: Artifact, made: Converted, options: SessionOptions) -> tuple[NcnnNetwork, float]:
        """The network, loaded, and its error."""
        network = self._network(made.param, made.weights, options)
        return network, proved_error(artifact, network, self.bound)

    def _network(self, param: bytes, weights: bytes, options: SessionOptions) -> NcnnNetwork:
        return NcnnNetwork(param, weights, threads=options.resolved_threads())


class NcnnVulkanRuntime(NcnnRuntime):
    """ncnn on the default Vulkan device: GPUs of AMD, Intel, NVIDIA and others, or a driver in software."""

    name = "ncnn-vulkan"
    description = "ncnn, GPUs of any vendor through Vulkan"
    bound: ClassVar[float] = 2**-8
    """ncnn's shader for GELU is the tanh approximation, which costs less than half a grey level."""

    def probe_engine(self) -> Availability:
        if not (found := super().probe_engine()).ok:
            return found
        started = probe_code(
            STARTS_VULKAN,
            f"Install the Vulkan driver of the GPU, and libvulkan1. {_SOFTWARE}=1 also accepts a driver in software.",
        )
        if not started.ok:
            return started
        return Availability(True, version=f"{found.version}, {started.version.splitlines()[-1]}")

    def _network(self, param: bytes, weights: bytes, options: SessionOptions) -> NcnnNetwork:
        import ncnn

        ncnn.get_gpu_count()  # starts Vulkan
        threads = options.resolved_threads()
        return NcnnNetwork(param, weights, threads=threads, device=ncnn.get_default_gpu_index())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

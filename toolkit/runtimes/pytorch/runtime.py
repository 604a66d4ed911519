"""PyTorch on the CPU and on an NVIDIA GPU: the fused network, eager and compiled, and the unfused one as baseline."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from toolkit.artifact import Artifact
from toolkit.graph.precision.registry import find_precision
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.runtimes.cuda.devices import NO_DEVICE_REMEDY, cuda_devices
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Runtime, Session
from toolkit.runtimes.pytorch.checkpoint import CheckpointSession, checkpoint_contract
from toolkit.system.probe import Availability, probe_import

if TYPE_CHECKING:
    from toolkit.network.checkpoint import Checkpoint
    from toolkit.runtimes.pytorch.program import FrameNetwork, Program

_CPU, _CUDA = "cpu", "cuda:0"


class TorchRuntime(Runtime):
    """Fused network, eager."""

    name = "torch"
    description = "PyTorch, eager, fused network, CPU"
    fused: ClassVar[bool] = True
    device: ClassVar[str] = _CPU
    runs_checkpoints: ClassVar[bool] = True
    runs_graph: ClassVar[bool] = False

    def _probe(self) -> Availability:
        found = probe_import("torch", "pip install torch")
        return replace(found, version=version("torch")) if found.ok else found

    def refusal(self, artifact: Artifact, precision: Precision) -> str:
        if not find_precision(precision).floating:
            return f"PyTorch has no {precision} for this network"
        if artifact.weights_path is None:
            return f"it has no PyTorch form: it was made from {artifact.manifest.source}"
        if reason := self._no_arithmetic(precision):
            return reason
        if not self.fused and artifact.manifest.source.merged:
            return "its checkpoint was already fused"
        return ""

    def load_checkpoint(self, checkpoint: Checkpoint, options: SessionOptions) -> Session:
        if not self.runs_checkpoints:
            return super().load_checkpoint(checkpoint, options)
        from toolkit.network.fusion import fuse
        from toolkit.network.module import numpy_function

        network = fuse(checkpoint.network) if self.fused else checkpoint.network
        function = numpy_function(network, "float32", options.threads)
        return CheckpointSession(checkpoint_contract(checkpoint), function, FULL_PRECISION)

    def _no_arithmetic(self, precision: Precision) -> str:
        """Why the device does not compute in this precision; empty when it does."""
        if find_precision(precision).cpu_computes():
            return ""
        return f"this processor has no {precision} arithmetic, and PyTorch emulates it about thirty times slower"

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        import torch

        from toolkit.graph.source import source_checkpoint
        from toolkit.network.fusion import fuse
        from toolkit.runtimes.pytorch.program import FrameNetwork
        from toolkit.runtimes.pytorch.session import TorchCudaSession, TorchSession

        source = source_checkpoint(artifact).network
        network = fuse(source) if self.fused else source
        dtype: torch.dtype = getattr(torch, find_precision(precision).storage)
        program = self._program(FrameNetwork(network, artifact.manifest, dtype, self.device))
        session = TorchSession if self.device == _CPU else TorchCudaSession
        return session(artifact, program, options.resolved_threads())

    def _program(self, network: FrameNetwork) -> Program:
        from toolkit.runtimes.pytorch.program import EagerProgram

        return EagerProgram(network)


class UnfusedTorchRuntime(TorchRuntime):
    """Training form, eager: the baseline that all others are compared with."""

    name = "torch-unfused"
    description = "PyTorch, eager, network as trained (the baseline), CPU"
    fused: ClassVar[bool] = False


class TorchCompileRuntime(TorchRuntime):
    """Fused network, compiled by Inductor through the machine's C++ compiler when a size is bound."""

    name = "torch-compile"
    description = "PyTorch, torch.compile (Inductor), fused network, CPU"
    runs_checkpoints: ClassVar[bool] = False

    def _probe(self) -> Availability:
        found = super()._probe()
        # The lookup that Inductor does; importing Inductor would take a second.
        compiler = os.environ.get("CXX", {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"))
        if not found.ok or shutil.which(compiler):
            return found
        reason = f"torch.compile needs a C++ compiler, and there is no {compiler!r}"
        return Availability(False, reason, "Install one (Debian, Ubuntu: apt install g++), or name it in $CXX.")

    def _program(self, network: FrameNetwork) -> Program:
        from toolkit.runtimes.pytorch.program import CompiledProgram

        return CompiledProgram(network, {})


class TorchCudaRuntime(TorchRuntime):
    """Fused network, eager, on the first NVIDIA GPU. It runs there or is refused."""

    name = "torch-cuda"
    description = "PyTorch, eager, fused network, NVIDIA GPU"
    device: ClassVar[str] = _CUDA
    on_gpu: ClassVar[bool] = True
    runs_checkpoints: ClassVar[bool] = False

    def _probe(self) -> Availability:
        devices, reason = cuda_devices()
        if not devices:
            return Availability(False, reason, NO_DEVICE_REMEDY)
        found = super()._probe()
        if not found.ok:
            return found
        import torch

        if torch.version.cuda is None:
            return Availability(False, f"torch {found.version} is built without CUDA", "Install a CUDA build of torch.")
        if not torch.cuda.is_available():
            remedy = "Update the driver, or install a torch built for the CUDA version that it has."
            return Availability(False, f"torch's CUDA {torch.version.cuda} does not start with this driver", remedy)
        return replace(found, version=f"{found.version} (CUDA {torch.version.cuda})")

    def _no_arithmetic(self, precision: Precision) -> str:
        import torch

        needed = find_precision(precision).cuda_capability
        # Asking touches the device, which must be there.
        if not any(needed) or not self.probe().ok or torch.cuda.get_device_capability() >= needed:
            return ""
        return f"this GPU has no {precision} arithmetic: it comes with compute capability {needed[0]}.{needed[1]}"


class TorchCompileCudaRuntime(TorchCudaRuntime):
    """Fused network, compiled by Inductor with its kernels tuned, replayed as a CUDA graph."""

    name = "torch-compile-cuda"
    description = "PyTorch, torch.compile (max-autotune, CUDA graphs), NVIDIA GPU"

    def _probe(self) -> Availability:
        found = super()._probe()
        if not found.ok or importlib.util.find_spec("triton"):
            return found
        return Availability(False, "torch.compile needs Triton to compile for a GPU", "pip install triton")

    def _program(self, network: FrameNetwork) -> Program:
        import torch._inductor

        from toolkit.runtimes.pytorch.program import CompiledProgram

        return CompiledProgram(network, torch._inductor.list_mode_options("max-autotune"))

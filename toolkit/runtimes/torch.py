"""PyTorch on the CPU: the fused network, and the unfused one as the baseline everything is compared with."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from toolkit.artifact import Artifact, Precision
from toolkit.runtimes.hardware import computes_in
from toolkit.runtimes.protocol import (
    Availability,
    Executed,
    Frame,
    Runtime,
    Session,
    SessionOptions,
    probe_import,
    short_precision,
)
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import torch

    from toolkit.network.model import RT4KSR

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class TorchSession(Session):
    """The source network of an artifact, eager, on the CPU."""

    def __init__(self, artifact: Artifact, network: RT4KSR, dtype: torch.dtype, threads: int) -> None:
        import torch

        super().__init__(artifact)
        torch.set_num_threads(threads)
        self._network, self._dtype = network.to(dtype), dtype
        self._uint8 = artifact.manifest.input.dtype == "uint8"
        self._nhwc = artifact.manifest.input.layout == "NHWC"

    def _bind(self, shape: Shape) -> None:
        """PyTorch takes any size."""

    def _run(self, frame: Frame) -> Frame:
        import torch

        with torch.inference_mode():
            image = torch.from_numpy(frame if frame.flags.writeable else frame.copy())
            image = image.permute(0, 3, 1, 2) if self._nhwc else image
            image = image.to(self._dtype) / 255 if self._uint8 else image.to(self._dtype)
            result = self._network(image)
            result = (result * 255).round().clamp(0, 255).byte() if self._uint8 else result.float()
            array: Frame = (result.permute(0, 2, 3, 1).contiguous() if self._nhwc else result).numpy()
        return array

    def executed(self) -> dict[str, Executed]:
        """Dtype and device of every leaf module's output, seen on a small frame."""
        import torch

        seen: dict[str, Executed] = {}

        def note(name: str) -> object:
            def hook(_module: object, _inputs: object, output: torch.Tensor) -> None:
                seen[name] = Executed(short_precision(str(output.dtype)), str(output.device))

            return hook

        modules = [(name, module) for name, module in self._network.named_modules() if not list(module.children())]
        handles = [module.register_forward_hook(note(name)) for name, module in modules]
        try:
            with torch.inference_mode():
                self._network(torch.zeros(1, 3, 8, 8, dtype=self._dtype))
        finally:
            for handle in handles:
                handle.remove()
        return seen


class TorchRuntime(Runtime):
    """Fused network, eager."""

    name: ClassVar[str] = "torch"
    description: ClassVar[str] = "PyTorch, eager, fused network, CPU"
    fused: ClassVar[bool] = True

    def probe(self) -> Availability:
        found = probe_import("torch", "pip install torch")
        return replace(found, version=version("torch")) if found.ok else found

    def refusal(self, artifact: Artifact, precision: Precision) -> str:
        if precision not in _DTYPES:
            return f"PyTorch's eager mode has no {precision} for this network"
        if precision != "fp32" and not computes_in(precision):
            return f"this processor has no {precision} arithmetic, and PyTorch emulates it some thirty times slower"
        if not self.fused and artifact.manifest.source.layout == "rep_conv":
            return "its checkpoint was already fused"
        return ""

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        import torch

        from toolkit.graph.source import source_checkpoint
        from toolkit.network.fusion import fuse

        network = source_checkpoint(artifact).network
        dtype: torch.dtype = getattr(torch, _DTYPES[precision])
        return TorchSession(artifact, fuse(network) if self.fused else network, dtype, options.resolved_threads())


class UnfusedTorchRuntime(TorchRuntime):
    """Training form, eager: what one has before doing anything."""

    name: ClassVar[str] = "torch-unfused"
    description: ClassVar[str] = "PyTorch, eager, network as trained (the baseline), CPU"
    fused: ClassVar[bool] = False

"""The network evaluated by PyTorch, eager or compiled, with the frames of the artifact's ports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any

import torch
import torch._inductor
from torch import Tensor, nn
from torch.fx import GraphModule

from toolkit.artifact import Manifest
from toolkit.errors import Unavailable
from toolkit.network.module import NetworkModule
from toolkit.runtimes.reported import Executed, short_precision

_LAYER = "layer: "
_COMPILED = ("graph_", "cpp_fused", "aten::convolution")
"""Prefixes of names in PyTorch's profiler: Inductor's marks, and the convolutions that it leaves to oneDNN."""

_GRAPH_WARM_UP = 3
"""With CUDA graphs, the first run warms up, the second is recorded, and the third is the first replay."""


class FrameNetwork(nn.Module):
    """A network, which takes and returns RGB in 0..1 as (N, 3, H, W), with the ports of an artifact.

    Raises:
        Unavailable: a port has one channel.
    """

    def __init__(self, network: NetworkModule, manifest: Manifest, dtype: torch.dtype, device: str) -> None:
        super().__init__()
        self.network = network.to(device=device, dtype=dtype).eval()
        self.name, self.dtype, self.device = manifest.name, dtype, torch.device(device)
        self._input, self._output = manifest.input, manifest.output
        if "Y" in (self._input.order, self._output.order):
            raise Unavailable(f"PyTorch runs networks for RGB, and {manifest.name} takes or returns luma")

    def forward(self, frame: Tensor) -> Tensor:
        return self._frame(self.network(self._picture(frame)))

    def _picture(self, frame: Tensor) -> Tensor:
        """A frame as the network takes it; `Port.to_image` does this with arrays."""
        port, low = self._input, self._input.value_range[0]
        picture = (frame.permute(0, 3, 1, 2) if port.layout == "NHWC" else frame).to(self.dtype)
        picture = picture - low if low else picture
        picture = picture / port.span if port.span != 1 else picture
        return picture.flip(1) if port.order == "BGR" else picture

    def _frame(self, picture: Tensor) -> Tensor:
        """What the network returned as a frame; `Port.from_image` does this with arrays."""
        port, (low, high) = self._output, self._output.value_range
        frame = picture.flip(1) if port.order == "BGR" else picture
        frame = frame * port.span if port.span != 1 else frame
        frame = frame + low if low else frame
        frame = frame.round() if port.dtype == "uint8" else frame
        frame = frame.clamp(low, high) if port.limited else frame
        frame = frame.to(getattr(torch, port.dtype))
        return frame.permute(0, 2, 3, 1).contiguous() if port.layout == "NHWC" else frame


class Program(ABC):
    """Evaluates a frame network. Frames and results are on the network's device."""

    def __init__(self, network: FrameNetwork) -> None:
        self.network = network

    @abstractmethod
    def prepare(self, frame: Tensor) -> None:
        """Prepare for frames of this size, so that the first one takes no longer than the others."""

    @abstractmethod
    def __call__(self, frame: Tensor) -> Tensor:
        """Upscale a frame of the prepared size."""

    @abstractmethod
    def executed(self) -> dict[str, Executed]:
        """Dtype and device of each node."""

    @abstractmethod
    def layer_seconds(self, frame: Tensor, frames: int) -> list[tuple[str, float]]:
        """Name and seconds of every layer run, in order, over some frames.

        Raises:
            Unavailable: PyTorch's profiler does not show layers of this program.
        """


class EagerProgram(Program):
    """Operator by operator, as written."""

    def prepare(self, frame: Tensor) -> None:
        """Eager mode needs no preparation."""

    @torch.no_grad()
    def __call__(self, frame: Tensor) -> Tensor:
        result: Tensor = self.network(frame)
        return result

    @torch.no_grad()
    def executed(self) -> dict[str, Executed]:
        """Dtype and device of every leaf module's output, observed on a small frame."""
        seen: dict[str, Executed] = {}

        def note(name: str) -> Callable[[object, object, Tensor], None]:
            def hook(_module: object, _inputs: object, output: Tensor) -> None:
                seen[name] = _executed(output)

            return hook

        network = self.network.network
        handles = [module.register_forward_hook(note(name)) for name, module in self._leaves()]
        try:
            network(torch.zeros(1, 3, 8, 8, dtype=self.network.dtype, device=self.network.device))
        finally:
            for handle in handles:
                handle.remove()
        return seen

    @torch.no_grad()
    def layer_seconds(self, frame: Tensor, frames: int) -> list[tuple[str, float]]:
        """Times of leaf modules. Operations outside them are not included."""
        opened: dict[str, Any] = {}

        def begin(name: str) -> Callable[[object, object], None]:
            def hook(_module: object, _inputs: object) -> None:
                opened[name] = torch.profiler.record_function(_LAYER + name)
                opened[name].__enter__()

            return hook

        def end(name: str) -> Callable[[object, object, object], None]:
            return lambda _module, _inputs, _output: opened.pop(name).__exit__(None, None, None)

        handles = []
        for name, module in self._leaves():
            handles += [module.register_forward_pre_hook(begin(name)), module.register_forward_hook(end(name))]
        try:
            events = _profiled(lambda: self.network(frame), frames)
        finally:
            for handle in handles:
                handle.remove()
        return [(name.removeprefix(_LAYER), seconds) for name, seconds in events if name.startswith(_LAYER)]

    def _leaves(self) -> list[tuple[str, nn.Module]]:
        modules = self.network.network.named_modules()
        return [(name, module) for name, module in modules if not list(module.children())]


class CompiledProgram(Program):
    """`torch.compile` with Inductor: the whole network as one graph, compiled for one size.

    `options` are Inductor's, of `torch._inductor.config`.
    """

    def __init__(self, network: FrameNetwork, options: Mapping[str, Any]) -> None:
        super().__init__(network)
        self._options = dict(options)
        self._graph: GraphModule | None = None
        self._compiled: Callable[[Tensor], Tensor] | None = None

    @torch.no_grad()
    def prepare(self, frame: Tensor) -> None:
        """Compile for frames of this size, and for this address where a CUDA graph is captured.

        Raises:
            Unavailable: Inductor, or a compiler that it calls, fails.
        """
        network, graphs = self.network, self._options.get("triton.cudagraphs", False)
        if graphs:
            # Otherwise the graph would begin with a copy of the frame to an address of its own.
            torch._dynamo.mark_static_address(frame)

        def upscale(frame: Tensor) -> Tensor:
            result: Tensor = network(frame)
            return result

        # PyTorch caches compiled code on the function's code object, for at most eight sizes of all sessions together:
        # each size gets its own code object, which is freed when it is no longer needed.
        own = FunctionType(upscale.__code__.replace(), globals(), network.name, None, upscale.__closure__)
        compiled = torch.compile(own, backend=self._inductor, fullgraph=True, dynamic=False)
        try:
            for _ in range(_GRAPH_WARM_UP if graphs else 1):
                compiled(frame)
        except Exception as error:  # the compilers behind Inductor raise anything
            raise Unavailable(
                f"torch.compile cannot compile {network.name}: {_first_useful_line(error)}",
                "TORCH_LOGS=output_code shows what was compiled.",
            ) from error
        self._compiled = compiled

    @torch.no_grad()
    def __call__(self, frame: Tensor) -> Tensor:
        if self._compiled is None:
            raise Unavailable(f"{self.network.name} was not compiled for a size yet")
        return self._compiled(frame)

    def executed(self) -> dict[str, Executed]:
        """Dtype and device of every operation that Inductor was given.

        Each result has that precision or better: between operations that Inductor fuses into one kernel it may keep
        float32. Empty before `prepare`.
        """
        return dict(_operations(self._graph)) if self._graph is not None else {}

    def layer_seconds(self, frame: Tensor, frames: int) -> list[tuple[str, float]]:
        """Times of the kernels that Inductor generated or called, in a program compiled with marks around them."""
        if self.network.device.type != "cpu":
            raise Unavailable("a CUDA graph is one piece to PyTorch's profiler")
        marked = CompiledProgram(self.network, self._options | {"cpp.enable_kernel_profile": True})
        marked.prepare(frame)
        events = _profiled(lambda: marked(frame), frames)
        kernels = [(name, seconds) for name, seconds in events if name.startswith(_COMPILED)]
        if not kernels:
            raise Unavailable("PyTorch's profiler shows no kernels of this compiled program")
        return kernels

    def _inductor(self, graph: GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        """Compile with Inductor, and keep the graph that it got."""
        self._graph = graph
        compiled: Callable[..., Any] = torch._inductor.compile(graph, list(inputs), options=self._options)
        return compiled


def _profiled(run: Callable[[], object], frames: int) -> list[tuple[str, float]]:
    """Name and seconds of all events of PyTorch's profiler, in the order in which they began.

    Seconds are device time where an event has any, else CPU time.
    """
    with torch.profiler.profile() as profiler:
        for _ in range(frames):
            run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    events = sorted(profiler.events() or [], key=lambda event: event.time_range.start)
    return [(event.name, (event.device_time_total or event.cpu_time_total) / 1e6) for event in events]


def _operations(graph: GraphModule) -> Iterator[tuple[str, Executed]]:
    for node in graph.graph.nodes:
        value = node.meta.get("example_value")
        if node.op not in {"placeholder", "output"} and isinstance(value, Tensor):
            yield node.name, _executed(value)


def _executed(value: Tensor) -> Executed:
    return Executed(short_precision(str(value.dtype)), str(value.device))


def _first_useful_line(error: Exception) -> str:
    """A compiler's error message, rather than the command that called it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = (line for line in lines if "error: " in line)
    return next(errors, lines[0] if lines else type(error).__name__)

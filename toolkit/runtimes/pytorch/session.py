"""PyTorch sessions: frames in host memory, or copied to an NVIDIA GPU and back."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.port import Frame
from toolkit.runtimes.layers import LayerClock, graph_nodes, nodes_in
from toolkit.runtimes.protocol import ArtifactSession
from toolkit.runtimes.pytorch.program import Program
from toolkit.runtimes.reported import Executed, LayerTime, Stages
from toolkit.workloads import Shape

_SMALL = Shape(16, 16)


class TorchSession(ArtifactSession):
    """A program on the CPU."""

    def __init__(self, artifact: Artifact, program: Program, threads: int) -> None:
        super().__init__(artifact)
        self._program, self._threads = program, threads
        self._settle()

    def executed(self) -> dict[str, Executed]:
        """Dtype and device of each node, as the program reports them."""
        if not (found := self._program.executed()):
            self.bind(_SMALL if self.artifact.manifest.shape is None else Shape(*self.artifact.manifest.shape))
            found = self._program.executed()
        return found

    def layer_times(self, frame: Frame, frames: int) -> list[LayerTime]:
        """Times of modules or compiled kernels, from PyTorch's profiler."""
        self._settle()
        known = graph_nodes(self.artifact)
        given = torch.from_numpy(np.array(self._extended(frame))).to(self._program.network.device)
        clock = LayerClock()
        for name, seconds in self._program.layer_seconds(given, frames + 1):
            clock.note(name, "", seconds)
        # A module is a node, or its name is the prefix of its nodes' names.
        return clock.layers(
            frames, lambda name: nodes_in(name, known) or tuple(node for node in known if node.startswith(f"{name}."))
        )

    def _bind(self, shape: Shape) -> None:
        port = self.artifact.manifest.input
        self._settle()
        self._program.prepare(torch.zeros(port.frame_shape(shape), dtype=getattr(torch, port.dtype)))

    def _run(self, frame: Frame) -> Frame:
        self._settle()
        writeable = frame if frame.flags.writeable else frame.copy()
        # Through one dimension: NumPy does not define strides of sides of 1, and programs are compiled for strides.
        array: Frame = self._program(torch.from_numpy(writeable.reshape(-1)).view(frame.shape)).numpy()
        return array

    def _settle(self) -> None:
        """Set the number of threads, which belongs to the process or thread: other code may have changed it."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)


@dataclass(frozen=True)
class _Buffers:
    """Page-locked frames with their NumPy views, and the input on the device."""

    given: torch.Tensor
    returned: torch.Tensor
    given_array: NDArray[Any]
    returned_array: NDArray[Any]
    device: torch.Tensor


class TorchCudaSession(TorchSession):
    """A program on the first NVIDIA GPU. A frame is upload, program, download on one stream; float32 without TF32.

    Page-locked frames and the device's input are allocated in `bind`. PyTorch's caching allocator reuses the memory
    that the program allocates in every frame.
    """

    def __init__(self, artifact: Artifact, program: Program, threads: int) -> None:
        super().__init__(artifact, program, threads)
        self._started, self._begin, self._end, self._finished = _event(), _event(), _event(), _event()
        self._stages_known = False
        self._buffers: _Buffers | None = None

    def device_seconds(self) -> float:
        """Device time in seconds of the last frame's inference, without copies."""
        return float(self._begin.elapsed_time(self._end)) / 1000

    def stages(self) -> Stages | None:
        """Device times of the last frame that was copied to the device and back."""
        if not self._stages_known:
            return None
        events = (self._started, self._begin, self._end, self._finished)
        return Stages(*(float(a.elapsed_time(b)) / 1000 for a, b in itertools.pairwise(events)))

    def _bind(self, shape: Shape) -> None:
        self._settle()
        manifest = self.artifact.manifest
        target = shape.upscaled(manifest.network.scale)
        given = _pinned(manifest.input.frame_shape(shape), manifest.input.dtype)
        returned = _pinned(manifest.output.frame_shape(target), manifest.output.dtype)
        device = given.to(self._program.network.device)
        buffers = _Buffers(given, returned, given.numpy(), returned.numpy(), device)
        self._program.prepare(device)
        self._upscale(buffers)  # cuDNN chooses its kernels
        self._buffers = buffers

    def _run(self, frame: Frame) -> Frame:
        if self._buffers is None:
            raise Unavailable("the session was not bound")
        self._settle()
        np.copyto(self._buffers.given_array, frame)
        self._upscale(self._buffers)
        self._stages_known = True
        return self._buffers.returned_array

    def _put(self, frame: Frame) -> None:
        if self._buffers is None:
            raise Unavailable("the session was not bound")
        np.copyto(self._buffers.given_array, frame)
        self._buffers.device.copy_(self._buffers.given)

    def _compute(self, frame: Frame) -> None:
        if self._buffers is None:
            raise Unavailable("the session was not bound")
        self._settle()
        self._stages_known = False
        self._program(self._buffers.device)
        torch.cuda.current_stream().synchronize()

    def _upscale(self, buffers: _Buffers) -> None:
        self._started.record()
        buffers.device.copy_(buffers.given, non_blocking=True)
        self._begin.record()
        result = self._program(buffers.device)
        self._end.record()
        buffers.returned.copy_(result, non_blocking=True)
        self._finished.record()
        torch.cuda.current_stream().synchronize()

    def _settle(self) -> None:
        super()._settle()
        without_tf32()
        torch.backends.cudnn.benchmark = True  # sizes are fixed, and `bind` runs a frame


def without_tf32() -> None:
    """Compute float32 in float32: TF32 keeps 10 of 23 mantissa bits, and is PyTorch's default for convolutions."""
    # The older switches first: Inductor still reads them, which is an error while they disagree with the new ones.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.fp32_precision = "ieee"


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _pinned(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.zeros(shape, dtype=getattr(torch, dtype), pin_memory=True)

"""PyTorch sessions: frames in host memory, or carried to an NVIDIA GPU and back."""

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
from toolkit.runtimes.protocol import ArtifactSession, Executed, LayerTime, Stages
from toolkit.runtimes.pytorch.program import Program
from toolkit.workloads import Shape

_SMALL = Shape(16, 16)


class TorchSession(ArtifactSession):
    """A program on the CPU."""

    def __init__(self, artifact: Artifact, program: Program, threads: int) -> None:
        super().__init__(artifact)
        self._program, self._threads = program, threads
        self._settle()

    def executed(self) -> dict[str, Executed]:
        """Dtype and device per node, as the program tells."""
        if not (found := self._program.executed()):
            self.bind(_SMALL if self.artifact.manifest.shape is None else Shape(*self.artifact.manifest.shape))
            found = self._program.executed()
        return found

    def layer_times(self, frame: Frame, frames: int) -> list[LayerTime]:
        """Per module or compiled kernel, from PyTorch's profiler."""
        self._settle()
        known = graph_nodes(self.artifact)
        given = torch.from_numpy(np.array(self._extended(frame))).to(self._program.network.device)
        clock = LayerClock()
        for name, seconds in self._program.layer_seconds(given, frames + 1):
            clock.note(name, "", seconds)
        # A module is a node, or stands before the names of its nodes.
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
        # Through one dimension: NumPy leaves strides of dimensions of 1 open, and programs are compiled for strides.
        array: Frame = self._program(torch.from_numpy(writeable.reshape(-1)).view(frame.shape)).numpy()
        return array

    def _settle(self) -> None:
        """Threads are the process's, or a thread's own: whoever ran in between may have changed them."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)


@dataclass(frozen=True)
class _Buffers:
    """Page-locked frames with NumPy's view of them, and the input's place on the device."""

    given: torch.Tensor
    returned: torch.Tensor
    given_array: NDArray[Any]
    returned_array: NDArray[Any]
    device: torch.Tensor


class TorchCudaSession(TorchSession):
    """A program on the first NVIDIA GPU. A frame is upload, program, download on one stream; float32 without TF32.

    Page-locked frames and the device's input are allocated in `bind`; what the program allocates, PyTorch's caching
    allocator hands out again, frame for frame.
    """

    def __init__(self, artifact: Artifact, program: Program, threads: int) -> None:
        super().__init__(artifact, program, threads)
        self._started, self._begin, self._end, self._finished = _event(), _event(), _event(), _event()
        self._stages_known = False
        self._buffers: _Buffers | None = None

    def device_seconds(self) -> float:
        """Device time of the last frame's inference, without copies."""
        return float(self._begin.elapsed_time(self._end)) / 1000

    def stages(self) -> Stages | None:
        """Device time of the last frame that was copied there and back."""
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
    # The older switches first: Inductor still reads them, and reading is an error while they disagree with the new.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.fp32_precision = "ieee"


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _pinned(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.zeros(shape, dtype=getattr(torch, dtype), pin_memory=True)

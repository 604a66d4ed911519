"""The base class of sessions on an NVIDIA GPU: a frame is upload, launch and download on one stream."""

from __future__ import annotations

from abc import abstractmethod

from toolkit.errors import Unavailable
from toolkit.port import Frame
from toolkit.runtimes.cuda.driver import Cuda
from toolkit.runtimes.cuda.frames import DeviceFrames
from toolkit.runtimes.protocol import ArtifactSession
from toolkit.runtimes.reported import Stages
from toolkit.workloads import Shape


class CudaSession(ArtifactSession):
    """A session with frames on the device and in page-locked host memory, allocated once for a size."""

    def _use(self, cuda: Cuda) -> None:
        """Set the context and stream, and create events around what is launched."""
        self._cuda = cuda
        self._begin, self._end = cuda.event(), cuda.event()
        self._frames: DeviceFrames | None = None
        self._stages_known = False

    @abstractmethod
    def _launch(self) -> None:
        """Start computing the bound output frame on the device from the bound input frame."""

    def device_seconds(self) -> float:
        """Device time in seconds of the last frame's inference, without copies."""
        return self._cuda.seconds_between(self._begin, self._end)

    def stages(self) -> Stages | None:
        """Device times of the last frame that was copied to the device and back."""
        if self._frames is None or not self._stages_known:
            return None
        return self._frames.stages(self._begin, self._end)

    def _new_frames(self, shape: Shape) -> DeviceFrames:
        """Frames for inputs of this size. Release those of the previous size first."""
        manifest = self.artifact.manifest
        upscaled = shape.upscaled(manifest.network.scale)
        return DeviceFrames(
            self._cuda,
            self._cuda.pinned_array(manifest.input.frame_shape(shape), manifest.input.dtype),
            self._cuda.pinned_array(manifest.output.frame_shape(upscaled), manifest.output.dtype),
        )

    def _bound_frames(self) -> DeviceFrames:
        if self._frames is None:
            raise Unavailable("the session was not bound")
        return self._frames

    def _run(self, frame: Frame) -> Frame:
        frames = self._bound_frames()
        frames.upload(frame)
        self._cuda.record(self._begin)
        self._launch()
        self._cuda.record(self._end)
        self._stages_known = True
        return frames.download()

    def _put(self, frame: Frame) -> None:
        self._bound_frames().upload(frame)
        self._cuda.synchronise()

    def _compute(self, frame: Frame) -> None:
        self._bound_frames()
        self._stages_known = False
        self._launch()
        self._cuda.synchronise()

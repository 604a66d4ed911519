"""A network as a function of frames of any size and depth, processed in strips if memory is limited."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.analysis.locality import Locality, WholeFrame, bytes_per_pixel, network_locality
from toolkit.graph.reading import read_model
from toolkit.images.chroma import SUPPORT, coloured_image
from toolkit.manifest_parts import Network
from toolkit.media.strips import MEMORY, Strip, cut, highest
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.subject import Subject
from toolkit.sizes import reflected_indices
from toolkit.system.foreign import foreign
from toolkit.workloads import Shape

Planes = NDArray[Any]
"""An image, uint8 or uint16, as (3, H, W): red, green, blue."""

_REUSE_STRIPS = 8
"""Strips of a frame for reuse, if memory does not require more: enough to find unchanged areas, few enough that their
halos cost little."""


@dataclass
class Reused:
    """Number of rows that were processed, and of those taken from the frame before."""

    rows: int = 0
    reused: int = 0

    @property
    def share(self) -> float:
        return self.reused / self.rows if self.rows else 0.0


class FrameUpscaler:
    """A network that upscales frames (3, H, W).

    Frames that need more than `memory` bytes are processed in strips with their exact halo. The result is the same to
    the bit if the runtime computes a pixel the same way for every frame height. With `reuse`, strips whose input equals
    that of the frame before keep their result; whole frames are then run only if a test frame of the same size had the
    same result to the bit both ways.
    """

    def __init__(self, subject: Subject, *, memory: int = MEMORY, reuse: bool = False, packed: bool = False) -> None:
        """Load nothing yet: sessions are opened for the first frame.

        Args:
            subject: the network and its runtime.
            memory: bytes that the tensors of one run may take.
            reuse: keep results of strips that did not change.
            packed: results are (H, W, 3) in memory, as picture files need them, and returned as a (3, H, W) view.
        """
        self.subject, self.memory, self.reuse, self._packed = subject, memory, reuse, packed
        self.reused = Reused()
        self._sessions: dict[int, Session] = {}
        self._spare: list[Session] = []
        self._shape: Shape | None = None
        self._strips: tuple[Strip, ...] = ()
        self._whole = True
        self._before: Planes | None = None
        self._result: Planes | None = None

    def __call__(self, frame: Planes, white: int) -> Planes:
        """Upscale one frame.

        Args:
            frame: (3, H, W), uint8, or uint16 if the network has float input.
            white: the value of 1.0; results are rounded to integers, ties to even, and clamped to 0..white.

        Returns:
            (3, scale*H, scale*W) of the same type. Must not be modified: the next call may copy rows of it.

        Raises:
            InputError: the network has another fixed size, or takes only 8 bits.
        """
        if frame.dtype != np.uint8 and not self.subject.contract.deep:
            raise InputError(
                f"{self.subject.name} takes 8 bits per sample, and this image has more",
                "Use an artifact with float input and output (`toolkit export` without --io uint8).",
            )
        height, width = frame.shape[1:]
        extended = self._extended(frame)
        shape = Shape(*extended.shape[1:])
        if shape != self._shape:
            self._plan(shape)
        scale = self.subject.scale
        large = shape.upscaled(scale).sides
        if self._packed:
            result: Planes = np.empty((*large, 3), frame.dtype).transpose(2, 0, 1)
        else:
            result = np.empty((3, *large), frame.dtype)
        self._compute(extended, result, white)
        return result[:, : height * scale, : width * scale]

    def forget(self) -> None:
        """Do not reuse results of earlier frames, and reset the counts."""
        self._before = self._result = None
        self.reused = Reused()

    def session(self, shape: Shape) -> Session:
        """A session bound to this size, for a caller that gives it frames itself."""
        self._spare += self._sessions.values()
        self._shape, self._sessions = None, {}  # this object plans its next frame again
        return self._session(shape)

    def precisions(self) -> dict[str, int]:
        """Number of nodes per executed precision; of a network in strips, of one of their heights."""
        session = next(iter(self._sessions.values()))
        return dict(Counter(node.precision for node in session.executed().values()))

    def _compute(self, frame: Planes, result: Planes, white: int) -> None:
        before, old = self._before, self._result
        scale, height = self.subject.scale, frame.shape[1]
        changed = []
        for strip in self._strips:
            if (
                before is not None
                and old is not None
                and before.dtype == frame.dtype
                and np.array_equal(before[:, strip.start : strip.stop], frame[:, strip.start : strip.stop])
            ):
                rows = slice(strip.keep_start * scale, strip.keep_stop * scale)
                result[:, rows] = old[:, rows]
            else:
                changed.append(strip)
        if self._whole and sum(strip.stop - strip.start for strip in changed) >= height:
            # One run of the whole frame is faster, and computes the unchanged strips to the same bits again.
            changed = [Strip(0, height, 0, height)]
        for strip in changed:
            self._run(frame, strip, result, white)
        self.reused.rows += height
        self.reused.reused += height - sum(strip.keep_stop - strip.keep_start for strip in changed)
        if self.reuse:
            self._before, self._result = frame, result

    def _run(self, frame: Planes, strip: Strip, result: Planes, white: int) -> None:
        rows = strip.stop - strip.start
        session = self._session(Shape(rows, frame.shape[2]))
        scale = self.subject.scale
        given, returned = self.subject.contract.input, self.subject.contract.output
        image = frame[:, strip.start : strip.stop].transpose(1, 2, 0)
        output = session.run(given.from_image(image, white=white))
        first, last = ((row - strip.start) * scale for row in (strip.keep_start, strip.keep_stop))
        target = result[:, strip.keep_start * scale : strip.keep_stop * scale].transpose(1, 2, 0)
        if returned.order != "Y":
            returned.to_image(returned.region(output, slice(first, last)), white=white, out=target)
        else:  # chroma near the edges of a strip depends on its halo too
            target[...] = coloured_image(returned, output, image, white=white)[first:last]

    def _session(self, shape: Shape) -> Session:
        """A session bound to a size; one is kept for each height."""
        if shape.height not in self._sessions:
            session = self._spare.pop() if self._spare else self.subject.load()
            session.bind(shape)
            self._sessions[shape.height] = session
        return self._sessions[shape.height]

    def _extended(self, frame: Planes) -> Planes:
        """The frame extended by reflection to the network's size multiple, as sessions do, but once for all strips."""
        if self.subject.fixed is not None or isinstance(self._local(), WholeFrame):
            return frame
        sides = frame.shape[1:]
        wanted = [self.subject.contract.sizes.padded(side) for side in sides]
        for axis, (side, target) in enumerate(zip(sides, wanted, strict=True), 1):
            if side != target:
                frame = frame.take(reflected_indices(side, target), axis)
        return frame

    @property
    def reach(self) -> int | None:
        """Pixels to each side that an output pixel depends on; None: the whole frame, or unknown."""
        artifact = self.subject.origin
        if artifact is None:
            return None
        local = demand_of(artifact).local
        if isinstance(local, WholeFrame):
            return None
        # The field is given for the first pixel of each block of `alignment` pixels, and a pixel may be its last.
        return max(local.above, local.below) + local.alignment - 1

    def _local(self) -> Locality | WholeFrame:
        """The graph's receptive field; engines run on whole frames, because they have a fixed size."""
        artifact = self.subject.artifact
        return WholeFrame("an engine is built for one size") if artifact is None else demand_of(artifact).local

    def _plan(self, shape: Shape) -> None:
        self._shape = shape
        self._spare += self._sessions.values()
        self._sessions = {}
        self._before = self._result = None
        local = self._local()
        whole = Strip(0, shape.height, 0, shape.height)
        self._strips, self._whole = (whole,), True
        artifact = self.subject.artifact
        if artifact is None or isinstance(local, WholeFrame) or self.subject.fixed is not None:
            self._demand_memory(shape, local)
            return
        per_pixel = demand_of(artifact).bytes_per_pixel
        rows = highest(self.memory, shape, per_pixel, local)
        self._strips = cut(shape.height, rows, local)
        if len(self._strips) == 1 and self.reuse:
            self._strips = cut(shape.height, -(-shape.height // _REUSE_STRIPS), local)
            self._whole = len(self._strips) == 1 or self._same_either_way(shape)
        else:
            self._whole = len(self._strips) == 1

    def _demand_memory(self, shape: Shape, local: Locality | WholeFrame) -> None:
        """Where there can be no strips, the whole frame must fit."""
        artifact = self.subject.artifact
        if artifact is None or isinstance(local, Locality):
            return
        needed = demand_of(artifact).bytes_per_pixel * shape.height * shape.width
        if needed > self.memory:
            raise InputError(
                f"{shape} takes about {needed / 2**20:.0f} MiB at once, and cannot be cut into strips: {local.reason}",
                "Allow more with --memory.",
            )

    def _same_either_way(self, shape: Shape) -> bool:
        """Whether a frame of noise has the same result in strips and whole.

        How a runtime computes a pixel depends on its position and the frame's size, not on values, so that one frame
        is enough.
        """
        random = np.random.default_rng(0)
        frame: Planes = random.integers(0, 256, (3, *shape.sides), np.uint8)
        scale = self.subject.scale
        white = 65535 if self.subject.contract.deep else 255
        if self.subject.contract.deep:
            frame = frame.astype(np.uint16) * np.uint16(257)
        results = [np.empty((3, shape.height * scale, shape.width * scale), frame.dtype) for _ in range(2)]
        for strip in self._strips:
            self._run(frame, strip, results[0], white)
        self._run(frame, Strip(0, shape.height, 0, shape.height), results[1], white)
        return np.array_equal(results[0], results[1])


@dataclass(frozen=True)
class Demand:
    """What a graph needs to compute a pixel: input around it, and memory."""

    local: Locality | WholeFrame
    bytes_per_pixel: float


def demand_of(artifact: Artifact) -> Demand:
    """What an artifact's graph needs, chroma beside a network of luma included.

    Raises:
        ArtifactError: the graph cannot be read.
    """
    demand = _read_demand(artifact.path, artifact.manifest.network)
    if artifact.contract.output.order != "Y" or isinstance(demand.local, WholeFrame):
        return demand
    local = demand.local
    # Chroma is interpolated beside the network, which may look less far.
    wider = replace(local, above=max(local.above, SUPPORT), below=max(local.below, SUPPORT))
    return replace(demand, local=wider)


@lru_cache(maxsize=16)
def _read_demand(path: Path, network: Network) -> Demand:
    model = read_model(path)
    with foreign(f"cannot find the receptive field of {path}"):
        return Demand(network_locality(model, network), bytes_per_pixel(model))

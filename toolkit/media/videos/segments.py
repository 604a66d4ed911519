"""Segments of a video: each is decoded, upscaled and encoded by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError
from toolkit.media.channels import upscale_with_alpha
from toolkit.media.split_view import split_view
from toolkit.media.target import resized
from toolkit.media.upscaler import FrameUpscaler, Planes
from toolkit.media.videos.chroma import (
    Chroma,
    ChromaEnlarger,
    ChromaGrid,
    ChromaReader,
    default_chroma,
    grid_of,
    set_chroma,
)
from toolkit.media.videos.colour import FromRgb, ToRgb, rgb_of
from toolkit.media.videos.decoding import Decoding, Timed, decoded
from toolkit.media.videos.encoding import EncodedPacket, Encoding, Part, SegmentEncoder
from toolkit.media.videos.pipeline import Times, pipelined
from toolkit.media.videos.pixel_formats import has_alpha, is_planar
from toolkit.media.videos.tally import Damage, Tally
from toolkit.media.videos.video_file import Segment, VideoFile
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import av


@dataclass(frozen=True)
class VideoJob:
    """Everything that determines the output frames of a video; it is sent to workers.

    Attributes:
        video: the input.
        subject: the network.
        result: size of the output frames, upright.
        encoding: of the output.
        global_header: see `SegmentEncoder`.
        decoding: how frames are read.
        reuse: whether results of unchanged strips are reused. The output is the same.
        memory: bytes that the tensors of one run may take; see `FrameUpscaler`.
        chroma: where the chroma of the output comes from; `lanczos` only without an obstacle.
        split: whether the left half shows the input, enlarged by bicubic interpolation.
    """

    video: VideoFile
    subject: Subject
    result: Shape
    encoding: Encoding
    global_header: bool
    decoding: Decoding
    reuse: bool
    memory: int
    chroma: Chroma = "network"
    split: bool = False

    @property
    def alpha(self) -> bool:
        """Whether transparency is upscaled: the input has it, and so has the output's pixel format."""
        return has_alpha(self.video.pix_fmt) and has_alpha(self.encoding.pix_fmt)

    @property
    def obstacle(self) -> str:
        """Why chroma planes cannot bypass the network; empty if they can."""
        if self._grids[0] is None:
            return "its frames have no chroma planes"
        if self._grids[1] is None or not is_planar(self.encoding.pix_fmt):
            return f"frames of {self.encoding.pix_fmt} have no chroma planes"
        # Colours of pixels that cannot be seen would reach visible ones.
        return "its frames are transparent" if self.alpha else ""

    def with_chroma(self, wanted: Chroma | None) -> tuple[VideoJob, list[str]]:
        """The job with the chroma that the user asked for if there is no obstacle, and notes."""
        if not self.obstacle:
            return replace(self, chroma=wanted or default_chroma(self.subject.purpose)), []
        refused = wanted not in (None, self.chroma)
        return self, [f"{self.video.path.name}: {self.obstacle}, so its colours are the network's"] * refused

    def enlarger(self) -> ChromaEnlarger:
        """From the chroma planes of the input, upright, to those of the frames that are encoded.

        Raises:
            InputError: there is an obstacle.
        """
        source, target = self._grids
        if source is None or target is None:
            raise InputError(f"{self.video.path}: {self.obstacle}")
        padded = replace(target, luma=Shape(self.encoding.height, self.encoding.width)).shape
        return ChromaEnlarger(source.upright(self.video.orientation), target, padded)

    @property
    def _grids(self) -> tuple[ChromaGrid | None, ChromaGrid | None]:
        """Of the input as stored, and of the output."""
        video, encoding = self.video, self.encoding
        return (
            grid_of(video.shape, video.pix_fmt, video.colour),
            grid_of(self.result, encoding.pix_fmt, encoding.colour),
        )


@dataclass(frozen=True)
class Raw:
    """A decoded frame, upright, in RGB, or RGBA where the output is transparent; `chroma`: planes past the network."""

    segment: Segment
    pts: int
    planes: Planes
    white: int
    chroma: Planes | None = None


@dataclass(frozen=True)
class Made:
    """An upscaled frame in RGB or RGBA, and the chroma planes of its input that replace those of the result."""

    pts: int
    planes: Planes
    white: int
    chroma: Planes | None = None


@dataclass(frozen=True)
class End:
    """End of a segment; `whole` unless the run was stopped within it."""

    segment: Segment
    whole: bool
    tally: Tally


class SegmentRun:
    """Decode, upscale and encode consecutive segments of a job."""

    def __init__(self, job: VideoJob, upscaler: FrameUpscaler | None = None) -> None:
        self.job = job
        self.upscaler = upscaler or FrameUpscaler(job.subject, memory=job.memory, reuse=job.reuse)
        self.damage = Damage()
        self._to_rgb: ToRgb | None = None
        self._from_rgb: FromRgb | None = None
        self._chroma: ChromaReader | None = None
        self._enlarge: ChromaEnlarger | None = None
        self._encoder: SegmentEncoder | None = None
        self._counted = (0, 0)

    def run(
        self,
        segments: tuple[Segment, ...],
        done: Callable[[Part, bool], None],
        frame_done: Callable[[], None] = lambda: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Times:
        """Process segments in order.

        Args:
            segments: consecutive ones.
            done: called with each encoded segment, and whether it is whole.
            frame_done: called after each frame.
            stopped: whether to stop. The current segment is then encoded as far as it goes, and is not whole.

        Raises:
            InputError: a frame cannot be decoded or encoded.
        """

        def sink(item: Any) -> None:
            if isinstance(item, End):
                done(self.finish(item), item.whole)
                return
            self.encode(item)
            frame_done()

        return pipelined(self.frames(segments, stopped), self._upscale, sink)

    def frames(self, segments: tuple[Segment, ...], stopped: Callable[[], bool] = lambda: False) -> Iterator[Raw | End]:
        job = self.job
        for segment, frames in decoded(job.video, segments, job.decoding, self.damage):
            for timed in frames:
                yield self.raw(segment, timed)
                if stopped():
                    yield End(segment, whole=False, tally=self.damage.close(segment.stop))
                    return
            yield End(segment, whole=True, tally=self.damage.close(segment.stop))

    def raw(self, segment: Segment, timed: Timed) -> Raw:
        """A decoded frame as the network takes it."""
        job = self.job
        if self._to_rgb is None:
            self._to_rgb = ToRgb(timed.frame, job.video.colour, deep=job.subject.contract.deep, alpha=job.alpha)
        planes, turn = self._to_rgb(timed.frame), job.video.orientation.upright
        chroma = turn(self._read_chroma(timed.frame)) if job.chroma == "lanczos" else None
        return Raw(segment, timed.pts, turn(planes), self._to_rgb.white, chroma)

    def _read_chroma(self, frame: av.VideoFrame) -> Planes:
        if self._chroma is None:
            self._chroma = ChromaReader(frame, self.job.video.colour)
        return self._chroma(frame)

    def _upscale(self, item: Raw | End) -> Made | End:
        if isinstance(item, End):
            return item
        made = self.upscaled(item)
        if not self.job.split:
            return made
        return Made(item.pts, split_view(item.planes, self.shown(made), item.white), item.white)

    def upscaled(self, item: Raw) -> Made:
        """The frame that is encoded, unless it is split."""
        if len(item.planes) == 4:
            samples = upscale_with_alpha(self.upscaler, item.planes.transpose(1, 2, 0), item.white)
            made = samples.transpose(2, 0, 1)
        else:
            made = self.upscaler(item.planes, item.white)
        if made.shape[1:] != self.job.result.sides:
            made = resized(made.transpose(1, 2, 0), self.job.result).transpose(2, 0, 1)
        return Made(item.pts, made, item.white, item.chroma)

    def shown(self, made: Made) -> Planes:
        """The planes of an upscaled frame with the colours of the frame that is encoded."""
        if made.chroma is None:
            return made.planes
        height, width = made.planes.shape[1:]
        return rgb_of(self._converted(made), self.job.encoding.colour, made.white)[:, :height, :width]

    def encode(self, made: Made) -> None:
        """Pass a frame to the encoder of the current segment."""
        if self._encoder is None:
            self._encoder = SegmentEncoder(self.job.encoding, global_header=self.job.global_header)
        self._encoder.encode(self._converted(made), made.pts)

    def _converted(self, made: Made) -> av.VideoFrame:
        """A frame in the pixel format of the encoder."""
        encoding, planes = self.job.encoding, made.planes
        beyond = encoding.height - planes.shape[1], encoding.width - planes.shape[2]
        if any(beyond):
            planes = np.pad(planes, ((0, 0), (0, beyond[0]), (0, beyond[1])), mode="edge")
        if self._from_rgb is None:
            self._from_rgb = FromRgb(encoding.width, encoding.height, made.white, encoding.colour, encoding.pix_fmt)
        frame = self._from_rgb(planes)
        if made.chroma is not None:
            if self._enlarge is None:
                self._enlarge = self.job.enlarger()
            set_chroma(frame, self._enlarge(made.chroma))
        return frame

    def packets(self) -> list[EncodedPacket]:
        """The packets of the current segment since the last call, for encoders that return each frame at once."""
        if self._encoder is None:
            return []
        packets, self._encoder.packets = self._encoder.packets, []
        return packets

    def finish(self, end: End) -> Part:
        """The current segment, encoded."""
        encoder, self._encoder = self._encoder, None
        reused = self.upscaler.reused
        rows, reused_rows = reused.rows - self._counted[0], reused.reused - self._counted[1]
        self._counted = reused.rows, reused.reused
        packets = encoder.finish() if encoder else []
        frames = encoder.frames if encoder else 0
        return Part(end.segment.number, frames, packets, rows, reused_rows, end.tally)


def still(job: VideoJob, index: int) -> tuple[Planes, Planes, int]:
    """Frame number `index` of a job: the input, the result as it would be encoded, and the white value.

    Where fewer frames can be decoded than the container counts, the last of them.

    Raises:
        InputError: no frame can be decoded.
    """
    run, chosen = SegmentRun(job), None
    frames = (item for item in run.frames(job.video.segments) if isinstance(item, Raw))
    for frame in itertools.islice(frames, index + 1):
        chosen = frame
    if chosen is None:
        raise InputError(
            f"{job.video.path}: no frame can be decoded", "Try another program, or another copy of the file."
        )
    return chosen.planes, run.shown(run.upscaled(chosen)), chosen.white

"""Segments of a video: each is decoded, upscaled and encoded by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from toolkit.errors import InputError
from toolkit.media.upscaler import FrameUpscaler, Planes
from toolkit.media.videos.decoding import Timed, decoded
from toolkit.media.videos.encoding import EncodedPacket, Part, SegmentEncoder
from toolkit.media.videos.job import VideoJob
from toolkit.media.videos.pipeline import Times, pipelined
from toolkit.media.videos.planar_frames import PlanarFrames
from toolkit.media.videos.rgb_frames import RgbFrames
from toolkit.media.videos.tally import Damage, Tally
from toolkit.media.videos.video_file import Segment


@dataclass(frozen=True)
class Raw:
    """A decoded frame as the job's kind of frames has it."""

    segment: Segment
    pts: int
    frame: Any


@dataclass(frozen=True)
class Made:
    """An upscaled frame, likewise."""

    pts: int
    frame: Any


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
        kind = PlanarFrames if job.planar and not job.split else RgbFrames  # two halves are joined in RGB
        self._frames = kind(job, self.upscaler)
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
        return Raw(segment, timed.pts, self._frames.read(timed.frame))

    def _upscale(self, item: Raw | End) -> Made | End:
        return item if isinstance(item, End) else self.upscaled(item)

    def upscaled(self, item: Raw) -> Made:
        """The frame that is encoded."""
        return Made(item.pts, self._frames.upscale(item.frame))

    def encode(self, made: Made) -> None:
        """Pass a frame to the encoder of the current segment."""
        if self._encoder is None:
            self._encoder = SegmentEncoder(self.job.encoding, global_header=self.job.global_header)
        self._encoder.encode(self._frames.convert(made.frame), made.pts)

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
    # In RGB, as pages show it.
    in_rgb = replace(job, planar=False)
    run, frames = SegmentRun(in_rgb), RgbFrames(in_rgb, FrameUpscaler(job.subject, memory=job.memory))
    chosen = None
    for item in itertools.islice((item for item in run.frames(job.video.segments) if isinstance(item, Raw)), index + 1):
        chosen = item.frame
    if chosen is None:
        raise InputError(
            f"{job.video.path}: no frame can be decoded", "Try another program, or another copy of the file."
        )
    return chosen.planes, frames.shown(frames.upscaled(chosen)), chosen.white

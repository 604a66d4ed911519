"""`upscale - -o -`: a YUV4MPEG2 stream from one file descriptor to another."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from toolkit.errors import InputError
from toolkit.media.failure import Failure
from toolkit.media.item import Item
from toolkit.media.networks import FileNetworks, Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.report import FileReport, UpscaleReport
from toolkit.media.videos.chroma import Chroma
from toolkit.media.videos.colour import assumed_matrix
from toolkit.media.videos.decoding import Decoding, Timed, deinterlaced
from toolkit.media.videos.encoding import Encoding, VideoFormat
from toolkit.media.videos.job import VideoJob
from toolkit.media.videos.pipeline import pipelined
from toolkit.media.videos.pixel_formats import choose_format, is_grey, lost
from toolkit.media.videos.segments import Made, Raw, SegmentRun
from toolkit.media.videos.suitability import check_depth, check_progressive, enlarged
from toolkit.media.videos.times import FileTimes
from toolkit.media.videos.video_file import Segment, VideoFile, video_of
from toolkit.media.videos.y4m import Y4mReader, Y4mWriter, opened_y4m
from toolkit.media.weights import Choice
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.system.shutdown import graceful_shutdown
from toolkit.workloads import Shape

_INPUT = Path("standard input")
_ITEM = Item(Path("-"), Path("-"), "video")
_ALL = Segment(0, None, None)


def upscale_stream(
    source: int, sink: int, options: UpscaleOptions | None = None, *, progress: ProgressCallback = no_progress
) -> UpscaleReport:
    """Upscale a YUV4MPEG2 stream frame by frame, with the pixels that `upscale` writes for a file of the same frames.

    On Ctrl-C (or SIGTERM) the frames that were read are written, and the report says that it was stopped.

    Args:
        source: file descriptor to read.
        sink: file descriptor to write. Grey stays grey; `options.video.pix_fmt` selects another pixel format.
        options: see `UpscaleOptions`; those of encoders, files and distribution are refused.
        progress: called after each frame.

    Raises:
        InputError: bad options, the input is not YUV4MPEG2, is interlaced without `deinterlace`, or ends within a
            frame: then the whole frames before have been written.
        BrokenPipeError: the reader of the output has exited.
        Unavailable: the runtime or PyAV is not available here.
    """
    options = options or UpscaleOptions()
    _refuse(options)
    networks = Networks(options)
    networks.check([_ITEM], runs_here=True)
    with graceful_shutdown() as shutdown:
        piped = _Piped(options, networks.of(_ITEM), sink, progress)

        def stopped() -> bool:
            return shutdown.requested or piped.failed

        problem = None
        try:
            with opened_y4m(source, stopped) as reader:
                piped.run(reader)
                problem = reader.problem
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001  (raised again, explained)
            if not shutdown.requested or piped.frames:  # a header that did not arrive is no error then
                Failure.of(error, _INPUT).reraise()
        if problem is not None and not shutdown.requested:
            raise problem
        return UpscaleReport((piped.report(stopped=shutdown.requested),), networks.labels)


def _refuse(options: UpscaleOptions) -> None:
    """Refuse options that have no meaning for a stream."""
    given = {
        "--jobs": options.jobs > 1,
        "--ray": options.ray is not None,
        "--resume": options.resume,
        "--codec, --crf, --codec-preset and --codec-option": options.video
        != VideoFormat(pix_fmt=options.video.pix_fmt),
    }
    for name, is_given in given.items():
        if is_given:
            raise InputError(f"{name} cannot be used with a stream", "It is upscaled in this process, uncompressed.")


@dataclass
class _Piped:
    """A stream that is being upscaled.

    Attributes:
        frames: number of frames that were written.
        failed: whether a later stage has failed, so that reading is to end.
        chroma: where that of the output comes from.
        scale: of the network; 0 before the first frame.
        notes: for the report.
    """

    options: UpscaleOptions
    networks: FileNetworks
    sink: int
    progress: ProgressCallback
    frames: int = 0
    failed: bool = False
    chroma: Chroma = "network"
    scale: int = 0
    notes: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.perf_counter)

    def run(self, reader: Y4mReader) -> None:
        frames = reader.frames()
        first = next(frames, None)
        if first is None:
            raise reader.problem or InputError("standard input holds no frames", "Check the program that writes to it.")
        job = self._job(reader, first)
        grey = is_grey(job.video.pix_fmt) and self.options.video.pix_fmt is None
        writer = Y4mWriter(self.sink, job.encoding, grey=grey)
        run = SegmentRun(job)

        def transform(item: Raw) -> Made:
            with self._ending():
                return run.upscaled(item)

        def sink(made: Made) -> None:
            with self._ending():
                run.encode(made)
                for packet in run.packets():
                    writer.write(packet.data)
            self.frames += 1
            rate = self.frames / (time.perf_counter() - self.begun)
            self.progress(Progress(f"{self.frames} frames, {rate:.2f} frames/s"))

        timed = self._wanted(itertools.chain([first], frames), job.video.rate)
        pipelined((run.raw(_ALL, item) for item in timed), transform, sink)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """When the block fails, reading ends too, even where nothing more arrives."""
        try:
            yield
        except BaseException:
            self.failed = True
            raise

    def _wanted(self, frames: Iterator[Timed], rate: Fraction) -> Iterator[Timed]:
        """Progressive frames, as many as `--seconds` asks for."""
        if self.options.duration is not None:
            seconds = Fraction(self.options.duration).limit_denominator(1_000_000)
            frames = itertools.islice(frames, max(1, math.ceil(seconds * rate)))
        return deinterlaced(frames) if self.options.deinterlace else frames

    def _job(self, reader: Y4mReader, first: Timed) -> VideoJob:
        """What is done to the frames.

        Raises:
            InputError: they are interlaced, or too deep for the network, or the size or pixel format is not possible.
        """
        options = self.options
        video = video_of(
            _INPUT, reader.stream, first.frame, reader.location, FileTimes((0,), (0,), 1, 1), (_ALL,), seekable=False
        )
        check_progressive(video, deinterlace=options.deinterlace)
        scale, result, notes = enlarged(video, self.networks.networks.target)
        subject = self.networks(scale)
        check_depth(video, subject)
        encoding = _raw(video, result.sides, options.video.pix_fmt)
        decoding = Decoding(deinterlace=options.deinterlace)
        job = VideoJob(video, subject, result, encoding, False, decoding, options.reuse == "exact", options.memory)
        job, chroma_notes = job.with_chroma(options.chroma)
        job = job.with_planar()
        self.notes += [*notes, *_colour_note(video, result), *chroma_notes]
        self.chroma, self.scale = job.chroma, scale
        self.notes += lost(video.pix_fmt, encoding.pix_fmt, "--pix-fmt")
        return job

    def report(self, *, stopped: bool) -> FileReport:
        return FileReport(
            source=str(_ITEM.source),
            output=str(_ITEM.output),
            kind=_ITEM.kind,
            outcome="stopped" if stopped else "done",
            frames=self.frames,
            seconds=time.perf_counter() - self.begun,
            scale=self.scale,
            weights=self.networks.choice(self.scale) if self.scale else Choice(),
            chroma=self.chroma,
            notes=tuple(self.notes),
        )


def _raw(video: VideoFile, sides: tuple[int, int], pix_fmt: str | None) -> Encoding:
    """Uncompressed video in the format and colour of the input; grey as 4:2:0."""
    height, width = sides
    clock, rate, aspect = (
        (value.numerator, value.denominator) for value in (video.time_base, video.rate, video.upright_aspect)
    )
    colour = video.colour
    fields = colour.matrix, colour.full, colour.location, colour.primaries, colour.transfer
    chosen = choose_format(pix_fmt, "rawvideo", video.pix_fmt)
    return Encoding("rawvideo", width, height, chosen, clock, rate, aspect, {}, 1, *fields)


def _colour_note(video: VideoFile, result: Shape) -> list[str]:
    """YUV4MPEG2 does not say the matrix, and programs assume BT.601 for small frames and BT.709 for large ones."""
    if video.colour.matrix == assumed_matrix(result):
        return []
    return ["the output has the matrix of the input, BT.601: tell the next program (ffmpeg -colorspace smpte170m -i -)"]

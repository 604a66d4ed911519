"""A video that is being upscaled: its job, its finished parts, and the output that is assembled from them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import msgspec

from toolkit.errors import InputError, ToolkitError
from toolkit.media.failure import Failure
from toolkit.media.item import Item
from toolkit.media.report import FileReport, Outcome
from toolkit.media.target import Target
from toolkit.media.videos.assembly import assemble, rehearse, wants_global_header
from toolkit.media.videos.colour import RGB
from toolkit.media.videos.counting import frame_count
from toolkit.media.videos.decoding import Decoding
from toolkit.media.videos.encoding import Encoding, Part, SegmentEncoder, choose_encoding
from toolkit.media.videos.job import VideoJob
from toolkit.media.videos.mastering import encoder_option
from toolkit.media.videos.parts import Parts
from toolkit.media.videos.pixel_formats import lost
from toolkit.media.videos.settings import VideoSettings
from toolkit.media.videos.suitability import check_depth, check_progressive, enlarged
from toolkit.media.videos.video_file import Segment, VideoFile, read_video
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import sha256_of_file
from toolkit.system.hardware import usable_cpus
from toolkit.system.lock import Lock
from toolkit.workloads import Shape

_MOST_ENCODER_THREADS = 16


@dataclass
class VideoRun:
    """A video that is being upscaled. Its parts are locked against other processes until it is closed.

    Attributes:
        item: input and output.
        job: what is done to its frames.
        parts: encoded segments on disk.
        notes: what differs from the input, for the report.
        cut: whether only the first seconds are upscaled.
        lock: of the parts.
        finished: numbers of the segments that are on disk.
        overwrite: whether an existing output is replaced.
        begun: time when the work began.
        explained: the error whose remedy already says what is kept.
    """

    item: Item
    job: VideoJob
    parts: Parts
    notes: list[str]
    cut: bool
    lock: Lock
    finished: set[int] = field(default_factory=set)
    overwrite: bool = False
    begun: float = field(default_factory=time.perf_counter)
    explained: ToolkitError | None = None

    def __enter__(self) -> VideoRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unlock the parts."""
        self.lock.release()

    @property
    def remaining(self) -> tuple[Segment, ...]:
        """Segments that are not finished."""
        return tuple(segment for segment in self.job.video.segments if segment.number not in self.finished)

    @property
    def frames_remaining(self) -> int:
        return sum(self.job.video.frames_in(segment) for segment in self.remaining)

    @contextmanager
    def kept_parts(self) -> Iterator[None]:
        """When the block fails, finished parts are kept for `--resume`; without any, the directory is removed.

        Raises:
            ToolkitError: in place of any exception; its remedy says what is kept.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001  (raised again, explained)
            failure = Failure.of(error, self.item.source)
            self.abandon(failure.error)
            failure.reraise()
        except BaseException:
            if not self.finished:
                self.parts.remove()
            raise

    def abandon(self, error: ToolkitError) -> None:
        """After a failure: remove the directory if no part is finished, else say in the error's remedy what is kept."""
        if not self.finished:
            self.parts.remove()
            return
        if error is not self.explained:
            done = f"{len(self.finished)} of {len(self.job.video.segments)} parts are done, and --resume continues."
            error.remedy = f"{error.remedy} {done}".strip()
            self.explained = error

    def take(self, part: Part) -> None:
        """A segment is done."""
        self.parts.write(part)
        self.finished.add(part.number)

    def finish(self, rest: Part | None) -> FileReport:
        """Assemble the output; if segments are missing, a playable file of those before the first gap.

        Args:
            rest: the beginning of a segment in which the run was stopped.

        Raises:
            InputError: the output cannot be written.
            OutputExists: the output appeared in the meantime; the parts are kept.
            CheckFailed: the numbers of input and output frames differ; the output is kept under the name of a stopped
                video.
        """
        segments = self.job.video.segments
        count = next((index for index, item in enumerate(segments) if item.number not in self.finished), len(segments))
        tail = [rest] if rest is not None and rest.number == count and rest.packets else []
        whole = count == len(segments)
        totals = [self.parts.read(number) for number in range(count)] + tail
        frames = sum(part.frames for part in totals)
        counted = frame_count(self.job.video, totals) if whole else None
        complete = counted is not None and counted.encoded == counted.expected
        output, overwrite = (self.item.output, self.overwrite) if complete else self._stopped_output()
        if not frames:
            if not whole:
                self.parts.remove()
                return self._report("", [], "stopped")
            raise InputError(f"{self.item.source}: none of its frames could be decoded")
        end = self._end(totals) if self.cut or not whole else None
        notes = assemble(self.job.video, totals, self.job.encoding, output, end=end, overwrite=overwrite)
        if whole:
            if complete:
                self._remove_stopped()
            self.parts.remove()
        else:
            self.parts.claim(output)
        if counted is not None:
            counted.check(self.item.source, output)
            notes += counted.notes
        self.notes += notes
        return self._report(str(output), totals, "done" if whole else "stopped")

    def _stopped_output(self) -> tuple[Path, bool]:
        """A name for an incomplete output, and whether an existing file of that name may be replaced.

        A file may be replaced if an earlier run of this job wrote it, or if outputs may be overwritten. Otherwise the
        name gets a number.
        """
        number = 1
        while True:
            path = stopped_name(self.item.output, number)
            ours = self.overwrite or self.parts.claims(path)
            if ours or not os.path.lexists(path):
                return path, ours
            number += 1

    def _remove_stopped(self) -> None:
        """Remove the playable file of an earlier run that was stopped, whose content is in the output now."""
        claimed = self.parts.claimed()
        if claimed is not None and _is_stopped_name(claimed, self.item.output):
            claimed.unlink(missing_ok=True)

    def _end(self, parts: list[Part]) -> Fraction:
        """Seconds on the input's clock at which the output ends."""
        video = self.job.video
        last = max(packet.pts for part in parts for packet in part.packets)
        return video.timing.until(last) * video.time_base

    def _report(self, output: str, parts: list[Part], outcome: Outcome) -> FileReport:
        rows, reused = (sum(getattr(part, name) for part in parts) for name in ("rows", "reused_rows"))
        tallies = [part.tally for part in parts]
        corrupt = sum(tally.corrupt for tally in tallies)
        notes = list(self.notes)
        if corrupt:
            first = next(tally.first_corrupt for tally in tallies if tally.corrupt)
            what = {"skip": "left out", "repeat": "replaced by the frame before"}[self.job.decoding.on_error]
            notes.append(f"{corrupt} corrupt frames were {what}, the first: {first}")
        return FileReport(
            source=str(self.item.source),
            output=output,
            kind="video",
            outcome=outcome,
            frames=sum(part.frames for part in parts),
            seconds=time.perf_counter() - self.begun,
            reused=reused / rows if rows else 0.0,
            corrupt=corrupt,
            scale=self.job.subject.scale,
            chroma=self.job.chroma,
            notes=tuple(notes),
        )


def stopped_name(output: Path, number: int = 1) -> Path:
    """The name of an incomplete output, which is not mistaken for the whole video."""
    more = "" if number == 1 else f"-{number}"
    return output.with_name(f"{output.stem}.stopped{more}{output.suffix}")


def _is_stopped_name(path: Path, output: Path) -> bool:
    """Whether `path` is one of the names that `stopped_name` gives."""
    pattern = rf"{re.escape(output.stem)}\.stopped(-[0-9]+)?{re.escape(output.suffix)}"
    return path.parent == output.parent and re.fullmatch(pattern, path.name) is not None


def begin_video(
    item: Item,
    target: Target,
    settings: VideoSettings,
    networks: Callable[[int], Subject],
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> VideoRun:
    """Read a video's packets, choose its encoding, and check that the output can be written.

    Args:
        item: input and output.
        target: size of the result.
        settings: how it is decoded and encoded.
        networks: returns the network of a scale.
        resume: continue with the parts of an interrupted run.
        overwrite: replace an existing output; delete the parts of an interrupted run, unless `resume` is given.

    Raises:
        InputError: any of that fails, another run works on the same output, or there are parts of another job.
    """
    video = read_video(item.source, settings.duration)
    check_progressive(video, deinterlace=settings.deinterlace)
    scale, result, size_notes = enlarged(video, target)
    job, chroma_notes = _job(item, video, networks(scale), result, settings).with_chroma(settings.chroma)
    job = job.with_planar()
    # Both are tried out before anything is decoded: a wrong codec option would otherwise fail after minutes of work.
    SegmentEncoder(job.encoding, global_header=job.global_header)
    rehearse(video, job.encoding, item.output)
    parts = Parts.beside(item.output)
    notes = [*_notes(video, job.encoding, item), *size_notes, *chroma_notes]
    lock = parts.lock()
    try:
        finished = parts.begin(_identity(job), resume=resume, overwrite=overwrite)
    except BaseException:
        lock.release()
        raise
    return VideoRun(item, job, parts, notes, settings.duration is not None, lock, finished, overwrite)


def _job(item: Item, video: VideoFile, subject: Subject, result: Shape, settings: VideoSettings) -> VideoJob:
    """What is done to the frames of a video.

    Raises:
        InputError: the network takes fewer bits than the video has, or no encoder supports the frames.
    """
    check_depth(video, subject)
    clock = video.time_base, video.rate, video.upright_aspect
    threads = min(usable_cpus(), _MOST_ENCODER_THREADS)
    encoding = choose_encoding(
        settings.format,
        item.output.suffix.lower(),
        result,
        video.pix_fmt,
        video.colour,
        clock,
        threads,
        video.mastering,
    )
    decoding = Decoding(settings.on_error, settings.deinterlace)
    header = wants_global_header(item.output)
    return VideoJob(video, subject, result, encoding, header, decoding, settings.reuse == "exact", settings.memory)


def _identity(job: VideoJob) -> dict[str, object]:
    """Everything that finished parts depend on.

    What is done with corrupt or interlaced frames is not among it, and may be changed when such a frame was met: parts
    that were finished without --deinterlace have no interlaced frames, and deinterlacing does not change other frames.
    """
    video, subject = job.video, job.subject
    return {
        "source": str(video.path.absolute()),
        "bytes": video.path.stat().st_size,
        "sha256": sha256_of_file(video.path),
        "segments": [(segment.start, segment.stop) for segment in video.segments],
        "network": subject.sha256,
        "label": subject.label,
        "encoding": msgspec.to_builtins(job.encoding),
        "result": job.result.sides,
        "chroma": job.chroma,
        "planar": job.planar,
    }


def _notes(video: VideoFile, encoding: Encoding, item: Item) -> list[str]:
    """How the output will differ from the input."""
    notes = []
    if video.timing.cut_off:
        notes.append(f"{item.source.name} is cut off: {video.timing.cut_off}")
    if video.colour.assumed:
        notes.append(f"{item.source.name} does not say its colour: {video.colour.assumed} was assumed, and is tagged")
    if video.orientation.note:
        notes.append(f"{item.source.name}: {video.orientation.note}")
    if (video.colour.matrix == RGB) != (encoding.matrix == RGB):
        notes.append(f"RGB became {encoding.pix_fmt}" if video.colour.matrix == RGB else "YCbCr became RGB")
    notes += lost(video.pix_fmt, encoding.pix_fmt, encoding.codec)
    if video.mastering.static and encoder_option(encoding.codec, video.mastering) is None:
        notes.append(f"high dynamic range: {encoding.codec} cannot write the metadata of the mastering display")
    notes += [f"{name}: left out" for name in video.unkept]
    return notes

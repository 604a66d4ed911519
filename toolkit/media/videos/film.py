"""A video on its way: its job, the parts that are there, and the file they become."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import msgspec

from toolkit.errors import InputError, ToolkitError
from toolkit.media.failure import Failure
from toolkit.media.files import Item
from toolkit.media.models import Models
from toolkit.media.options import UpscaleOptions
from toolkit.media.report import FileReport
from toolkit.media.videos.assembly import assemble, rehearse, wants_global_header
from toolkit.media.videos.colour import RGB
from toolkit.media.videos.counting import frame_count
from toolkit.media.videos.decoding import Decoding
from toolkit.media.videos.encoding import Encoding, Part, SegmentEncoder, choose_encoding
from toolkit.media.videos.mastering import encoder_option
from toolkit.media.videos.parts import Parts
from toolkit.media.videos.pixel_formats import lost
from toolkit.media.videos.video import VideoJob
from toolkit.media.videos.video_file import Segment, VideoFile, read_video
from toolkit.system.atomic import sha256_of_file
from toolkit.system.hardware import usable_cpus
from toolkit.system.lock import Lock

_MOST_ENCODER_THREADS = 16


@dataclass
class Film:
    """A video of a run, whose parts no other run touches until it is closed: a context manager."""

    item: Item
    job: VideoJob
    parts: Parts
    notes: list[str]
    cut: bool
    lock: Lock
    finished: set[int] = field(default_factory=set)
    overwrite: bool = False
    begun: float = field(default_factory=time.perf_counter)

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

    @property
    def todo(self) -> tuple[Segment, ...]:
        return tuple(segment for segment in self.job.video.segments if segment.number not in self.finished)

    @property
    def frames_todo(self) -> int:
        return sum(self.job.video.frames_in(segment) for segment in self.todo)

    @contextmanager
    def kept_parts(self) -> Iterator[None]:
        """When work fails, what is done stays for `--resume`; nothing stays where nothing is done.

        Raises:
            ToolkitError: in the place of whatever was raised; its remedy says what is kept.
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
        """Work failed: say in the error's remedy what is kept."""
        if not self.finished:
            self.parts.remove()
            return
        done = f"{len(self.finished)} of {len(self.job.video.segments)} parts are done, and --resume goes on."
        if done not in error.remedy:
            error.remedy = f"{error.remedy} {done}".strip()

    def take(self, part: Part) -> None:
        """A segment is done."""
        self.parts.write(part)
        self.finished.add(part.number)

    def finish(self, rest: Part | None) -> FileReport:
        """Put the file together: all of it, or what is there without a gap, beside the real name.

        Args:
            rest: of a segment that was stopped in.

        Raises:
            InputError: it cannot be written.
            OutputExists: the output appeared while the work was done; the parts stay.
            CheckFailed: not as many frames came out as went in; what came out is kept under the name of a video that
                was stopped.
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
            self.parts.remove()
        else:
            self.parts.claim(output)
        if counted is not None:
            counted.check(self.item.source, output)
            notes += counted.notes
        self.notes += notes
        return self._report(str(output), totals, "done" if whole else "stopped")

    def _stopped_output(self) -> tuple[Path, bool]:
        """A name for what was done when somebody stopped, and whether a file of that name may be replaced: one that an
        earlier run of this job wrote, or any if outputs may be overwritten. Others stay, and the name gets a number."""
        number = 1
        while True:
            path = stopped_name(self.item.output, number)
            ours = self.overwrite or self.parts.claims(path)
            if ours or not os.path.lexists(path):
                return path, ours
            number += 1

    def _end(self, parts: list[Part]) -> Fraction:
        """On the input's clock."""
        video = self.job.video
        last = max(packet.pts for part in parts for packet in part.packets)
        return video.timing.until(last) * video.time_base

    def _report(self, output: str, parts: list[Part], outcome: str) -> FileReport:
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
            outcome="done" if outcome == "done" else "stopped",
            frames=sum(part.frames for part in parts),
            seconds=time.perf_counter() - self.begun,
            reused=reused / rows if rows else 0.0,
            corrupt=corrupt,
            notes=tuple(notes),
        )


def stopped_name(output: Path, number: int = 1) -> Path:
    """Where a video goes that was interrupted: playable, and never taken for the whole one."""
    more = "" if number == 1 else f"-{number}"
    return output.with_name(f"{output.stem}.stopped{more}{output.suffix}")


def begin_film(item: Item, options: UpscaleOptions, models: Models, *, afresh: bool = False) -> Film:
    """Look into a video, settle how it will be encoded, and see that the output can be written.

    Parts of an interrupted run are continued or deleted as the options say; with `afresh` they are deleted.

    Raises:
        InputError: any of that fails, another run works on the same output, or parts of another job are in the way of
            resuming.
    """
    video = read_video(item.source, options.duration)
    if video.interlaced and not options.deinterlace:
        raise InputError(
            f"{item.source} is interlaced: its lines are from two moments, and as they are they would become combs",
            "Give --deinterlace.",
        )
    try:
        scale, result = options.target.result(video.upright)
    except InputError as error:
        raise InputError(f"{item.source}: {error.args[0]}", error.remedy) from error
    model = models(scale)
    if video.depth > 8 and not model.deep:
        raise InputError(
            f"{item.source} has {video.depth} bits a sample, and {model.manifest.name} takes 8",
            "Use an artifact with float input and output (`toolkit export` without --io uint8).",
        )
    clock = video.time_base, video.rate, video.upright_aspect
    threads = min(usable_cpus(), _MOST_ENCODER_THREADS)
    encoding = choose_encoding(
        options.video, item.output.suffix.lower(), result, video.pix_fmt, video.colour, clock, threads, video.mastering
    )
    decoding = Decoding(options.on_error, options.deinterlace)
    header = wants_global_header(item.output)
    SegmentEncoder(encoding, global_header=header)
    rehearse(video, encoding, item.output)
    job = VideoJob(video, model, result, encoding, header, decoding, options.reuse == "exact")
    parts = Parts.beside(item.output)
    notes = _notes(video, encoding, item)
    lock = parts.lock()
    try:
        finished = parts.begin(_identity(job), resume=options.resume, overwrite=options.overwrite or afresh)
    except BaseException:
        lock.release()
        raise
    return Film(item, job, parts, notes, options.duration is not None, lock, finished, options.overwrite)


def _identity(job: VideoJob) -> dict[str, object]:
    """All that parts depend on. What is done about corrupt or interlaced frames may be changed when one was met: parts
    that were finished without --deinterlace have none, and deinterlacing leaves other frames as they are."""
    video, model = job.video, job.model
    return {
        "source": str(video.path.absolute()),
        "bytes": video.path.stat().st_size,
        "sha256": sha256_of_file(video.path),
        "segments": [(segment.start, segment.stop) for segment in video.segments],
        "network": model.manifest.onnx_sha256,
        "label": model.label,
        "encoding": msgspec.to_builtins(job.encoding),
        "result": job.result.sides,
    }


def _notes(video: VideoFile, encoding: Encoding, item: Item) -> list[str]:
    """What the output has otherwise than the input."""
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

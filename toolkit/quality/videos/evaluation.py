"""`toolkit evaluate --video`: quality of upscaled video after a codec, beside bicubic and Lanczos interpolation."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image

from toolkit.errors import InputError
from toolkit.media.split_view import enlarged
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.chroma import Chroma, default_chroma
from toolkit.media.videos.clip_encoder import require_encoders
from toolkit.quality.report import NotRun
from toolkit.quality.subjects import not_run, report_name
from toolkit.quality.videos.coding import CleanLow, Coding, FileLow, Low, encode_low, partner
from toolkit.quality.videos.meter import Method, Worst, measure_clip
from toolkit.quality.videos.page import SliderPage
from toolkit.quality.videos.references import Clip, VideoClip, find_clips
from toolkit.quality.videos.report import ClipScore, InputReport, ScaleReport, VideoQualityReport, VideoSubjectReport
from toolkit.quality.videos.vmaf import find_vmaf, model_of
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import check_outputs, check_writable
from toolkit.system.progress import Counter, ProgressCallback, no_progress
from toolkit.workloads import Shape

USUAL = (Coding("libx264", 23), Coding("libx264", 28), Coding("libx264", 33))


@dataclass(frozen=True)
class VideoEvaluateOptions:
    """Options of a measurement on video.

    Attributes:
        codings: how reduced clips are encoded; None among them: not at all.
        low: low-resolution files of the references, in their order, instead.
        frames: frames per clip; None: 8 of a photograph, all of a video.
        size: low-resolution size of clips of photographs; None: 640x360, or the only one that a network takes.
        seed: of the directions in which photographs move.
        chroma: where the chroma of results comes from; None: as in `upscale`.
        page: path of an HTML page with the worst frames; None: no page.
        overwrite: replace an existing page.

    Raises:
        InputError: a number is too small.

    Example:
        >>> toolkit.VideoEvaluateOptions(frames=4).codings[0].label
        'libx264 crf 23'
    """

    codings: tuple[Coding | None, ...] = USUAL
    low: tuple[Path, ...] = ()
    frames: int | None = None
    size: Shape | None = None
    seed: int = 0
    chroma: Chroma | None = None
    page: Path | None = field(default=None)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise InputError(f"--frames {self.frames} must be at least 1")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed} must not be negative")
        if not self.codings and not self.low:
            raise InputError("there is no codec", "Name one, or none for clean frames.")


def evaluate_video(
    subjects: Sequence[Subject],
    references: Sequence[Path | str],
    options: VideoEvaluateOptions = VideoEvaluateOptions(),
    progress: ProgressCallback = no_progress,
) -> VideoQualityReport:
    """Measure upscaled video against the originals: PSNR and SSIM of Y, U and V, flicker, and VMAF where it is there.

    Low-resolution clips are made from the references by MATLAB's bicubic filter and a codec, or are files. What a
    decoder returns is converted to RGB, upscaled, and converted back to the reference's format, as `upscale` does.
    Encoded clips are kept in a temporary directory; of decoded frames only a few are in memory.

    Args:
        subjects: what to measure.
        references: video files, and directories of photographs, which become clips with a moving camera.
        options: see `VideoEvaluateOptions`.
        progress: called for every frame.

    Raises:
        InputError: there are no subjects, a file cannot be used, or the page cannot be written.
        Unavailable: PyAV is not installed, or its FFmpeg lacks an encoder. Subjects that did not run are listed in the
            report.

    Example:
        >>> subject = toolkit.Subject.parse("exported/rt4ksr_x2_fp32.onnx@ort-cpu")
        >>> options = toolkit.VideoEvaluateOptions(frames=2, size=toolkit.Shape(48, 64))
        >>> (scale,) = toolkit.evaluate_video([subject], ["photos"], options).scales
        >>> [item.input for item in scale.inputs]
        ['libx264 crf 23', 'libx264 crf 28', 'libx264 crf 33']
    """
    if not subjects:
        raise InputError("there is nothing to evaluate", "Give an artifact or an engine.")
    if options.page is not None:
        check_outputs(options.page, overwrite=options.overwrite)
        check_writable(options.page)
    require_encoders(item.codec for item in options.codings if item is not None)
    by_scale: dict[int, list[Subject]] = {}
    for subject in subjects:
        by_scale.setdefault(subject.scale, []).append(subject)
    paths = [Path(item) for item in references]
    plans = [_Plan.of(group, paths, options) for group in by_scale.values()]
    vmaf = find_vmaf()
    page = None if options.page is None else SliderPage()
    counter = Counter(progress, sum(plan.units for plan in plans))
    scales = tuple(_Run(plan, counter, vmaf.version if vmaf.ok else "", page).report() for plan in plans)
    shapes = [clip.shape for plan in plans for clip in plan.clips]
    models = tuple(dict.fromkeys(model_of(shape) for shape in shapes)) if vmaf.ok else ()
    missing = "" if vmaf.ok else f"{vmaf.reason}. {vmaf.remedy}"
    report = VideoQualityReport(scales, options.seed, models, missing)
    if page is not None and options.page is not None:
        page.write(options.page, report, overwrite=options.overwrite)
    return report


@dataclass(frozen=True)
class _Plan:
    """The subjects of one scale, and their clips; `partners` are the files of these, unless they are made."""

    subjects: list[Subject]
    clips: tuple[Clip, ...]
    codings: tuple[Coding | None, ...]
    partners: tuple[FileLow, ...]
    chroma: Chroma | None = None

    @classmethod
    def of(cls, group: list[Subject], paths: list[Path], options: VideoEvaluateOptions) -> _Plan:
        scale = group[0].scale
        if scale == 1 and None in options.codings and not options.low:
            raise InputError("at x1 the clean input is the original itself", "Choose a codec.")
        fixed = {subject.fixed: subject.name for subject in group if subject.fixed is not None}
        if len(fixed) > 1:
            sizes = ", ".join(f"{name} takes {size}" for size, name in fixed.items())
            raise InputError(f"the subjects have different fixed sizes: {sizes}", "Evaluate them separately.")
        only = next(iter(fixed), None)
        clips = find_clips(paths, scale, options.size or only, options.frames, options.seed)
        wrong = [clip for clip in clips if only is not None and clip.shape != only.upscaled(scale)]
        if only is not None and wrong:
            raise InputError(
                f"{fixed[only]} takes {only} only, and {wrong[0].name} has {wrong[0].shape}", "Build it for that size."
            )
        cut = options.frames is not None
        partners = _partners(clips, options.low, scale, cut=cut)
        return cls(group, tuple(clips), options.codings, partners, options.chroma)

    @property
    def scale(self) -> int:
        return self.subjects[0].scale

    @property
    def units(self) -> int:
        """Frames that are encoded, interpolated or upscaled."""
        encoded = 0 if self.partners else sum(coding is not None for coding in self.codings)
        inputs = 1 if self.partners else len(self.codings)
        return sum(clip.count for clip in self.clips) * (encoded + inputs * (1 + len(self.subjects)))


def _partners(clips: Sequence[Clip], paths: Sequence[Path], scale: int, *, cut: bool) -> tuple[FileLow, ...]:
    """The low-resolution files of references."""
    if not paths:
        return ()
    videos = [clip for clip in clips if isinstance(clip, VideoClip)]
    if len(videos) != len(clips) or len(videos) != len(paths):
        raise InputError(
            f"there are {len(paths)} low-resolution files for {len(clips)} references",
            "Give as many videos with --low as with --video, in the same order.",
        )
    return tuple(partner(clip, path, scale, cut=cut) for clip, path in zip(videos, paths, strict=True))


class _Run:
    """Measures the subjects of one scale."""

    def __init__(self, plan: _Plan, counter: Counter, vmaf: str, page: SliderPage | None) -> None:
        self._plan, self._counter, self._vmaf, self._page = plan, counter, vmaf, page

    def report(self) -> ScaleReport:
        plan = self._plan
        with tempfile.TemporaryDirectory() as directory:
            lows = plan.partners or self._made(Path(directory))
            inputs = tuple(self._baselines(low) for low in lows)
            reports, left = list[VideoSubjectReport](), list[NotRun]()
            for subject in plan.subjects:
                try:
                    reports.append(self._subject(subject, lows))
                except Exception as error:  # noqa: BLE001  (runtimes may raise anything; the other subjects continue)
                    left.append(not_run(subject, error))
        return ScaleReport(plan.scale, inputs, tuple(reports), tuple(left))

    def _made(self, directory: Path) -> tuple[Low, ...]:
        """Clips encoded as the plan says, all of the first coding before those of the second."""
        made: list[Low] = []
        for coding in self._plan.codings:
            for clip in self._plan.clips:
                if coding is None:
                    made.append(CleanLow(clip, "clean", None, self._plan.scale))
                else:
                    path = directory / f"{len(made)}.mkv"
                    begun = partial(self._counter.start, f"{coding.label}: {clip.name}")
                    made.append(encode_low(clip, coding, self._plan.scale, path, begun))
        return tuple(made)

    def _baselines(self, low: Low) -> InputReport:
        clip = low.clip
        kernels = Image.Resampling.BICUBIC, Image.Resampling.LANCZOS
        scores = self._measured(
            "bicubic and Lanczos", low, [_interpolation(kernel, self._plan.scale) for kernel in kernels]
        )
        codec, quality = ("", None) if low.coding is None else (low.coding.codec, low.coding.quality)
        return InputReport(
            clip=clip.name,
            input=low.label,
            file=low.video.path.name if isinstance(low, FileLow) and low.coding is None else "",
            codec=codec,
            quality=quality,
            kbit_s=low.rate,
            width=clip.shape.width,
            height=clip.shape.height,
            pix_fmt=clip.pix_fmt,
            frames=clip.count,
            bicubic=scores[0],
            lanczos=scores[1],
        )

    def _subject(self, subject: Subject, lows: Sequence[Low]) -> VideoSubjectReport:
        upscaler, scores = FrameUpscaler(subject), list[ClipScore]()
        chroma = self._plan.chroma or default_chroma(subject.purpose)
        for low in lows:
            offer = None if self._page is None else self._page.offers(subject, low)
            scores += self._measured(
                subject.label, low, [Method(upscaler, chroma)], deep=subject.contract.deep, offer=offer
            )
        executed, name = upscaler.precisions(), report_name(subject)
        precision = subject.precision
        return VideoSubjectReport(name, subject.runtime, precision, executed, tuple(scores), subject.sha256, chroma)

    def _measured(
        self,
        what: str,
        low: Low,
        methods: Sequence[Method],
        *,
        deep: bool = True,
        offer: Callable[[Worst], None] | None = None,
    ) -> Sequence[ClipScore]:
        begun = partial(self._counter.start, f"{what}: {low.clip.name}, {low.label}")
        taken = offer or (lambda _worst: None)
        return measure_clip(low, methods, deep=deep, vmaf=self._vmaf, frame_begun=begun, offer=taken)


def _interpolation(kernel: Image.Resampling, scale: int) -> Method:
    return Method(lambda planes, white: enlarged(planes, Shape(*planes.shape[1:]).upscaled(scale), white, kernel))

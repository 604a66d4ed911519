"""Options of `upscale` and `preview`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import InputError
from toolkit.kinds import DEFAULT_DIRECTORY
from toolkit.media.pictures.output import FORMATS, PictureFormat
from toolkit.media.strips import MEMORY
from toolkit.media.target import Target
from toolkit.media.videos.chroma import Chroma
from toolkit.media.videos.decoding import OnError
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.settings import Reuse, VideoSettings
from toolkit.media.weights import Weights
from toolkit.precisions import FULL_PRECISION, Precision

_LEAST_MEMORY = 1 << 20
_MOST_JOBS = 512


@dataclass(frozen=True)
class UpscaleOptions:
    """How files are upscaled.

    Attributes:
        target: scale or size of the results.
        models: artifacts or engine bundles (PATH or PATH@RUNTIME), one per scale; empty: search `directory`, then
            use the bundled weights.
        weights: which of the bundled weights: `clean` or `video`; `auto`: video for videos and for JPEG files of a
            quality below 90, clean for other pictures.
        directory: directory of artifacts.
        precision: of the artifact to search for there.
        runtime: inference runtime for artifacts; None: `native` if it works here and supports them, else `ort-cpu`.
        threads: of the runtime; 0: all usable CPUs.
        memory: limit in bytes for the network's tensors; larger frames are processed in strips.
        picture: how pictures are written.
        video: how videos are encoded.
        on_error: what to do with a corrupt video frame: stop with an error, skip it, or repeat the frame before it.
        deinterlace: make interlaced video progressive; without it, interlaced video is refused.
        reuse: `exact`: do not compute strips of a video again that are equal to those of the frame before.
        chroma: where the chroma of videos comes from: `network`, or `lanczos` for the planes of the input, interpolated
            past the network; None: the better one for the weights. Pictures have the network's colours.
        duration: seconds of each video, from its start; None: all.
        resume: continue with the parts that an interrupted run left, and skip files that the same command has finished.
        overwrite: replace existing outputs, and parts of an interrupted run.
        jobs: number of processes on this machine.
        ray: address of a Ray cluster (`auto`, `local`, `ray://...`); None: do not use Ray.

    Example:
        >>> options = toolkit.UpscaleOptions(toolkit.Target(scale=3), runtime="openvino", overwrite=True)
        >>> options.precision
        'fp32'
    """

    target: Target = field(default_factory=Target)
    models: tuple[Path | str, ...] = ()
    weights: Weights = "auto"
    directory: Path = DEFAULT_DIRECTORY
    precision: Precision = FULL_PRECISION
    runtime: str | None = None
    threads: int = 0
    memory: int = MEMORY
    picture: PictureFormat = field(default_factory=PictureFormat)
    video: VideoFormat = field(default_factory=VideoFormat)
    on_error: OnError = "stop"
    deinterlace: bool = False
    reuse: Reuse = "exact"
    chroma: Chroma | None = None
    duration: float | None = None
    resume: bool = False
    overwrite: bool = False
    jobs: int = 1
    ray: str | None = None

    def __post_init__(self) -> None:
        """Raises InputError for values out of range."""
        if self.models and self.weights != "auto":
            raise InputError("--model and --weights cannot be combined", "--model names the network itself.")
        if not 1 <= self.picture.quality <= 100:
            raise InputError(f"quality {self.picture.quality} must be 1 to 100")
        if self.memory < _LEAST_MEMORY:
            raise InputError("the network needs at least 1 MiB of memory")
        if not 1 <= self.jobs <= _MOST_JOBS:
            raise InputError(f"--jobs must be 1 to {_MOST_JOBS}, not {self.jobs}")
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise InputError(f"duration {self.duration} must be a positive number of seconds")
        if self.jobs > 1 and self.ray is not None:
            raise InputError("--jobs and --ray cannot be combined", "A cluster has its own number of workers.")
        if self.picture.suffix not in (None, *FORMATS):
            raise InputError(f"there is no picture format {self.picture.suffix}", f"Choose from {', '.join(FORMATS)}.")

    @property
    def video_settings(self) -> VideoSettings:
        """The options that concern only videos."""
        return VideoSettings(
            self.video, self.on_error, self.deinterlace, self.reuse, self.duration, self.memory, self.chroma
        )

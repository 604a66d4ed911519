"""What `upscale` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from toolkit.artifact import DEFAULT_DIRECTORY, Precision
from toolkit.errors import InputError
from toolkit.media.model import MEMORY
from toolkit.media.pictures.output import FORMATS, PictureFormat
from toolkit.media.target import Target
from toolkit.media.videos.decoding import OnError
from toolkit.media.videos.encoding import VideoFormat

Reuse = Literal["exact", "off"]
_LEAST_MEMORY = 1 << 20
_MOST_JOBS = 512


@dataclass(frozen=True)
class UpscaleOptions:
    """How files are upscaled.

    Attributes:
        target: by how much, or to which size.
        models: artifacts or engine bundles to choose from by scale; empty: `directory`, then the toolkit's own weights.
        directory: where artifacts are.
        precision: of the artifact that is looked for there.
        runtime: that runs artifacts; None: `native` where it works and takes them, else `ort-cpu`.
        threads: of the runtime; 0: all usable.
        memory: bytes that the network's tensors may take at once; larger frames go through in strips.
        picture: how pictures are written.
        video: how videos are encoded.
        on_error: what a corrupt video frame leads to.
        deinterlace: interlaced video is made progressive, instead of refused.
        reuse: `exact`: strips of a video that have not changed since the frame before are not computed again.
        duration: seconds of each video; None: all.
        resume: go on with the parts that an interrupted run has left, and skip files that the same command has done.
        overwrite: replace outputs that exist, and parts of an interrupted run.
        jobs: processes at a time on this machine.
        ray: address of a Ray cluster (`auto`, `local`, `ray://...`); None: this machine alone.
    """

    target: Target = field(default_factory=Target)
    models: tuple[Path, ...] = ()
    directory: Path = DEFAULT_DIRECTORY
    precision: Precision = "fp32"
    runtime: str | None = None
    threads: int = 0
    memory: int = MEMORY
    picture: PictureFormat = field(default_factory=PictureFormat)
    video: VideoFormat = field(default_factory=VideoFormat)
    on_error: OnError = "stop"
    deinterlace: bool = False
    reuse: Reuse = "exact"
    duration: float | None = None
    resume: bool = False
    overwrite: bool = False
    jobs: int = 1
    ray: str | None = None

    def __post_init__(self) -> None:
        """Raises InputError for values out of range."""
        if not 1 <= self.picture.quality <= 100:
            raise InputError(f"quality {self.picture.quality} must be 1 to 100")
        if self.memory < _LEAST_MEMORY:
            raise InputError("the network needs at least 1 MiB of memory")
        if not 1 <= self.jobs <= _MOST_JOBS:
            raise InputError(f"jobs {self.jobs} must be 1 to {_MOST_JOBS}")
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise InputError(f"duration {self.duration} must be a positive number of seconds")
        if self.jobs > 1 and self.ray is not None:
            raise InputError("--jobs and --ray exclude each other", "A cluster has its own number of workers.")
        if self.picture.suffix not in (None, *FORMATS):
            raise InputError(f"there is no picture format {self.picture.suffix}", f"Choose from {', '.join(FORMATS)}.")

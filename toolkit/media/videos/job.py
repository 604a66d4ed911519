"""What is done to the frames of a video."""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.media.videos.chroma import Chroma, ChromaEnlarger, ChromaGrid, default_chroma, grid_of
from toolkit.media.videos.decoding import Decoding
from toolkit.media.videos.encoding import Encoding
from toolkit.media.videos.pixel_formats import has_alpha, is_planar, is_yuv420
from toolkit.media.videos.video_file import VideoFile
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.references import find_any
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape


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
        planar: whether the runtime takes frames as they are decoded; only without an obstacle.
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
    planar: bool = False

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

    def with_planar(self) -> VideoJob:
        """The job with frames in luma and chroma up to the network and from there, if that is possible.

        The runtime must take them, and frames need 4:2:0 on both sides, even sizes, and nothing else to be done.
        """
        video, encoding, subject = self.video, self.encoding, self.subject
        contract = subject.contract
        possible = (
            isinstance(subject.source, Artifact | Engine)
            and find_any(subject.runtime).takes_yuv420
            and contract.input.order != "Y"
            and all(is_yuv420(pix_fmt) for pix_fmt in (video.pix_fmt, encoding.pix_fmt))
            and all(side % 2 == 0 and contract.sizes.padded(side) == side for side in video.shape.sides)
            and contract.fixed in (None, video.shape)
            and self.result == video.shape.upscaled(contract.scale) == Shape(encoding.height, encoding.width)
            and not video.orientation.turns
        )
        return replace(self, planar=possible)

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

"""Data classes of a report on the quality of upscaled video, with its JSON and CSV forms."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec
import numpy as np

from toolkit.artifact import encode
from toolkit.media.videos.chroma import Chroma
from toolkit.precisions import Precision
from toolkit.quality.report import NotRun, computed_otherwise
from toolkit.quoting import csv_cell

SCHEMA = 1


class PlaneMetrics(msgspec.Struct, frozen=True):
    """Metrics of a clip, or their mean over several.

    PSNR in dB and SSIM are means over frames, of luma Y and of the planes of chroma U (Cb) and V (Cr) in the format of
    the reference. `flicker` is the mean absolute difference between the luma errors of consecutive frames, in grey
    levels of 0..255; 0 for a clip of one frame. `vmaf` is None where it was not computed.
    """

    psnr_y: float
    psnr_u: float
    psnr_v: float
    ssim_y: float
    ssim_u: float
    ssim_v: float
    flicker: float
    vmaf: float | None = None


class ClipScore(msgspec.Struct, frozen=True):
    """Metrics of a method on a clip, and the number of its worst frame, from 0, with the lowest PSNR-Y."""

    metrics: PlaneMetrics
    worst_frame: int
    worst_psnr_y: float


class InputReport(msgspec.Struct, frozen=True):
    """A low-resolution clip with its baselines, interpolated by Pillow.

    `input` is how it was encoded (`libx264 crf 23`), `clean`, or `file`; then `file` is its name. `kbit_s` is the
    bitrate of its file. Width and height are those of the reference, as it was compared.
    """

    clip: str
    input: str
    file: str
    codec: str
    quality: int | None
    kbit_s: float | None
    width: int
    height: int
    pix_fmt: str
    frames: int
    bicubic: ClipScore
    lanczos: ClipScore


class VideoSubjectReport(msgspec.Struct, frozen=True):
    """A network in one precision on one runtime; `scores` are in the order of the inputs.

    `chroma` is where the chroma of its results came from, as in `upscale`.
    """

    name: str
    runtime: str
    precision: Precision
    executed: dict[str, int]
    scores: tuple[ClipScore, ...]
    sha256: str = ""
    chroma: Chroma = "network"

    @property
    def label(self) -> str:
        """Its name, and where its chroma comes from unless it is the network."""
        return self.name if self.chroma == "network" else f"{self.name}, Lanczos chroma"

    @property
    def ran(self) -> str:
        """Executed precisions if the artifact's own is not among them; otherwise empty."""
        return computed_otherwise(self.precision, self.executed)


class ScaleReport(msgspec.Struct, frozen=True):
    """All networks of one scale on the same inputs."""

    scale: int
    inputs: tuple[InputReport, ...]
    subjects: tuple[VideoSubjectReport, ...]
    not_run: tuple[NotRun, ...] = ()

    def groups(self) -> dict[str, tuple[int, ...]]:
        """Positions of the inputs of each kind, such as `libx264 crf 23`."""
        found: dict[str, list[int]] = {}
        for position, item in enumerate(self.inputs):
            found.setdefault(item.input, []).append(position)
        return {name: tuple(positions) for name, positions in found.items()}

    def methods(self) -> list[tuple[str, str, tuple[ClipScore, ...]]]:
        """Name, runtime and scores of the baselines and of each network."""
        baselines = [
            ("bicubic", "", tuple(item.bicubic for item in self.inputs)),
            ("Lanczos", "", tuple(item.lanczos for item in self.inputs)),
        ]
        return [*baselines, *((item.label, item.runtime, item.scores) for item in self.subjects)]


class VideoQualityReport(msgspec.Struct, frozen=True):
    """A complete measurement.

    `vmaf_models` are those that VMAF was computed with; `vmaf_missing` says why it was not computed.
    """

    scales: tuple[ScaleReport, ...]
    seed: int
    vmaf_models: tuple[str, ...]
    vmaf_missing: str
    schema: int = SCHEMA

    @property
    def passed(self) -> bool:
        """There are no budgets of video."""
        return True

    @property
    def complete(self) -> bool:
        """Whether every subject ran."""
        return not any(scale.not_run for scale in self.scales)

    @property
    def failed(self) -> bool:
        """Whether an error occurred in a subject whose runtime is available."""
        return any(left.failed for scale in self.scales for left in scale.not_run)

    def to_json(self) -> str:
        return encode(self).decode()

    def to_csv(self) -> str:
        """CSV with one line per method and low-resolution clip, the baselines first."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        fields = ("scale", "method", "runtime", "clip", "input", "file", "kbit_s", "width", "height", "frames")
        writer.writerow([*fields, *PlaneMetrics.__struct_fields__, "worst_frame", "worst_psnr_y"])
        for scale in self.scales:
            for name, runtime, scores in scale.methods():
                for item, score in zip(scale.inputs, scores, strict=True):
                    texts = (csv_cell(text) for text in (name, runtime, item.clip, item.input, item.file))
                    size = item.kbit_s, item.width, item.height, item.frames
                    numbers = msgspec.structs.astuple(score.metrics)
                    writer.writerow([scale.scale, *texts, *size, *numbers, score.worst_frame, score.worst_psnr_y])
        return stream.getvalue()


def mean_metrics(scores: Sequence[ClipScore]) -> PlaneMetrics:
    """Mean of each field over clips, which count alike; VMAF only where every clip has it."""
    metrics = [score.metrics for score in scores]
    vmafs = [item.vmaf for item in metrics if item.vmaf is not None]
    names = [name for name in PlaneMetrics.__struct_fields__ if name != "vmaf"]
    means = {name: float(np.mean([getattr(item, name) for item in metrics])) for name in names}
    return PlaneMetrics(**means, vmaf=float(np.mean(vmafs)) if len(vmafs) == len(metrics) else None)

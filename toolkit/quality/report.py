"""Data classes of a quality report, with its JSON and CSV forms."""

from __future__ import annotations

import csv
import io

import msgspec

from toolkit.artifact import encode
from toolkit.checks import Verdict
from toolkit.precisions import Precision
from toolkit.quality.measurement import Metrics, mean_of
from toolkit.quoting import csv_cell

SCHEMA = 2


def computed_otherwise(precision: Precision, executed: dict[str, int]) -> str:
    """Executed precisions if an artifact's own is not among them; otherwise empty."""
    computed = {name: count for name, count in executed.items() if name != "uint8"}
    if not computed or precision in computed:
        return ""
    return "+".join(sorted(computed, key=lambda name: -computed[name]))


class ImageReport(msgspec.Struct, frozen=True):
    """One image, with its bicubic baseline.

    `patch` is the (row, column) of the top-left pixel of its worst 64x64 patch. `patch_difference` is the root mean
    square difference of luma from fp32 in that patch, in grey levels; for fp32 itself, from the original.
    """

    group: str
    name: str
    width: int
    height: int
    metrics: Metrics
    bicubic: Metrics
    patch: tuple[int, int]
    patch_difference: float

    @property
    def label(self) -> str:
        """Image set and file name."""
        return f"{self.group}/{self.name}"


class SubjectReport(msgspec.Struct, frozen=True):
    """A network in one precision on one runtime.

    `spent` is the loss against fp32 as a share of the network's gain over bicubic, in mean PSNR-Y; it is None for the
    fp32 reference itself, and if the network gains nothing over bicubic. `verdict` is None unless a budget was
    requested; `sha256` is that of the artifact.
    """

    name: str
    runtime: str
    precision: Precision
    executed: dict[str, int]
    mean: Metrics
    images: tuple[ImageReport, ...]
    reference: bool = False
    spent: float | None = None
    worst_image: str = ""
    worst_image_spent: float | None = None
    verdict: Verdict | None = None
    sha256: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict is None or self.verdict.passed

    @property
    def worst_patch(self) -> ImageReport:
        """The image with the worst patch."""
        return max(self.images, key=lambda image: image.patch_difference)

    @property
    def ran(self) -> str:
        """Executed precisions if the artifact's own is not among them; otherwise empty."""
        return computed_otherwise(self.precision, self.executed)

    def sets(self) -> dict[str, tuple[Metrics, Metrics]]:
        """Mean metrics per image set: of this network, and of bicubic."""
        groups: dict[str, list[ImageReport]] = {}
        for image in self.images:
            groups.setdefault(image.group, []).append(image)
        return {
            name: (mean_of([image.metrics for image in images]), mean_of([image.bicubic for image in images]))
            for name, images in groups.items()
        }


class NotRun(msgspec.Struct, frozen=True):
    """A network that did not run, and the reason.

    `failed`: the runtime is available, but an error occurred; `traceback` is its Python traceback.
    """

    name: str
    runtime: str
    precision: Precision
    reason: str
    failed: bool = False
    traceback: str = ""


class NetworkReport(msgspec.Struct, frozen=True):
    """One network: the bicubic baseline, the fp32 reference (the first of `subjects`), and everything compared with it.

    `gain` over bicubic is in dB of mean PSNR-Y. `cut_to` is the low-resolution size that all images were cropped to,
    if a subject supports only one size; otherwise empty.
    """

    name: str
    scale: int
    border: int
    bicubic: Metrics
    gain: float
    subjects: tuple[SubjectReport, ...]
    not_run: tuple[NotRun, ...] = ()
    cut_to: str = ""


class QualityReport(msgspec.Struct, frozen=True):
    """A complete evaluation.

    `degradation` describes how missing low-resolution images were computed. `not_run` are the subjects of networks that
    are not in `networks`, because their fp32 reference could not be evaluated.
    """

    degradation: str
    networks: tuple[NetworkReport, ...]
    not_run: tuple[NotRun, ...] = ()
    schema: int = SCHEMA

    @property
    def passed(self) -> bool:
        """Whether all requested budgets are kept."""
        return all(subject.passed for network in self.networks for subject in network.subjects)

    @property
    def complete(self) -> bool:
        """Whether every subject ran."""
        return not self.left_out

    @property
    def failed(self) -> bool:
        """Whether an error occurred in a subject whose runtime is available."""
        return any(left.failed for left in self.left_out)

    @property
    def left_out(self) -> tuple[NotRun, ...]:
        """Subjects of all networks that did not run."""
        return (*(left for network in self.networks for left in network.not_run), *self.not_run)

    def to_json(self) -> str:
        return encode(self).decode()

    def to_csv(self) -> str:
        """CSV with one line per image and network, bicubic first."""
        stream = io.StringIO()
        fields = ["network", "runtime", "precision", "group", "image", "width", "height", *Metrics.__struct_fields__]
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*fields, "patch_difference"])
        for network in self.networks:
            for image in network.subjects[0].images:
                writer.writerow([f"bicubic x{network.scale}", "", "", *_row(image, image.bicubic), ""])
            for subject in network.subjects:
                for image in subject.images:
                    numbers = (*_row(image, image.metrics), image.patch_difference)
                    writer.writerow([csv_cell(subject.name), subject.runtime, subject.precision, *numbers])
        return stream.getvalue()


def _row(image: ImageReport, metrics: Metrics) -> tuple[object, ...]:
    return csv_cell(image.group), csv_cell(image.name), image.width, image.height, *msgspec.structs.astuple(metrics)

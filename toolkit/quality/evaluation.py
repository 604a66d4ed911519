"""`toolkit evaluate`: runs every subject (a network on a runtime) on every image, with one subject loaded at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from toolkit.checks import Limits, Verdict
from toolkit.errors import InputError
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.quality.budget import spent_of
from toolkit.quality.data import Degradation, Pixels, bicubic
from toolkit.quality.measurement import PATCH, Metrics, mean_of, measure, worst_patch
from toolkit.quality.page import Pictures, Views
from toolkit.quality.pairs import ImageStore, PairList
from toolkit.quality.report import ImageReport, NetworkReport, NotRun, QualityReport, SubjectReport
from toolkit.quality.subjects import load, not_run, report_name
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import check_outputs, check_writable
from toolkit.system.progress import Counter, ProgressCallback, no_progress
from toolkit.workloads import Shape


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of an evaluation.

    Attributes:
        degradation: how low-resolution images are computed for sets that have none.
        border: pixels that are ignored at each edge; None: the scale, as is usual.
        budgets: limits by precision, for verdicts; None: no verdicts.
        page: path of an HTML page with the worst patches; None: no page.
        overwrite: replace an existing page.

    Example:
        >>> toolkit.EvaluateOptions(border=0).page is None
        True
    """

    degradation: Degradation = field(default_factory=Degradation)
    border: int | None = None
    budgets: Mapping[Precision, Limits] | None = None
    page: Path | None = None
    overwrite: bool = False


def evaluate(
    subjects: Sequence[Subject],
    directories: Sequence[Path | str],
    options: EvaluateOptions = EvaluateOptions(),
    progress: ProgressCallback = no_progress,
) -> QualityReport:
    """Measure image quality against the originals, and the loss compared with fp32.

    The fp32 reference of each network is one of the subjects or, if none is fp32, PyTorch with the source weights.

    Args:
        subjects: what to evaluate; may belong to several networks.
        directories: image sets; see `find_items`.
        options: see `EvaluateOptions`.
        progress: called as images are measured.

    Raises:
        InputError: there are no subjects, an image cannot be used, or the page cannot be written.
        Unavailable: the runtime of the fp32 reference is not available, for all networks. Other subjects that did not
            run are listed in the report.

    Example:
        >>> subject = toolkit.Subject(toolkit.Artifact.read("exported/rt4ksr_x2_fp32.onnx"), "ort-cpu")
        >>> (network,) = toolkit.evaluate([subject], ["photos"]).networks
        >>> network.gain > 0  # dB of PSNR-Y over bicubic
        True
    """
    if not subjects:
        raise InputError("there is nothing to evaluate", "Give an artifact or an engine.")
    if options.page is not None:
        check_outputs(options.page, overwrite=options.overwrite)
        check_writable(options.page)
    networks: dict[str, list[Subject]] = {}
    for subject in subjects:
        networks.setdefault(subject.weights, []).append(subject)
    plans = [_Plan.of(group, [Path(item) for item in directories], options) for group in networks.values()]
    counter = Counter(progress, sum((len(plan.subjects) + 1) * len(plan.pairs.items) for plan in plans))
    pictures = Pictures()
    work = partial(_evaluate_network, options=options, counter=counter, pictures=pictures)
    report = QualityReport(options.degradation.described(), *_evaluate_each(plans, work))
    if options.page is not None:
        pictures.write(options.page, report, overwrite=options.overwrite)
    return report


def _evaluate_each(
    plans: Sequence[_Plan], evaluated: Callable[[_Plan], NetworkReport]
) -> tuple[tuple[NetworkReport, ...], tuple[NotRun, ...]]:
    """Evaluate all networks. If the reference of one fails, its subjects are reported as not run, and the others
    continue.

    Raises:
        Exception: the first error, if no network can be evaluated.
    """
    reports, left, first = [], [], None
    for plan in plans:
        try:
            reports.append(evaluated(plan))
        except Exception as error:
            if len(plans) == 1:
                raise
            first = first or error
            left += [not_run(subject, error, plan.subjects[0]) for subject in plan.subjects]
    if first is not None and not reports:
        raise first
    return tuple(reports), tuple(left)


@dataclass(frozen=True)
class _Plan:
    """The subjects of one network, with the reference first, and its images."""

    subjects: list[Subject]
    pairs: PairList

    @classmethod
    def of(cls, group: list[Subject], directories: list[Path], options: EvaluateOptions) -> _Plan:
        pairs = PairList.found(directories, group[0].scale, options.border, _only_size(group))
        return cls(_reference_first(group), pairs)


def _only_size(group: list[Subject]) -> Shape | None:
    """The only input size that one of the subjects supports, if any: all images are cropped to it, for all subjects."""
    fixed = {size: subject.name for subject in group if (size := subject.fixed) is not None}
    if len(fixed) > 1:
        sizes = ", ".join(f"{name} takes {size}" for size, name in fixed.items())
        raise InputError(f"the subjects have different fixed sizes: {sizes}", "Evaluate them separately.")
    return next(iter(fixed), None)


def _reference_first(group: list[Subject]) -> list[Subject]:
    exact = [subject for subject in group if subject.precision == FULL_PRECISION]
    if exact:
        return [exact[0], *(subject for subject in group if subject is not exact[0])]
    artifacts = [subject.artifact for subject in group if subject.artifact is not None]
    artifact = next((item for item in artifacts if item.weights_path is not None), None)
    if artifact is None:
        raise InputError(
            f"there is no fp32 reference for {group[0].name} ({group[0].precision})",
            "Also give the fp32 artifact that it was converted from.",
        )
    return [Subject(artifact, "torch", group[0].threads, lowered_to=FULL_PRECISION), *group]


def _evaluate_network(plan: _Plan, options: EvaluateOptions, counter: Counter, pictures: Pictures) -> NetworkReport:
    with tempfile.TemporaryDirectory() as directory:
        store, bases = ImageStore(Path(directory)), []
        for index, item in enumerate(plan.pairs.items):
            counter.start(f"bicubic: {item.name}")
            bases.append(plan.pairs.store(index, options.degradation, store))
        reference, *others = plan.subjects
        baseline = mean_of(bases)
        exact = _run(reference, plan, store, counter, pictures, bases, None)
        gain = exact.mean.psnr_y - baseline.psnr_y
        held, left = [], []
        for subject in others:
            try:
                report = _run(subject, plan, store, counter, pictures, bases, exact)
            except Exception as error:  # noqa: BLE001  (runtimes may raise anything, and the other subjects continue)
                left.append(not_run(subject, error))
            else:
                held.append(_with_spending(report, exact, gain, options.budgets))
    pairs = plan.pairs
    cut = "" if pairs.fixed is None else str(pairs.fixed)
    return NetworkReport(
        _network_name(reference), pairs.scale, pairs.border, baseline, gain, (exact, *held), tuple(left), cut
    )


def _network_name(reference: Subject) -> str:
    """What all precisions of the network share."""
    manifest = reference.manifest
    return reference.name if manifest is None else manifest.name.replace(f"_{manifest.precision}", "", 1)


def _run(
    subject: Subject,
    plan: _Plan,
    store: ImageStore,
    counter: Counter,
    pictures: Pictures,
    bases: Sequence[Metrics],
    exact: SubjectReport | None,
) -> SubjectReport:
    """Upscale and measure every image. `exact` is None for the reference itself, whose results are stored."""
    upscale, pairs = load(subject), plan.pairs
    images = []
    for index in pairs.indices:
        counter.start(f"{subject.label}: {pairs.items[index].name}")
        result, high = upscale(store.get("low", index)), store.get("high", index)
        measured = measure(result, high, pairs.border)
        if exact is None:
            store.put(FULL_PRECISION, index, result)
            worst = measured.worst
        else:
            worst = worst_patch(result, store.get(FULL_PRECISION, index), pairs.border)
        item, size = pairs.items[index], (high.shape[1], high.shape[0])
        images.append(
            ImageReport(item.group, item.name, *size, measured.metrics, bases[index], worst.corner, worst.difference)
        )
        pictures.offer(subject, images[-1], lambda: _views(pairs.scale, store, index, result, worst.corner))  # noqa: B023
    mean = mean_of([image.metrics for image in images])
    return SubjectReport(
        report_name(subject),
        subject.runtime,
        subject.precision,
        upscale.precisions(),
        mean,
        tuple(images),
        reference=exact is None,
        sha256=subject.sha256,
    )


def _views(scale: int, store: ImageStore, index: int, result: Pixels, corner: tuple[int, int]) -> Views:
    """A patch of all images. The low-resolution one is slightly larger if the corner is not a multiple of the scale."""
    low = store.get("low", index)
    top, left = corner
    rows, columns = slice(top, top + PATCH), slice(left, left + PATCH)
    small = tuple(slice(start // scale, -(-(start + PATCH) // scale)) for start in corner)
    return Views(
        low=low[small],
        bicubic=bicubic(low, scale)[rows, columns],
        result=result[rows, columns],
        fp32=store.get(FULL_PRECISION, index)[rows, columns],
        original=store.get("high", index)[rows, columns],
    )


def _with_spending(
    report: SubjectReport, exact: SubjectReport, gain: float, budgets: Mapping[Precision, Limits] | None
) -> SubjectReport:
    """The report with the loss against fp32, as shares of the gain, and the verdict."""
    before, after = ([image.metrics.psnr_y for image in one.images] for one in (exact, report))
    patches = [image.patch_difference for image in report.images]
    spent = None if gain <= 0 else spent_of(before, after, gain, patches)
    worst = int(np.argmax(np.subtract(before, after)))
    verdict = None
    if budgets is not None:
        data = ", ".join(dict.fromkeys(image.group for image in report.images))
        verdict = Verdict.of(report.runtime, data, len(report.images), spent, budgets[report.precision])
    return msgspec.structs.replace(
        report,
        spent=None if spent is None else spent.mean,
        worst_image=report.images[worst].label,
        worst_image_spent=None if spent is None else spent.worst_image,
        verdict=verdict,
    )

"""`toolkit compare`: compares the results of two subjects on the same inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.runtimes.subject import Subject
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.verification.functions import Run, as_grey, image_function, limited, same_scale
from toolkit.verification.inputs import TestInput, real_images, synthetic_inputs
from toolkit.workloads import Shape

RUNS = 5
"""Runs of the same frame that must give the same bits."""

THREADS = (1, 2, 3)

NEAR_BORDER = 16
"""Pixels from the edge that count as the border: padding changes results up to there."""


class InputComparison(msgspec.Struct, frozen=True):
    """Two results for one input.

    Attributes:
        input: name of the input.
        size: of the input, WIDTHxHEIGHT.
        image: whether all values of the input are in 0..1.
        largest, mean, p99: absolute error for values 0..1; uint8 results are divided by 255.
        psnr: in dB with peak 1.0; None if there is no difference, NaN if results are not finite.
        ulp: largest difference in units in the last place of float32, over values of magnitude 1/16 and more; None for
            uint8.
        grey_levels: largest difference after rounding to 8 bits.
        differing: share of values that differ after rounding to 8 bits.
        worst: (row, column) of the largest error.
        at_border: whether that is within `NEAR_BORDER` pixels of an edge.
    """

    input: str
    size: str
    image: bool
    largest: float
    mean: float
    p99: float
    psnr: float | None
    ulp: int | None
    grey_levels: int
    differing: float
    worst: tuple[int, int]
    at_border: bool


class Steadiness(msgspec.Struct, frozen=True):
    """Whether a subject always gives the same bits: in repeated runs, and with these numbers of threads."""

    subject: str
    deterministic: bool
    same_for_threads: bool
    threads: tuple[int, ...]
    runs: int = RUNS


class ComparisonReport(msgspec.Struct, frozen=True):
    """Two subjects on the same inputs. `passed`: the largest error on images is within `bound`, if one was given."""

    first: str
    second: str
    inputs: tuple[InputComparison, ...]
    steadiness: tuple[Steadiness, ...]
    bound: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.bound is None or all(item.largest <= self.bound for item in self.inputs if item.image)


def compare(
    first: Subject,
    second: Subject,
    images: Sequence[TestInput] | None = None,
    *,
    bound: float | None = None,
    steadiness: bool = True,
    progress: ProgressCallback = no_progress,
) -> ComparisonReport:
    """Run both subjects on real images, noise and extreme values, and compare the results.

    If one of them returns uint8, both are compared as images, and inputs with values outside 0..1 are skipped. If only
    one limits its output to 0..1, so is that of the other.

    Args:
        first: the reference.
        second: compared with it.
        images: real images; default: `real_images()`.
        bound: largest allowed error on images, for values 0..1.
        steadiness: also check for identical bits in repeated runs and with several numbers of threads.
        progress: called before each comparison.

    Raises:
        InputError: their scales or fixed sizes differ.
        Unavailable: a runtime is not available.

    Example:
        >>> path = "exported/rt4ksr_x2_fp32.onnx"
        >>> subjects = [toolkit.Subject.parse(f"{path}@{name}") for name in ("ort-cpu", "openvino")]
        >>> report = toolkit.compare(*subjects, steadiness=False)
        >>> max(item.largest for item in report.inputs) < 1e-3
        True
    """
    same_scale(first, second)
    shape = first.fixed or second.fixed
    if None not in (first.fixed, second.fixed) and first.fixed != second.fixed:
        raise InputError(f"{first.label} takes {first.fixed}, and {second.label} takes {second.fixed}")
    pictures = "uint8" in (first.contract.output.dtype, second.contract.output.dtype)
    notes = ("compared as 8-bit images: one of them returns uint8",) if pictures else ()
    runs = image_function(first), image_function(second)
    if not pictures and first.contract.output.limited != second.contract.output.limited:
        notes = ("compared within 0..1: one of them limits its output",)
        runs = limited(runs[0]), limited(runs[1])
    found = []
    given = real_images(shape=shape) if images is None else images
    for item in _inputs(given, shape, pictures):
        progress(Progress(item.name))
        found.append(_compared(item, runs, pictures))
    steady: list[Steadiness] = []
    if steadiness:
        for subject, run in zip((first, second), runs, strict=True):
            progress(Progress(f"{subject.label}: repeated runs, and other numbers of threads"))
            steady.append(_steadiness(subject, run, shape))
    return ComparisonReport(first.label, second.label, tuple(found), tuple(steady), bound, notes)


def _inputs(images: Sequence[TestInput], shape: Shape | None, pictures: bool) -> Iterable[TestInput]:
    for item in (*images, *synthetic_inputs(shape)):
        if item.image or not pictures:
            yield item


def _compared(item: TestInput, runs: tuple[Run, Run], pictures: bool) -> InputComparison:
    array = as_grey(item.array).astype(np.float32) / np.float32(255) if pictures else item.array
    results = [run(array) for run in runs]
    if pictures:
        results = [result if result.dtype == np.uint8 else as_grey(result) for result in results]
    unit = 255.0 if pictures else 1.0
    a, b = (result.astype(np.float64) / unit for result in results)
    error = np.abs(a - b)
    squared = float(np.mean(error**2))
    row, column = (int(place) for place in np.unravel_index(int(np.argmax(error.max(axis=(0, 1)))), error.shape[2:]))
    height, width = error.shape[2:]
    nearest = min(row, column, height - 1 - row, width - 1 - column)
    levels = np.abs(as_grey(a).astype(int) - as_grey(b))
    return InputComparison(
        input=item.name,
        size=str(Shape(*item.array.shape[2:])),
        image=item.image,
        largest=float(error.max()),
        mean=float(error.mean()),
        p99=float(np.percentile(error, 99)),
        psnr=None if squared == 0 else -10 * math.log10(squared) if math.isfinite(squared) else math.nan,
        ulp=None if pictures else _ulp_distance(a, b),
        grey_levels=int(levels.max()),
        differing=float(np.mean(levels > 0)),
        worst=(row, column),
        at_border=nearest < NEAR_BORDER,
    )


_SMALLEST_COUNTED = 2.0**-4
"""Near zero, neighbouring floats are so close that any rounding error is millions of ulp."""


def _ulp_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """Largest difference of two arrays in float32 ulp, ignoring values near zero."""
    counted = np.minimum(np.abs(a), np.abs(b)) >= _SMALLEST_COUNTED
    if not counted.any():
        return 0
    ordered = [_ordered_bits(values[counted].astype(np.float32)) for values in (a, b)]
    return int(np.abs(ordered[0] - ordered[1]).max())


def _ordered_bits(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Float32 values as integers in the same order, so that a difference counts the representable numbers between.

    Bit patterns of positive floats are ordered already; those of negative floats are in reverse order, with sign bit.
    """
    bits = values.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _steadiness(subject: Subject, run: Run, shape: Shape | None) -> Steadiness:
    size = (1, 3, *(shape.sides if shape is not None else (96, 128)))
    frame = np.random.default_rng(2).random(size, np.float32)
    first = run(frame)
    deterministic = all(_same_bits(run(frame), first) for _ in range(RUNS - 1))
    same = all(_same_bits(image_function(subject, threads)(frame), first) for threads in THREADS)
    return Steadiness(subject.label, deterministic, same, THREADS)


def _same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

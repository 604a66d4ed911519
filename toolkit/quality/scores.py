"""Scores of several networks on the same images: PSNR and SSIM against the originals, beside bicubic."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec

from toolkit.errors import InputError, Unavailable, described
from toolkit.quality.data import Degradation
from toolkit.quality.measurement import Metrics, mean_of, measure
from toolkit.quality.pairs import ImageStore, PairList
from toolkit.quality.subjects import load
from toolkit.runtimes.subject import Subject
from toolkit.system.progress import Counter, ProgressCallback, no_progress


class SetScore(msgspec.Struct, frozen=True):
    """Mean metrics over the images of one set."""

    name: str
    images: int
    mean: Metrics


class Score(msgspec.Struct, frozen=True):
    """Mean metrics over all images, and by set.

    `reason` says why a network has none; `failed`: its runtime works here, but an error occurred, whose Python
    traceback is `traceback`. `executed` counts nodes per executed precision.
    """

    mean: Metrics | None = None
    sets: tuple[SetScore, ...] = ()
    executed: dict[str, int] = {}
    reason: str = ""
    failed: bool = False
    traceback: str = ""


class Scores(msgspec.Struct, frozen=True):
    """Scores of bicubic and of each subject, in the order given.

    `degradation` describes how missing low-resolution images were computed; `border` pixels are ignored at each edge.
    """

    degradation: str
    border: int
    bicubic: Score
    subjects: tuple[Score, ...]


def score(
    subjects: Sequence[Subject],
    pairs: PairList,
    degradation: Degradation,
    progress: ProgressCallback = no_progress,
) -> Scores:
    """Measure networks of one scale on the same images. Unlike `evaluate`, no network is compared with its fp32 form.

    A subject that does not run is reported, and the others continue.

    Args:
        subjects: of the scale of the pairs.
        pairs: see `PairList.found`.
        degradation: how missing low-resolution images are computed.
        progress: called as images are measured.

    Raises:
        InputError: a subject has another scale, or an image cannot be used.
    """
    if wrong := next((subject for subject in subjects if subject.scale != pairs.scale), None):
        raise InputError(f"{wrong.name} upscales x{wrong.scale}, and the images are for x{pairs.scale}")
    counter = Counter(progress, (len(subjects) + 1) * len(pairs.items))
    with tempfile.TemporaryDirectory() as directory:
        store, bases = ImageStore(Path(directory)), []
        for index, item in enumerate(pairs.items):
            counter.start(f"bicubic: {item.name}")
            bases.append(pairs.store(index, degradation, store))
        scores = tuple(_score(subject, pairs, store, counter) for subject in subjects)
    return Scores(degradation.described(), pairs.border, _summed(pairs, bases, {}), scores)


def _score(subject: Subject, pairs: PairList, store: ImageStore, counter: Counter) -> Score:
    try:
        upscale, found = load(subject), []
        for index, item in enumerate(pairs.items):
            counter.start(f"{subject.label}: {item.name}")
            found.append(measure(upscale(store.get("low", index)), store.get("high", index), pairs.border).metrics)
        return _summed(pairs, found, upscale.precisions())
    except Exception as error:  # noqa: BLE001  (runtimes may raise anything, and the other subjects continue)
        failed = not isinstance(error, Unavailable)
        trace = "".join(traceback.format_exception(error)) if failed else ""
        return Score(reason=described(error), failed=failed, traceback=trace)


def _summed(pairs: PairList, metrics: Sequence[Metrics], executed: dict[str, int]) -> Score:
    """The means of metrics, one of each pair."""
    groups: dict[str, list[Metrics]] = {}
    for item, found in zip(pairs.items, metrics, strict=True):
        groups.setdefault(item.group, []).append(found)
    sets = tuple(SetScore(name, len(group), mean_of(group)) for name, group in groups.items())
    return Score(mean_of(list(metrics)), sets, executed)

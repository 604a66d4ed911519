"""Batches of random patches. A batch depends only on the seed and the number of its iteration."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from toolkit.training.clips import Clip
from toolkit.training.config import TrainingConfig
from toolkit.training.degradation import Pixels, degrade
from toolkit.training.photos import Photos

_OPEN = 256
"""Photographs that are memory-mapped at the same time; each needs a file descriptor, of which a process has few."""

_AHEAD = 2
"""Batches per worker that are prepared in advance."""


@dataclass(frozen=True)
class Batch:
    """Low-resolution patches, uint8 (N, H, W, 3), and their originals, uint8 (N, scale·H, scale·W, 3)."""

    low: Pixels
    high: Pixels


class Sampler:
    """Random patches of photographs, rotated and mirrored at random.

    Every position in every photograph is equally likely to be in a patch's corner, so a photograph counts by its area.

    Args:
        photos: none with a side shorter than the largest patch.
        config: patches, batch, seed, scale, JPEG quality and the share of clips matter here.
        part: this process makes the patches at part[0], part[0] + part[1], ... of each batch.
        clips: from which `config.clip_share` of the patches are taken, each clip being equally likely.
    """

    def __init__(
        self, photos: Photos, config: TrainingConfig, part: tuple[int, int] = (0, 1), clips: tuple[Clip, ...] = ()
    ) -> None:
        self._config = config
        self._clips = clips
        self._opened = lru_cache(_OPEN)(lambda index: clips[index].pixels())
        self._sizes = np.array([(photo.height, photo.width) for photo in photos.photos])
        self._part = part
        self._mapped = lru_cache(_OPEN)(lambda index: photos.photos[index].pixels())

    def batch(self, iteration: int) -> Batch:
        """This process's part of the batch that follows `iteration` finished iterations."""
        config = self._config
        # A counter-based generator: that of an iteration is made from its number, so a resumed run draws the same
        # patches.
        random = np.random.Generator(np.random.Philox(key=np.array([config.seed, iteration], np.uint64)))
        size = config.patches[random.integers(len(config.patches))] * config.network.scale
        places = self._sizes - size + 1
        photos = random.choice(len(places), config.batch, p=_shares(places))
        corners = random.integers(0, places[photos])
        turns = random.integers(8, size=config.batch)
        own = slice(self._part[0], None, self._part[1])
        patches = [
            _rotated(self._mapped(photo)[top : top + size, left : left + size], turn)
            for photo, (top, left), turn in zip(photos[own], corners[own], turns[own], strict=True)
        ]
        high = np.stack(patches)
        batch = Batch(degrade(high, config.network.scale, config.jpeg_quality), high)
        if self._clips:
            self._put_clips(batch, random)
        return batch

    def _put_clips(self, batch: Batch, random: np.random.Generator) -> None:
        """Replace some patches of photographs by patches of clips, in place."""
        count, scale = self._config.batch, self._config.network.scale
        size = batch.low.shape[1]
        coded = random.random(count) < self._config.clip_share
        clips = random.integers(len(self._clips), size=count)
        # Frame, top and left, each as a share of the range of possible values, which depends on the clip.
        places = random.random((count, 3))
        turns = random.integers(8, size=count)
        own = range(self._part[0], count, self._part[1])
        for index, number in enumerate(own):
            if coded[number]:
                low, high = self._opened(int(clips[number]))
                ends = (low.shape[0], low.shape[1] - size + 1, low.shape[2] - size + 1)
                frame, top, left = (int(share * end) for share, end in zip(places[number], ends, strict=True))
                for target, frames, factor in ((batch.low, low, 1), (batch.high, high, scale)):
                    rows, columns = (slice(at * factor, (at + size) * factor) for at in (top, left))
                    target[index] = _rotated(frames[frame, rows, columns], turns[number])


@contextmanager
def prepared(sampler: Sampler, start: int, stop: int, workers: int) -> Iterator[Iterator[Batch]]:
    """The batches of iterations `start` to `stop` in order, prepared in advance by threads."""
    with ThreadPoolExecutor(workers, thread_name_prefix="batch") as pool:
        try:
            yield _in_order(pool, sampler, range(start, stop), workers * _AHEAD)
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(pool: ThreadPoolExecutor, sampler: Sampler, iterations: range, ahead: int) -> Iterator[Batch]:
    pending: deque[Future[Batch]] = deque()
    for iteration in iterations:
        pending.append(pool.submit(sampler.batch, iteration))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _shares(places: NDArray[np.int64]) -> NDArray[np.float64]:
    areas = places.prod(axis=1, dtype=np.float64)
    shares: NDArray[np.float64] = areas / areas.sum()
    return shares


def _rotated(patch: Pixels, turn: int) -> Pixels:
    """One of the eight rotations and reflections of a square."""
    return np.rot90(patch[:, ::-1] if turn >= 4 else patch, turn % 4)

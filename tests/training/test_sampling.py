"""Batches: a function of seed and iteration, fairly drawn, and really made of the photographs."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from toolkit.images.resizing import downscaled
from toolkit.training.config import TrainingConfig
from toolkit.training.photos import Photos, index_photos
from toolkit.training.sampling import Batch, Sampler, prepared


@pytest.fixture
def found(photos: Path, tmp_path: Path) -> Photos:
    return index_photos(photos, tmp_path, 24)


def same(one: Batch, other: Batch) -> bool:
    return np.array_equal(one.low, other.low) and np.array_equal(one.high, other.high)


def test_a_batch_depends_on_seed_and_iteration_alone(found: Photos, config: TrainingConfig) -> None:
    first, second = Sampler(found, config), Sampler(found, config)
    batches = [first.batch(iteration) for iteration in range(4)]
    assert all(same(second.batch(iteration), batches[iteration]) for iteration in (3, 0, 2, 1))
    assert not any(same(batches[0], other) for other in batches[1:])
    reseeded = Sampler(found, msgspec.structs.replace(config, seed=1))
    assert not same(reseeded.batch(0), batches[0])


def test_processes_share_a_batch(found: Photos, config: TrainingConfig) -> None:
    whole = Sampler(found, config).batch(5)
    parts = [Sampler(found, config, (rank, 2)).batch(5) for rank in range(2)]
    assert all(np.array_equal(parts[rank].high, whole.high[rank::2]) for rank in range(2))


def test_patches_have_the_sizes_asked_for(found: Photos, config: TrainingConfig) -> None:
    batches = [Sampler(found, config).batch(iteration) for iteration in range(20)]
    assert {batch.low.shape for batch in batches} == {(4, 8, 8, 3), (4, 12, 12, 3)}
    for batch in batches:
        assert batch.high.shape == (4, 2 * batch.low.shape[1], 2 * batch.low.shape[2], 3)
        np.testing.assert_array_equal(batch.low, downscaled(batch.high, 2))


def test_every_position_and_turn_is_equally_likely(tmp_path: Path, config: TrainingConfig) -> None:
    """Two photographs in which every pixel tells where it is; chi-squared over all corners and turns."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, (height, width) in enumerate([(7, 6), (5, 4)]):
        rows, columns = np.mgrid[:height, :width]
        Image.fromarray(np.dstack([rows, columns, np.full_like(rows, index)]).astype(np.uint8)).save(
            folder / f"{index}.png"
        )
    config = msgspec.structs.replace(config, patches=(2,), batch=8000)
    high = Sampler(index_photos(folder, tmp_path / "cache", 4), config).batch(0).high.astype(int)
    corners = [(patch[..., 2][0, 0], patch[..., 0].min(), patch[..., 1].min()) for patch in high]
    # Where the scene's first pixel went, and in which direction its row runs.
    turned = [(*(patch[0, 0, :2] - patch[..., :2].min((0, 1))), *(patch[0, 1, :2] - patch[0, 0, :2])) for patch in high]
    for values, cells in ((corners, 4 * 3 + 2 * 1), (turned, 8)):
        _, counts = np.unique(values, axis=0, return_counts=True)
        assert len(counts) == cells
        expected = len(high) / cells
        chi_squared = ((counts - expected) ** 2 / expected).sum()
        assert chi_squared < 3 * cells  # far beyond the 99.99 % quantile for these many cells


def test_prepared_batches_come_in_order_and_threads_end(found: Photos, config: TrainingConfig) -> None:
    sampler = Sampler(found, config)
    with prepared(sampler, 3, 9, workers=3) as batches:
        for iteration, batch in zip(range(3, 9), batches, strict=True):
            assert same(batch, sampler.batch(iteration))
    with prepared(sampler, 0, 1000, workers=2) as batches:
        next(batches)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch")]


def test_what_goes_wrong_in_a_thread_is_raised_here(found: Photos, config: TrainingConfig, tmp_path: Path) -> None:
    for file in tmp_path.iterdir():
        file.unlink()
    with prepared(Sampler(found, config), 0, 3, workers=1) as batches, pytest.raises(FileNotFoundError):
        next(batches)

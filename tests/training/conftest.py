from __future__ import annotations

from pathlib import Path

import pytest
from photographs import picture
from PIL import Image

from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.training.config import TrainingConfig

TINY = NetworkConfig(scale=2, channels=6, blocks=1, hidden=8)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three photographs of different sizes."""
    directory = tmp_path_factory.mktemp("photos")
    for index, (height, width) in enumerate([(60, 80), (90, 50), (48, 48)]):
        Image.fromarray(picture(height, width, index)).save(directory / f"{index}.png")
    return directory


@pytest.fixture
def config(photos: Path) -> TrainingConfig:
    """A run that takes a moment."""
    return TrainingConfig(
        data=str(photos),
        validation=str(photos),
        network=TINY,
        patches=(8, 12),
        batch=4,
        iterations=6,
        learning_rate=2e-3,
        validation_interval=2,
        checkpoint_interval=2,
        log_interval=1,
        threads=1,
    )

"""Fixtures of the tests of pictures and videos."""

from __future__ import annotations

from pathlib import Path

import pytest
from media.nearest import nearest_artifact


@pytest.fixture(scope="session")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact whose every output pixel is known."""
    return nearest_artifact(tmp_path_factory.mktemp("nearest")).path

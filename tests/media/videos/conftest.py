"""Fixtures of the tests of videos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from media.films import moving, write_film

from toolkit.media.options import UpscaleOptions
from toolkit.media.videos import video_file
from toolkit.media.videos.encoding import VideoFormat

LOSSLESS = VideoFormat(codec="ffv1")


@pytest.fixture
def options(nearest: Path) -> UpscaleOptions:
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=LOSSLESS)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4", moving(12), sound=True)


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The films here have a key frame every five frames."""
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)
    yield

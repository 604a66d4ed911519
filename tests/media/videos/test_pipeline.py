"""Decoding, upscaling and encoding at the same time."""

from __future__ import annotations

import pytest

from toolkit.media.videos.pipeline import pipelined


def test_a_full_pipeline_hands_errors_on_and_ends_its_threads() -> None:
    import threading

    before = threading.active_count()
    for stage in range(3):

        def fails(item: int, stage: int = stage, here: int = 0) -> int:
            if here == stage and item == 50:
                raise ValueError(f"stage {stage}")
            return item

        source = (fails(item, here=0) for item in range(100))
        with pytest.raises(ValueError, match=f"stage {stage}"):
            pipelined(source, lambda item: fails(item, here=1), lambda item: fails(item, here=2))
    assert threading.active_count() == before
    got: list[int] = []
    pipelined(iter(range(100)), lambda item: item * 2, got.append)
    assert got == [item * 2 for item in range(100)]

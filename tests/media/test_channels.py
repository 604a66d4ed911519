"""Colour under full transparency, upscaled by functions whose receptive field is known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from toolkit.artifact import Artifact
from toolkit.graph.analysis.locality import WholeFrame
from toolkit.media import upscaler
from toolkit.media.channels import upscale_with_alpha
from toolkit.media.upscaler import FrameUpscaler
from toolkit.runtimes.subject import Subject


@dataclass
class BoxMean:
    """The mean of all pixels at most `radius` away, of the size of its input; `reach` as `FrameUpscaler` reports it."""

    radius: int
    reach: int | None

    def __call__(self, frame: Any, white: int) -> Any:
        height, width = frame.shape[1:]
        result = np.empty_like(frame)
        for y in range(height):
            for x in range(width):
                rows, columns = (slice(max(0, i - self.radius), i + self.radius + 1) for i in (y, x))
                result[:, y, x] = np.rint(frame[:, rows, columns].mean(axis=(1, 2)))
        return result


@pytest.mark.parametrize(("radius", "reach"), [(2, 2), (26, 26), (26, None), (100, None)])
@pytest.mark.parametrize("colours", [1, 3])
def test_hidden_colour_has_no_influence_however_far_the_network_reaches(
    radius: int, reach: int | None, colours: int
) -> None:
    size = 48 if reach is not None else 90
    alpha = np.zeros((size, size, 1), np.uint8)
    alpha[:4, 3:9] = 255
    colour = np.random.default_rng(0).integers(0, 256, (size, size, colours), np.uint8)
    results = []
    for hidden in (0, 255):
        samples = np.concatenate([np.where(alpha > 0, colour, np.uint8(hidden)), alpha], axis=2)
        results.append(upscale_with_alpha(BoxMean(radius, reach), samples, 255))  # type: ignore[arg-type]
    visible = results[0][..., -1] > 0
    assert visible.sum() >= 24
    np.testing.assert_array_equal(results[0][visible], results[1][visible])


def test_the_reach_of_an_artifact_is_that_of_its_graph(
    small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed pixel changes results up to `reach` away, and the bound is not loose by more than a block."""
    network = FrameUpscaler(Subject.of(small_artifact, "ort-cpu"))
    size = 64
    frame = np.full((3, size, size), 128, np.uint8)
    before = network(frame, 255).astype(int)
    furthest = 0
    for row in (30, 31):
        changed = frame.copy()
        changed[:, row] = np.random.default_rng(row).integers(0, 256, (3, size))
        rows = (
            np.flatnonzero((network(changed, 255) != before).any(axis=(0, 2))) // small_artifact.manifest.network.scale
        )
        furthest = max(furthest, int(row - rows.min()), int(rows.max() - row))
    assert network.reach is not None
    assert network.reach - 3 <= furthest <= network.reach
    monkeypatch.setattr(upscaler, "network_locality", lambda *_: WholeFrame("it pools"))
    upscaler._read_demand.cache_clear()
    assert network.reach is None
    upscaler._read_demand.cache_clear()

"""Whole networks of other architectures on the native engine, against float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from native.networks import float64
from native.running import Native
from samples import DATA, needs_data

from toolkit.artifact import Artifact
from toolkit.graph.adoption.adopt import adopt
from toolkit.graph.export import export
from toolkit.network.checkpoint import load_checkpoint, untrained_checkpoint
from toolkit.workloads import Shape

SIZES = [(2, 2), (34, 22), (18, 70)]
ODD = [(1, 1), (3, 9), (33, 17)]


def agrees(artifact: Artifact, sizes: list[tuple[int, int]]) -> Native:
    """Compare the engine with float64, within the bound of the artifact's own check of float32 arithmetic, and its
    results for different threads and column tiles with each other.
    """
    network = Native(artifact)
    exact = float64(onnx.load(artifact.path))
    bound = next(check.bound for check in artifact.manifest.checks if check.kind == "float32 arithmetic")
    for height, width in sizes:
        frame = smooth(height, width)
        got, expected = network.run(frame), exact(frame)
        assert np.abs(got - expected).max() <= bound * max(1.0, np.abs(expected).max())
        np.testing.assert_array_equal(network.run(frame, threads=3), got)
        np.testing.assert_array_equal(network.run(frame, threads=2, tile_columns=9), got)
    return network


def smooth(height: int, width: int) -> np.ndarray:
    """A picture: networks enlarge the contrast of noise without limit."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    planes = [0.5 + 0.45 * np.sin(0.31 * x + 0.17 * y + phase) for phase in (0.0, 1.0, 2.0)]
    return np.stack(planes)[None].astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "scale"), [("compact-light", 3), ("span-light", 2)])
def test_presets(preset: str, scale: int, tmp_path: Path) -> None:
    agrees(export(untrained_checkpoint(scale, preset=preset), directory=tmp_path), SIZES + ODD)


@pytest.mark.slow
@needs_data
def test_a_published_checkpoint(tmp_path: Path) -> None:
    artifact = export(load_checkpoint(DATA / "models" / "ntire2026_span_x4.pth"), directory=tmp_path)
    agrees(artifact, SIZES + ODD)


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("name", ["animejanai_x2_compact_fp16_op23", "animejanai_x2_spanf3_fp16"])
def test_graphs_that_players_use(name: str, tmp_path: Path) -> None:
    artifact = adopt(DATA / "models" / f"{name}.onnx", directory=tmp_path)
    network = agrees(artifact, SIZES if artifact.manifest.sizes.multiple == 2 else SIZES + ODD)
    frame = artifact.manifest.input.zeros(Shape(24, 24))
    assert np.isfinite(network.run(frame)).all()

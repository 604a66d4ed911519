"""Graphs and artifacts, run by the native engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from toolkit.artifact import Artifact
from toolkit.native.compiler import cached_library
from toolkit.native.library import Library
from toolkit.native.planner import plan
from toolkit.native.targets import Target, find_target, missing
from toolkit.workloads import Shape

EMULATED = {
    f"{name}-tiles": replace(find_target(name), name=f"{name}-tiles", tiles="tiles_emulated.h")
    for name in ("scalar", "x86-64-v3", "x86-64-v4-bf16")
}
"""Targets whose bf16 and int8 convolutions use tile operations in portable C++."""


def chosen_target(name: str) -> Target:
    """A target by name, an emulated one included."""
    return EMULATED.get(name) or find_target(name)


class Native:
    """A graph or artifact, planned, and compiled for a target when first run there."""

    def __init__(self, made: Artifact) -> None:
        self.artifact = made
        self.program = plan(made.path, made.manifest)
        self._libraries: dict[tuple[str, int], Library] = {}

    def library(self, target: str = "native", tile_columns: int = 0) -> Library:
        if (known := self._libraries.get((target, tile_columns))) is not None:
            return known
        chosen = chosen_target(target)
        if lacking := missing(chosen):
            pytest.skip(f"this machine does not run {target}: it lacks {lacking}")
        program = self.program
        if tile_columns:
            video = None if program.video is None else replace(program.video, tile_columns=tile_columns)
            program = replace(program, tile_columns=tile_columns, video=video)
        path = cached_library(program, self.artifact.manifest, chosen)
        return self._libraries.setdefault((target, tile_columns), Library(path, self.artifact.manifest.name))

    def empty(self, frame: np.ndarray) -> np.ndarray:
        manifest = self.artifact.manifest
        height, width = frame.shape[2:] if manifest.input.layout == "NCHW" else frame.shape[1:3]
        size = Shape(height, width).upscaled(manifest.network.scale)
        return manifest.output.zeros(size)

    def run(self, frame: np.ndarray, target: str = "native", threads: int = 1, tile_columns: int = 0) -> np.ndarray:
        output = self.empty(frame)
        sides = frame.shape[2:] if self.artifact.manifest.input.layout == "NCHW" else frame.shape[1:3]
        self.library(target, tile_columns).engine(*sides, threads).run(np.ascontiguousarray(frame), output)
        return output

    def noise(self, height: int, width: int, seed: int = 0) -> np.ndarray:
        port = self.artifact.manifest.input
        random = np.random.default_rng(seed)
        shape = port.frame_shape(Shape(height, width))
        if port.dtype == "uint8":
            return random.integers(0, 256, shape).astype(np.uint8)
        return random.random(shape, np.float32)

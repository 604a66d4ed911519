"""Input shapes that a TensorRT engine is built for, also used by ONNX Runtime's TensorRT provider."""

from __future__ import annotations

from typing import NamedTuple

from toolkit.artifact import Artifact
from toolkit.workloads import Shape

LARGEST = Shape(2160, 3840)
"""Largest input of an engine for a dynamic artifact."""


class OptimizationProfile(NamedTuple):
    """Smallest input shape, the one that kernels are selected for, and the largest; in the layout of the input port."""

    smallest: tuple[int, ...]
    best: tuple[int, ...]
    largest: tuple[int, ...]


def optimization_profile(artifact: Artifact, shape: Shape | None) -> OptimizationProfile | None:
    """The profile of an engine; None for a static artifact, which needs no profile.

    Args:
        artifact: that is built.
        shape: input size to select kernels for; None: the largest.
    """
    manifest = artifact.manifest
    if manifest.shape is not None:
        return None
    best = shape or LARGEST
    largest = Shape(*(max(sides) for sides in zip(best.sides, LARGEST.sides, strict=True)))
    port, smallest = manifest.input, manifest.sizes.extended(Shape(1, 1))
    return OptimizationProfile(port.frame_shape(smallest), port.frame_shape(best), port.frame_shape(largest))

"""Whether a session computes what the artifact says: compared with its own arithmetic, simulated on the CPU."""

from __future__ import annotations

import numpy as np

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.graph.analysis.numerics import probe_images, probe_sizes
from toolkit.graph.precision.registry import find_target
from toolkit.precisions import FULL_PRECISION
from toolkit.runtimes.onnxruntime.simulated import SimulatedRuntime
from toolkit.runtimes.protocol import Session
from toolkit.workloads import Shape

_FULL_BOUND = 2**-11
"""Largest distance in float32, as a share of white: an eighth of a grey level. Rounding costs a hundredth of it, and
arithmetic in float16 or bfloat16 more."""

_DISTANCES: dict[tuple[str, str], float] = {}
"""Distances that this process has measured, by the hash of the artifact's graph and the runtime."""


def agree(artifact: Artifact, session: Session, runtime: str) -> float:
    """The largest distance between results of a session and of the artifact's own arithmetic, as a share of white.

    Measured once per artifact and runtime on three small pictures, or on one of the artifact's only size. Graphics
    drivers compute wrong values without an error, for instance float16 where the device has none.

    Args:
        artifact: what the session was loaded from.
        session: afterwards it is bound to another size.
        runtime: name and version.

    Raises:
        Unavailable: the distance is beyond the bound of the artifact's precision.
    """
    key, bound = (artifact.manifest.onnx_sha256, runtime), _bound(artifact)
    if key not in _DISTANCES:
        _DISTANCES[key] = _distance(artifact, session)
    if not _DISTANCES[key] <= bound:
        raise Unavailable(
            f"{runtime} computes {artifact.manifest.name} wrongly: its result is {_DISTANCES[key]:.2g} of white from "
            f"the artifact's own arithmetic, allowed {bound:.2g}",
            "Use another runtime or precision, or update the driver of the device.",
        )
    return _DISTANCES[key]


def _bound(artifact: Artifact) -> float:
    """For lowered precisions that of their conversion, which sums in another order and type may reach."""
    if artifact.manifest.precision == FULL_PRECISION:
        return _FULL_BOUND
    bounds = find_target(artifact.manifest.precision).bounds
    return bounds.largest or bounds.mean


def _distance(artifact: Artifact, session: Session) -> float:
    manifest, truth = artifact.manifest, SimulatedRuntime().load(artifact)
    fixed = None if manifest.shape is None else Shape(*manifest.shape)
    images = probe_images(probe_sizes(manifest.sizes, fixed))
    distances = []
    for image in images[:1] if fixed else images:
        frame = manifest.input.from_image(image)
        for bound in (truth, session):
            bound.bind(image.shape[:2])
        levels = (manifest.output.values(found.run(frame)).astype(np.float64) for found in (truth, session))
        distance = float(np.abs(np.subtract(*levels)).max())
        # Of integers, a value near the middle between two may be rounded to either.
        distances.append(max(0.0, distance - 1) if manifest.output.dtype == "uint8" else distance)
    return float(np.max(distances)) / manifest.output.span

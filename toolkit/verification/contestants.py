"""What can be compared: checkpoints, artifacts and engine bundles, each on a runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.kinds import ENGINE_SUFFIX
from toolkit.network.checkpoint import Checkpoint, load_checkpoint
from toolkit.network.fusion import fuse
from toolkit.network.module import numpy_function
from toolkit.port import PLANAR, rgb_port
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.registry import load_engine
from toolkit.runtimes.subject import load_session
from toolkit.workloads import Shape

Run = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Float32 (1, 3, H, W) in 0..1 to the result (1, 3, sH, sW): float32, or uint8 where the subject returns that."""

UNFUSED, FUSED, EXACT = "torch-unfused", "torch", "float64"
_OF_CHECKPOINTS = (UNFUSED, FUSED, EXACT)
_DEFAULT_RUNTIME = "ort-cpu"


@dataclass(frozen=True)
class Contestant:
    """One side of a comparison.

    Attributes:
        source: what is run.
        runtime: by what; for a checkpoint: `torch-unfused`, `torch` (fused), or `float64` (unfused, the truth).
    """

    source: Checkpoint | Artifact | Engine
    runtime: str

    @property
    def label(self) -> str:
        name = {Checkpoint: "file", Artifact: "path", Engine: "path"}[type(self.source)]
        return f"{Path(getattr(self.source, name)).name} on {self.runtime}"

    @property
    def scale(self) -> int:
        if isinstance(self.source, Checkpoint):
            return self.source.config.scale
        return self.source.manifest.network.scale

    @property
    def returns(self) -> Literal["float32", "uint8"]:
        """Type of its results."""
        is_uint8 = not isinstance(self.source, Checkpoint) and self.source.manifest.output.dtype == "uint8"
        return "uint8" if is_uint8 else "float32"

    @property
    def fixed(self) -> Shape | None:
        """The one size it takes, if there is only one."""
        if isinstance(self.source, Engine):
            return self.source.fixed
        if isinstance(self.source, Checkpoint) or self.source.manifest.shape is None:
            return None
        return Shape(*self.source.manifest.shape)

    def load(self, threads: int = 0) -> Run:
        """Ready to run.

        Raises:
            Unavailable: its runtime does not work here.
        """
        if isinstance(self.source, Checkpoint):
            return _network_function(self.source, self.runtime, threads)
        options = SessionOptions(threads)
        if isinstance(self.source, Engine):
            return _session_function(load_engine(self.source, options))
        return _session_function(load_session(self.source, self.runtime, options))


def parse_contestant(text: str, *, edited: bool = False) -> Contestant:
    """`PATH` or `PATH@RUNTIME`: a checkpoint, an artifact, or an engine bundle.

    Args:
        text: default runtimes: ort-cpu for artifacts, torch-unfused for checkpoints; engines have their own.
        edited: accept a graph that was changed after its manifest was written.

    Raises:
        ToolkitError: it cannot be read, or that runtime is not for it.
    """
    name, _, runtime = text.rpartition("@") if "@" in text and not Path(text).exists() else (text, "", "")
    path = Path(name)
    if path.suffix == ENGINE_SUFFIX:
        engine = Engine.read(path)
        if runtime not in ("", engine.info.runtime):
            raise InputError(f"{path} is an engine for {engine.info.runtime}, not for {runtime}")
        return Contestant(engine, engine.info.runtime)
    if path.suffix in {".onnx", ".json"}:
        return Contestant(Artifact.read(path, edited=edited), runtime or _DEFAULT_RUNTIME)
    if runtime and runtime not in _OF_CHECKPOINTS:
        raise InputError(f"{runtime} does not run checkpoints", f"Choose from {', '.join(_OF_CHECKPOINTS)}, or export.")
    return Contestant(load_checkpoint(path), runtime or UNFUSED)


def same_scale(first: Contestant, second: Contestant) -> None:
    """Make sure that two can be compared.

    Raises:
        InputError: they upscale differently.
    """
    if first.scale != second.scale:
        raise InputError(
            f"{first.label} upscales x{first.scale}, and {second.label} x{second.scale}", "Name two of one scale."
        )


def as_grey(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Float 0..1 as uint8; NaN is black."""
    levels: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    return levels


def _network_function(checkpoint: Checkpoint, runtime: str, threads: int) -> Run:
    network = fuse(checkpoint.network) if runtime == FUSED else checkpoint.network
    return numpy_function(network, "float64" if runtime == EXACT else "float32", threads)


def _session_function(session: Session) -> Run:
    given, returned = session.contract.input, session.contract.output
    planar = rgb_port("uint8") if returned.dtype == "uint8" else PLANAR
    bound: list[Shape] = []

    def run(image: NDArray[np.float32]) -> NDArray[Any]:
        shape = Shape(*image.shape[2:])
        if bound != [shape]:
            session.bind(shape)
            bound[:] = [shape]
        result = session.run(given.from_image(PLANAR.values(image)))
        return planar.from_image(returned.to_image(result, planar.dtype))

    return run

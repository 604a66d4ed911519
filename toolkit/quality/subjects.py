"""What is evaluated: an artifact or engine bundle, and the runtime that runs it."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx

from toolkit.artifact import FULL_PRECISION, Artifact, Precision
from toolkit.checks import SIMULATED
from toolkit.graph.precision.simulate import simulated
from toolkit.graph.reading import read_model
from toolkit.quality.data import Pixels
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.registry import find_runtime, load_engine
from toolkit.workloads import Shape


@dataclass(frozen=True)
class Subject:
    """A network in some precision, run by some runtime."""

    source: Artifact | Engine
    runtime: str
    threads: int = 0
    as_fp32: bool = False
    """Not the artifact, but the network that it was made from, in fp32: only PyTorch can do that."""

    @property
    def name(self) -> str:
        """Of the artifact or bundle."""
        if self.as_fp32:
            return "source network"
        return self.source.path.name if isinstance(self.source, Engine) else self.source.manifest.name

    @property
    def sha256(self) -> str:
        """Of the artifact's ONNX file; empty for the network that it was made from."""
        return "" if self.as_fp32 else self.source.manifest.onnx_sha256

    @property
    def precision(self) -> Precision:
        return FULL_PRECISION if self.as_fp32 else self.source.manifest.precision

    @property
    def scale(self) -> int:
        return self.source.manifest.network.scale

    @property
    def weights(self) -> str:
        """What precisions of the same network share."""
        return self.source.manifest.source.network_sha256

    @property
    def fixed(self) -> Shape | None:
        """The one input size it takes, if there is only one."""
        if isinstance(self.source, Engine):
            return self.source.fixed
        shape = self.source.manifest.shape
        return None if shape is None or self.as_fp32 else Shape(*shape)

    @property
    def label(self) -> str:
        return f"{self.name} on {self.runtime}"


class Upscaler:
    """A loaded subject as a function of uint8 images, whatever its own input and output are."""

    def __init__(self, session: Session, files: object = None) -> None:
        """`files`: what must live as long as the session does."""
        self._session, self._files = session, files
        self._shape: Shape | None = None

    def __call__(self, low: Pixels) -> Pixels:
        """(H, W, 3) to (scale*H, scale*W, 3): clamped, rounded to nearest."""
        shape = Shape(*low.shape[:2])
        if shape != self._shape:
            self._session.bind(shape)
            self._shape = shape
        ports = self._session.contract
        return ports.output.to_image(self._session.run(ports.input.from_image(low)))

    def precisions(self) -> dict[str, int]:
        """Number of nodes per precision that really ran."""
        return dict(Counter(node.precision for node in self._session.executed().values()))


def load(subject: Subject) -> Upscaler:
    """Load a subject.

    Raises:
        Unavailable: its runtime does not work here.
    """
    options = SessionOptions(subject.threads)
    if isinstance(subject.source, Engine):
        return Upscaler(load_engine(subject.source, options))
    if subject.runtime == SIMULATED:
        return _simulation(subject.source, options)
    return Upscaler(find_runtime(subject.runtime).load(subject.source, options, subject.precision))


def _simulation(artifact: Artifact, options: SessionOptions) -> Upscaler:
    # ONNX Runtime reads its file again when it is asked what ran.
    directory = tempfile.TemporaryDirectory()
    path = Path(directory.name) / artifact.path.name
    onnx.save(simulated(read_model(artifact.path)), path)
    return Upscaler(find_runtime("ort-cpu").load(Artifact(path, artifact.manifest), options), directory)

"""Subjects as functions of uint8 images, which is how their quality is measured."""

from __future__ import annotations

from collections import Counter

from toolkit.quality.data import Pixels
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape


class Upscaler:
    """A loaded subject as a function of uint8 images, whatever its own input and output are."""

    def __init__(self, session: Session) -> None:
        self._session = session
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


def report_name(subject: Subject) -> str:
    """Of a subject in reports. Where PyTorch runs the source weights, it is not the artifact that is measured."""
    return "source network" if subject.from_weights else subject.name


def load(subject: Subject) -> Upscaler:
    """Load a subject.

    Raises:
        Unavailable: its runtime does not work here.
    """
    return Upscaler(subject.load())

"""Subjects as functions of uint8 images, for measuring their quality."""

from __future__ import annotations

import traceback
from collections import Counter

from toolkit.errors import Unavailable, described
from toolkit.images.chroma import coloured_image
from toolkit.quality.data import Pixels
from toolkit.quality.report import NotRun
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape


class ImageFunction:
    """A loaded subject as a function of uint8 RGB images, for any type and layout of its ports."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shape: Shape | None = None

    def __call__(self, low: Pixels) -> Pixels:
        """Upscale (H, W, 3) to (scale*H, scale*W, 3); values are clamped and rounded to nearest."""
        shape = Shape(*low.shape[:2])
        if shape != self._shape:
            self._session.bind(shape)
            self._shape = shape
        ports = self._session.contract
        return coloured_image(ports.output, self._session.run(ports.input.from_image(low)), low)

    def precisions(self) -> dict[str, int]:
        """Number of nodes per executed precision."""
        return dict(Counter(node.precision for node in self._session.executed().values()))


def report_name(subject: Subject) -> str:
    """Name of a subject in reports. If PyTorch runs the source weights, it is not the artifact that is measured."""
    return "source network" if subject.from_weights else subject.name


def load(subject: Subject) -> ImageFunction:
    """Load a subject.

    Raises:
        Unavailable: its runtime is not available.
    """
    return ImageFunction(subject.load())


def not_run(subject: Subject, error: Exception, reference: Subject | None = None) -> NotRun:
    """A subject that did not run. `reference`: the subject that raised the error, if that may be another one."""
    failed = not isinstance(error, Unavailable)
    trace = "".join(traceback.format_exception(error)) if failed else ""
    reason = described(error)
    if reference not in (None, subject):
        reason = f"its fp32 reference did not run: {reason}"
    return NotRun(report_name(subject), subject.runtime, subject.precision, reason, failed, trace)

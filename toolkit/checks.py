"""Checks of a graph and verdicts on its quality: a measured value, its bound and whether it passed."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

CheckKind = Literal[
    "fusion",
    "stored weights",
    "graph",
    "values off by one",
    "stored constants",
    "float32 arithmetic",
    "largest error",
    "mean error",
    "float64",
    "float32",
    "graph in float64",
    "graph against unfused",
    "graph against fused",
    "source file",
    "client",
]
"""What is measured. `subject` names what it is measured on: a block, a step of the export, a precision, an input.

fusion: a merged block against the unmerged one, in float64, relative to its output.
stored weights: what rounding the merged weights to float32 changes, relative.
graph: the float64 graph after a step of the export against the network, largest error relative to the output. In
    manifests of schema 1 the graph was float32, and the error absolute.
values off by one: share of the values of a uint8 graph that are one grey level off; only in manifests of schema 1.
stored constants: what rounding the graph's constants to float32 changes, relative to each.
float32 arithmetic: the float32 graph against the network in float64. It depends on the CPU; the bound does not.
largest error, mean error: a lowered graph against float64.
source file: the float64 form of a graph from elsewhere against its file on ONNX Runtime, relative to the output.
client: what another program, named with its version, computes from the artifact with its defaults, against the exact
    network. Also kept where it did not pass: the artifact is right, and the client is not to be used with it.
float64, float32, graph against …: forms of one network on one input (`toolkit verify-fusion`).
"""

SIMULATED = "simulated"
"""Name used in place of a runtime: the artifact's own arithmetic with float32 accumulators, run by ONNX Runtime."""


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measured value and its bound; `passed` means measured <= bound.

    `detail` describes the conditions of the measurement; it is text only.
    """

    kind: CheckKind
    subject: str
    measured: float
    bound: float
    passed: bool
    detail: str = ""

    def __post_init__(self) -> None:
        if self.passed != (self.measured <= self.bound):
            raise ValueError(f"{self.name}: {self.measured} with bound {self.bound} cannot be passed={self.passed}")

    @property
    def name(self) -> str:
        """Text: kind, subject and detail."""
        return f"{self.kind}: {self.subject}{f' ({self.detail})' if self.detail else ''}"

    @classmethod
    def of(cls, kind: CheckKind, subject: str, measured: float, bound: float, detail: str = "") -> Check:
        # Not `not measured > bound`: NaN must fail.
        return cls(kind, subject, measured, bound, measured <= bound, detail)


class Spent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The quality that a precision loses.

    Attributes:
        mean: share of the mean gain over bicubic that is lost, over all images, in PSNR-Y; more than 1 is worse than
            bicubic.
        worst_image: the same loss for a single image, as a share of the mean gain.
        worst_patch: root mean square difference from fp32 in the worst 64x64 patch, in grey levels of luma.
    """

    mean: float
    worst_image: float
    worst_patch: float


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The quality that a precision may lose. The fields are those of `Spent`; all are positive and finite.

    Example:
        >>> limits = toolkit.Limits(mean=0.05, worst_image=0.15, worst_patch=2.0)
    """

    mean: float
    worst_image: float
    worst_patch: float

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} = {value} is not a positive number")

    def used(self, spent: Spent) -> float:
        """The largest share of a limit that is used; above 1 a limit is exceeded. NaN counts as infinity."""
        shares = (
            spent.mean / self.mean,
            spent.worst_image / self.worst_image,
            spent.worst_patch / self.worst_patch,
        )
        return math.inf if any(math.isnan(share) for share in shares) else max(shares)

    def kept(self, spent: Spent) -> tuple[bool, bool, bool]:
        """Whether each limit is kept: mean, worst image, worst patch. NaN keeps no limit."""
        return (
            spent.mean <= self.mean,
            spent.worst_image <= self.worst_image,
            spent.worst_patch <= self.worst_patch,
        )


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The measured quality loss of an artifact on a runtime, and whether it is within limits.

    Attributes:
        runtime: where it was measured: a runtime's name, or `SIMULATED`.
        data: the image sets.
        images: number of images; 0: unknown, from an older manifest.
        spent: None if the network gains nothing over bicubic on these images, so that no share of it can be lost.
        allowed: the limits.
        passed: all three limits are kept; False if `spent` is None.
    """

    runtime: str
    data: str
    images: int
    spent: Spent | None
    allowed: Limits
    passed: bool

    def __post_init__(self) -> None:
        if self.passed != (self.spent is not None and all(self.allowed.kept(self.spent))):
            raise ValueError(f"verdict on {self.runtime}: {self.spent} within {self.allowed} is not {self.passed}")

    @classmethod
    def of(cls, runtime: str, data: str, images: int, spent: Spent | None, allowed: Limits) -> Verdict:
        return cls(runtime, data, images, spent, allowed, spent is not None and all(allowed.kept(spent)))

    def __str__(self) -> str:
        if self.spent is None:
            return f"{self.measured_on}: loss unknown, because the network gains nothing over bicubic there"
        spent, allowed = self.spent, self.allowed
        return (
            f"{self.measured_on}: {lost(spent.mean)} (allowed {allowed.mean:.1%}), in the worst image "
            f"{spent.worst_image:.1%} ({allowed.worst_image:.1%}); worst patch {spent.worst_patch:.2f} grey levels "
            f"from fp32 ({allowed.worst_patch:g})"
        )

    @property
    def outcome(self) -> bool | None:
        """As people read it: `passed`, or None where the network has no gain on these images that could be lost."""
        return None if self.spent is None else self.passed

    @property
    def measured_on(self) -> str:
        """Text, for example `native, 5 images of Set5`."""
        count = f"{self.images} image{'' if self.images == 1 else 's'} of " if self.images else ""
        return ", ".join(part for part in (self.runtime, f"{count}{self.data}") if part)


def lost(share: float) -> str:
    """Text for a share of the gain over bicubic that is lost."""
    if share <= 0:
        return "loses nothing of the gain over bicubic"
    return f"loses {share:.{0 if share >= 0.995 else 2}%} of the gain over bicubic"

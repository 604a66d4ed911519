"""How an artifact of a lower precision was made: the part of its manifest that says so."""

from __future__ import annotations

from typing import Literal

import msgspec

from toolkit.workloads import Shape


class CurvePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mix of precisions that a tuning measured.

    Attributes:
        kept: names of nodes that stay in float32.
        cost: of that, as a share of what `CurveCost` names.
        spent: share of the network's gain over bicubic that the mix loses.
    """

    kept: tuple[str, ...]
    cost: float
    spent: float


class CurveCost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the costs of a tuning's curve are shares of.

    Attributes:
        kind: multiply-adds of the graph, some of which stay in float32; or the time of the fp32 graph.
        runtime: that the time was measured on.
        shape: height and width of the input that it was measured for.
    """

    kind: Literal["multiply-adds", "time"]
    runtime: str = ""
    shape: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.kind == "multiply-adds" or self.shape is None:
            return self.kind
        return f"time on {self.runtime}, {Shape(*self.shape)}"


class Finetuned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The training that a precision was fine-tuned by.

    Attributes:
        data: name of the directory of photographs.
        photos: fingerprint of the photographs.
        iterations: optimizer steps.
        batch: patches of each.
        learning_rate: the highest.
        seed: of all batches.
        range_margin: by which the trained ranges of int8 were widened.
    """

    data: str
    photos: str
    iterations: int
    batch: int
    learning_rate: float
    seed: int
    range_margin: float = 1.0


class Conversion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a lower precision was made from an fp32 artifact.

    Attributes:
        parent_sha256: of the fp32 artifact.
        kept_fp32: names of nodes that stay in float32, as given.
        excluded: names of convolutions that int8 leaves out, as given.
        calibration: for people: what ranges were measured on, and how.
        curve: what a tuning measured before it chose these names.
        curve_cost: what the costs of the curve are shares of.
        finetuned: by what training its weights became others than those of the fp32 artifact.
    """

    parent_sha256: str
    kept_fp32: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    calibration: str = ""
    curve: tuple[CurvePoint, ...] = ()
    curve_cost: CurveCost | None = None
    finetuned: Finetuned | None = None

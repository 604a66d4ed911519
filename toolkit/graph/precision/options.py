"""Options of a conversion. Which of them a precision takes is a fact of that precision (`TargetPrecision.options`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolkit.conversion import CurveCost, CurvePoint

Method = Literal["error", "percentile", "entropy", "minmax"]
"""How int8 chooses a range: by the error of what convolutions compute (`integer_fit`), or from the activations alone
(`calibration`)."""

PERCENTILE = 99.99

BETWEEN = "between"
"""A name for everything but the dense convolutions and matrix products: norms and activations, whose rounding errors
are large for the little work that they are."""


@dataclass(frozen=True)
class ConvertOptions:
    """How a precision is made.

    Attributes:
        keep_fp32: for fp16 and bf16: names of nodes that stay in float32; a name also means everything below it
            (`body.0.norm`), `norm` every norm, and `between` everything but the dense convolutions. Means over a whole
            frame always stay: the sum of two million values exceeds what half precision resolves.
        exclude: for int8: convolutions that stay in float32.
        calibration: for int8: directory of images; None takes those that ship with the toolkit.
        method: for int8: how a range is chosen. Weights are fitted to it in any case.
        percentile: for int8 and method `percentile`: of magnitudes, more than 50, at most 100.
        suffix: after the precision in the artifact's name.
        curve: of the tuning that chose the names, for the manifest.
        curve_cost: what the costs of the curve are shares of.

    Example:
        >>> toolkit.ConvertOptions(keep_fp32=("norm",)).method
        'error'
    """

    keep_fp32: tuple[str, ...] = (BETWEEN,)
    exclude: tuple[str, ...] = ()
    calibration: Path | None = None
    method: Method = "error"
    percentile: float = PERCENTILE
    suffix: str = ""
    curve: tuple[CurvePoint, ...] = ()
    curve_cost: CurveCost | None = None


DEFAULTS = ConvertOptions()

FLOAT_OPTIONS = frozenset({"keep_fp32"})
"""Options of precisions that store tensors in a smaller floating-point type."""

INTEGER_OPTIONS = frozenset({"exclude", "calibration", "method", "percentile"})
"""Options of precisions whose ranges are calibrated."""

"""fp32: the precision that networks are exported in, and that all others are compared with."""

from __future__ import annotations

from toolkit.checks import Limits
from toolkit.graph.precision.base import PrecisionFormat
from toolkit.precisions import FULL_PRECISION


class Float32(PrecisionFormat):
    """IEEE binary32."""

    name = FULL_PRECISION
    storage = "float32"
    onnx_type = "FLOAT"
    runtime_names = frozenset({"float", "float32", "f32"})
    budget = Limits(mean=0.001, worst_image=0.003, worst_patch=0.3)

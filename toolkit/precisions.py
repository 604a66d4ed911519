"""Names of the precisions. `toolkit.graph.precision` has one object for each."""

from typing import Literal

Precision = Literal["fp32", "fp16", "bf16", "int8"]
"""Names of precisions. What is known about each is in `toolkit.graph.precision`.

Example:
    >>> from typing import get_args
    >>> get_args(toolkit.Precision)
    ('fp32', 'fp16', 'bf16', 'int8')
"""

FULL_PRECISION: Precision = "fp32"
"""What networks are exported in, and what the other precisions are made from and compared with."""

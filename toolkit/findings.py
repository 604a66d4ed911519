"""What was found out about the network in an ONNX file that others exported, and by which experiment."""

from __future__ import annotations

from typing import Literal

import msgspec

Fact = Literal[
    "architecture",
    "licence of the code",
    "scale",
    "sizes",
    "value range",
    "channel order",
    "clamped",
    "receptive field",
    "padding",
]


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One fact of a contract and how it was found.

    Attributes:
        fact: what was found.
        value: the result, as text.
        evidence: the figures that decided, as text.
        given: it was stated, by the user or by the library that built the network, and not measured.
    """

    fact: Fact
    value: str
    evidence: str = ""
    given: bool = False

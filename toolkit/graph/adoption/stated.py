"""What a user states about a graph. Importing it imports no library that reads graphs."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.port import ChannelOrder

Range = tuple[float, float]
"""Values of black and white."""


@dataclass(frozen=True)
class Stated:
    """Facts that the user states, which are then not measured; None: measured.

    Attributes:
        scale: output pixels per input pixel.
        value_range: values of black and white, of input and output.
        channel_order: of input and output.
    """

    scale: int | None = None
    value_range: Range | None = None
    channel_order: ChannelOrder | None = None


NOTHING = Stated()

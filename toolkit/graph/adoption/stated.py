"""What is stated about a graph, by a user or by a library. Importing it imports no library that reads graphs."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from toolkit.findings import Finding
from toolkit.port import ChannelOrder
from toolkit.sizes import SizeRule

Range = tuple[float, float]
"""Values of black and white."""


@dataclass(frozen=True)
class Stated:
    """Facts that are stated, and then not measured; None: measured.

    Attributes:
        scale: output pixels per input pixel.
        value_range: values of black and white, of input and output.
        channel_order: of input and output.
        sizes: of the input. The graph may take others, but was not made for them.
        keep_size: the graph may only be used at the size that it was exported for, if there is one.
        by: who states them, for the manifest; empty: the user.
    """

    scale: int | None = None
    value_range: Range | None = None
    channel_order: ChannelOrder | None = None
    sizes: SizeRule | None = None
    keep_size: bool = False
    by: str = ""

    def named(self, finding: Finding) -> Finding:
        """The finding, which says who stated it if it was stated."""
        who = f"as stated by {self.by}" if self.by else "as stated"
        evidence = f"{who}; {finding.evidence}" if finding.evidence else who
        return msgspec.structs.replace(finding, evidence=evidence) if finding.given else finding


NOTHING = Stated()

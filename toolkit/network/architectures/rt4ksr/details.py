"""What a manifest says of an RT4KSR network."""

from __future__ import annotations

from typing import ClassVar

from toolkit.network.architectures.details import Details


class RT4KSRDetails(Details, frozen=True, forbid_unknown_fields=True, tag="rt4ksr"):
    """Size of an exported RT4KSR network, and whether it has the high-frequency branch.

    Attributes:
        channels: feature channels.
        blocks: number of body blocks.
        high_frequency: whether the high-frequency branch is part of the graph.
        high_frequency_reason: why it is, or why it was left out.
    """

    title: ClassVar[str] = "RT4KSR"

    channels: int
    blocks: int
    high_frequency: bool
    high_frequency_reason: str

    @property
    def size(self) -> str:
        return f"{self.channels} channels, {self.blocks} blocks"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        state = "live" if self.high_frequency else "left out"
        return (("high-frequency branch", f"{state} ({self.high_frequency_reason})"),)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (
            ("channels", str(self.channels)),
            ("blocks", str(self.blocks)),
            ("high_frequency", str(self.high_frequency)),
        )

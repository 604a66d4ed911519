"""Counts of decoded frames, and of the corrupt ones among them."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec


class Tally(msgspec.Struct, frozen=True):
    """Frames of a segment.

    Attributes:
        decoded: returned by the decoder, counted before any processing.
        corrupt: damaged, whether the decoder returned them or not.
        absent: of the corrupt ones, those that are in the container and that the decoder did not return.
        left_out: of the decoded ones, corrupt ones without a replacement.
        added: replacements of frames that the decoder did not return.
        misplaced: lost because they came late, with no time left between their neighbours.
        first_corrupt: position of the first corrupt one.
    """

    decoded: int = 0
    corrupt: int = 0
    absent: int = 0
    left_out: int = 0
    added: int = 0
    misplaced: int = 0
    first_corrupt: str = ""

    @property
    def expected(self) -> int:
        """Number of frames that must be in the output."""
        return self.decoded - self.left_out + self.added


@dataclass
class Damage:
    """Counts frames while segments are decoded in order.

    Attributes:
        arrived: times of the decoded frames that are not in a tally yet.
        tally: of the current segment, without `decoded`.
    """

    arrived: list[int] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def corrupt(self, where: str) -> None:
        """Count a corrupt frame."""
        self.add(corrupt=1)
        self.tally = msgspec.structs.replace(self.tally, first_corrupt=self.tally.first_corrupt or where)

    def add(self, **counts: int) -> None:
        """Add to fields of the tally."""
        now = {name: getattr(self.tally, name) + count for name, count in counts.items()}
        self.tally = msgspec.structs.replace(self.tally, **now)

    def close(self, stop: int | None) -> Tally:
        """The tally of a segment that ends before `stop`, after its last frame."""
        # The end of a segment is known only when the first frame after it is decoded.
        later = [] if stop is None else [pts for pts in self.arrived if pts >= stop]
        closed = msgspec.structs.replace(self.tally, decoded=len(self.arrived) - len(later))
        self.arrived, self.tally = later, Tally()
        return closed

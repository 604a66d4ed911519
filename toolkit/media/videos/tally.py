"""How many frames came out of a decoder, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec


class Tally(msgspec.Struct, frozen=True):
    """Frames of a segment.

    Attributes:
        decoded: those that the decoder gave, counted before anything is done with them.
        corrupt: those that were damaged, given or not.
        absent: of the corrupt ones, those that the container promised and the decoder did not give.
        left_out: of the decoded ones, those that were corrupt and have nothing in their place.
        added: those that stand where the decoder gave none.
        misplaced: those that came late, with no time left for them between their neighbours; they are lost.
        first_corrupt: where the first corrupt one was.
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
        """Frames that must come out."""
        return self.decoded - self.left_out + self.added


@dataclass
class Damage:
    """Counts frames, the damaged ones among them, while segments are decoded one after the other.

    Attributes:
        arrived: times of the frames that the decoder gave and that no tally holds yet.
        tally: of the segment that is being decoded, but for `decoded`.
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
        """The tally of a segment that ends before `stop` and whose frames have all been taken."""
        # Decoding goes one frame further to see that a segment has ended.
        later = [] if stop is None else [pts for pts in self.arrived if pts >= stop]
        closed = msgspec.structs.replace(self.tally, decoded=len(self.arrived) - len(later))
        self.arrived, self.tally = later, Tally()
        return closed

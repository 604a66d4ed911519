"""Which input sizes a network takes, and how images of other sizes are extended to them."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.workloads import Shape


@dataclass(frozen=True)
class SizeRule:
    """The input sizes that a network takes as they are. Images of other sizes are extended, and the result is cropped.

    Attributes:
        multiple: height and width must be multiples of this many pixels; 2 for a network that begins with
            PixelUnshuffle(2), 1 for a network that takes every size.
        smallest: least height and width in pixels.

    Raises:
        ValueError: one of them is not positive.
    """

    multiple: int
    smallest: int

    def __post_init__(self) -> None:
        if min(self.multiple, self.smallest) < 1:
            raise ValueError(f"size multiple {self.multiple} and smallest size {self.smallest} must be at least 1")

    def __str__(self) -> str:
        """For people: `even`, `multiples of 4, at least 16`."""
        names = {1: "any", 2: "even"}
        smallest = f", at least {self.padded(1)}" if self.smallest > self.multiple else ""
        return names.get(self.multiple, f"multiples of {self.multiple}") + smallest

    def padded(self, side: int) -> int:
        """The smallest height or width >= `side` that the network takes."""
        return -(-max(side, self.smallest) // self.multiple) * self.multiple

    def extended(self, shape: Shape) -> Shape:
        """The smallest size that the network takes and that contains `shape`."""
        return Shape(*(self.padded(side) for side in shape.sides))

    def within(self, shape: Shape) -> Shape:
        """The largest size that is a multiple as required and fits into `shape`; 0 where none does."""
        return Shape(*(side // self.multiple * self.multiple for side in shape.sides))

    def refusal(self, shape: Shape) -> str:
        """Why the network does not take a size as it is, to follow the size; empty when it does."""
        if any(side % self.multiple for side in shape.sides):
            return "is not even" if self.multiple == 2 else f"is not a multiple of {self.multiple} in height and width"
        return f"is smaller than {self.padded(1)} pixels" if min(shape.sides) < self.padded(1) else ""


EVEN = SizeRule(2, 2)
"""Of networks that begin with PixelUnshuffle(2)."""


def reflected_indices(size: int, target: int) -> list[int]:
    """Source index of each of `target` positions when `size` samples are extended at the end by reflection.

    The edge sample is not repeated, and the reflection bounces when `target` exceeds 2*size-1 (as `numpy.pad` with
    mode "reflect"). A single sample can only repeat itself.

    PyTorch networks, sessions and graphs of a fixed size all extend images by this rule, so that their results can be
    compared, borders included.
    """
    if size == 1:
        return [0] * target
    period = 2 * (size - 1)
    return [min(i % period, period - i % period) for i in range(target)]

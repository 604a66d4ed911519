"""A graph that takes only some sizes as a function of frames of any size, as sessions run it."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.port import Frame, Port
from toolkit.sizes import SizeRule, reflected_indices


def for_any_size(
    function: Callable[[Frame], Frame], given: Port, returned: Port, scale: int, sizes: SizeRule
) -> Callable[[Frame], Frame]:
    """Extend frames by reflection to sizes that `function` takes, and crop its results."""

    def extended(frame: Frame) -> Frame:
        shape = given.size_of(frame)
        rows, columns = (reflected_indices(side, sizes.padded(side)) for side in shape.sides)
        result = function(given.taken(frame, rows, columns))
        target = shape.upscaled(scale)
        return returned.region(result, slice(target.height), slice(target.width))

    return extended

"""Finds the scale of a graph and the sizes that it takes, by running it at many sizes."""

from __future__ import annotations

import itertools

from toolkit.errors import InputError
from toolkit.findings import Finding
from toolkit.graph.adoption.ends import Ends, Function
from toolkit.sizes import SizeRule
from toolkit.system.foreign import first_line
from toolkit.workloads import Shape

LARGEST_SCALE = 8
_TRIED = Shape(64, 64), Shape(64, 128)
"""Multiples of all block sizes of the field (2 to 64 for one of them), and not of the same proportions."""
_MULTIPLES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_AROUND = 40
"""Pixels around which multiples are tried: small, so that it is fast, and larger than most windows."""
_LARGEST_SMALLEST = 256
_LONGEST_REASON = 120


def measured_scale(ends: Ends, function: Function) -> tuple[int, Finding]:
    """The scale, from two sizes of different proportions; from the one size of graphs of fixed size.

    Raises:
        InputError: results are not larger by one whole number, the same for height and width.
    """
    tried = _TRIED if ends.fixed is None else (ends.fixed,)
    answers = [_factor(ends, function, shape) for shape in tried]
    factors = {answer for answer in answers if isinstance(answer, int)}
    if len(factors) != 1 or not all(isinstance(answer, int) for answer in answers):
        texts = "; ".join(
            f"{shape} gives {f'x{answer}' if isinstance(answer, int) else answer}"
            for shape, answer in zip(tried, answers, strict=True)
        )
        raise InputError(
            f"it does not scale images by one whole number from 1 to {LARGEST_SCALE} ({texts})",
            "Export a network from one image to one image, with dynamic height and width.",
        )
    scale = factors.pop()
    evidence = ", ".join(f"{shape} becomes {shape.upscaled(scale)}" for shape in tried)
    return scale, Finding("scale", f"x{scale}", evidence)


def measured_sizes(
    ends: Ends, function: Function, scale: int, stated: SizeRule | None = None
) -> tuple[SizeRule, Finding]:
    """The size multiple and the smallest size, by trying.

    Args:
        ends: of the graph.
        function: it.
        scale: of it.
        stated: the network was made for these sizes only; other ones are not tried.

    Raises:
        InputError: no multiple up to 64 works, or nothing smaller than 256 pixels.
    """
    if ends.fixed is not None:
        # Sessions extend smaller images to the fixed size; the rule says nothing more.
        return SizeRule(1, 1), Finding("sizes", f"only {ends.fixed}", "the graph has a fixed size")
    least = stated or SizeRule(1, 1)
    multiple, refusal = _multiple(ends, function, scale, least.multiple)
    rule = SizeRule(multiple, max(_smallest(ends, function, scale, multiple), least.smallest))
    tried = "these sizes run" if stated else "odd and even sizes run"
    return rule, Finding("sizes", str(rule), refusal or tried, given=stated is not None and multiple == stated.multiple)


def _factor(ends: Ends, function: Function, shape: Shape) -> int | str:
    """The scale at a size, or what went wrong."""
    port = ends.given((0.0, 1.0), "Y" if ends.grey else "RGB")
    try:
        result = function(ends.black(shape))
    except MemoryError as error:
        raise InputError(
            f"it needs more memory than there is for an image of {shape}: {first_line(error)}",
            "Export a network whose tensors are not much larger than its image.",
        ) from error
    except Exception as error:  # noqa: BLE001  (the reference implementation raises anything for sizes that do not fit)
        return f"an error: {first_line(error)}"[:_LONGEST_REASON]
    if result.ndim != len(port.shape) or result.shape[port.channel_axis] != ends.channels:
        return f"an array {result.shape}"
    found = port.size_of(result)
    factor = found.height // shape.height
    if found == shape.upscaled(factor) and 1 <= factor <= LARGEST_SCALE:
        return factor
    return str(found)


def _multiple(ends: Ends, function: Function, scale: int, least: int) -> tuple[int, str]:
    """The smallest multiple of `least` for which three sizes in a row work, and why smaller ones did not."""
    refusal = ""
    for multiple in (least * factor for factor in _MULTIPLES if least * factor <= max(least, _MULTIPLES[-1])):
        first = -(-_AROUND // multiple)
        sides = [multiple * count for count in range(first, first + 3)]
        shapes = [Shape(height, width) for height, width in itertools.pairwise([*sides, sides[0]])]
        answers = ((shape, _factor(ends, function, shape)) for shape in shapes)
        failed = next((f"{shape} gives {answer}" for shape, answer in answers if answer != scale), None)
        if failed is None:
            return multiple, refusal
        refusal = refusal or failed
    raise InputError(
        f"it takes no sizes in multiples of up to {_MULTIPLES[-1]} ({refusal})",
        "Export it with dynamic height and width, and padding inside the graph.",
    )


def _smallest(ends: Ends, function: Function, scale: int, multiple: int) -> int:
    """The smallest side from which on three sizes in a row work."""
    sides = range(multiple, _LARGEST_SMALLEST, multiple)
    for index, side in enumerate(sides):
        row = sides[index : index + 3]
        if all(_factor(ends, function, Shape(other, other)) == scale for other in row):
            return side
    raise InputError(f"it takes no image smaller than {_LARGEST_SMALLEST} pixels", "Export it for smaller images.")

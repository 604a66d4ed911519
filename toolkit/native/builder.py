"""Builds a program step by step: starts stages, appends operations to them, and adds line buffers on demand.

Each value of the graph has a representation (`values.Known`). An operation is appended to the stage that computed its
operand if the operand is the newest value of that stage; the tile holds no older value any more. An older value is
stored in a line buffer at the place where it was current, and a new stage reads it from there.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx_ir as ir

from toolkit.native.program import (
    Affine,
    Buffer,
    Copy,
    Floats,
    Format,
    Operation,
    Origin,
    ReadFrame,
    Repeat,
    Shuffle,
    Source,
    Stage,
    Store,
    Unshuffle,
)
from toolkit.native.values import Enlarged, Image, Known, Shuffled, Tensor, unsupported
from toolkit.precisions import Precision

_LARGEST_BLOCK = 4
"""Largest factor of an unshuffle between stages: `headers/line_buffer.h` has lanes after a row for no larger one."""


class ProgramBuilder:
    """A program that is being built.

    Attributes:
        stages: in execution order.
        buffers: line buffers, in order of creation.
        executed: precision of each node so far, by node name.
    """

    def __init__(self, image: ir.Value, colours: int) -> None:
        """`image`: the input of the graph; `colours`: its number of channels."""
        self.stages: list[Stage] = []
        self.buffers: list[Buffer] = []
        self.executed: dict[str, Precision] = {}
        self._known: dict[ir.Value, Known] = {image: Image(1.0)}
        self._colours = colours
        self._images: dict[tuple[float, int], int] = {}
        self._resampled: dict[Shuffled | Enlarged, Tensor] = {}

    def represent(self, value: ir.Value, known: Known) -> None:
        """Set the representation of a value."""
        self._known[value] = known

    def tensor(self, node: ir.Node, index: int = 0) -> Tensor:
        """An operand as a tensor of a stage."""
        return self.found(node.inputs[index], node)

    def found(self, value: ir.Value | None, node: ir.Node | None) -> Tensor:
        """A value as a tensor of a stage; the input frame and pending resamplings get a stage of their own."""
        return self.as_tensor(self.known(value, node), node)

    def as_tensor(self, known: Known, node: ir.Node | None) -> Tensor:
        """What `found` does, for a value that is known already."""
        known = self.resampled(known)
        if isinstance(known, Image):
            return self.image(known, 1)
        if isinstance(known, Tensor):
            return known
        raise unsupported(
            node, f"reads a {type(known).__name__.lower()} tensor, which is supported for convolutions only"
        )

    def known(self, value: ir.Value | None, node: ir.Node | None) -> Known:
        """The representation of a value."""
        if value is None or value not in self._known:
            raise unsupported(node, "reads a value that is neither an image nor a constant")
        return self._known[value]

    def image(self, image: Image, factor: int) -> Tensor:
        """A stage that reads the input frame as float32 rows, with pixel unshuffle by `factor`; shared by all its
        readers.
        """
        key = image.factor, factor
        if key not in self._images:
            channels = self._colours * factor**2
            tensor = self.begin(ReadFrame(factor), channels, Fraction(1, factor))
            self._images[key] = tensor.stage
            if image.factor != 1:
                self.stages[tensor.stage].operations.append(affine(channels, scale=image.factor))
        stage = self.stages[self._images[key]]
        return Tensor(self._images[key], stage.operations[0] if image.factor != 1 else None)

    def begin(self, origin: Origin, channels: int, size: Fraction) -> Tensor:
        """Start a new stage."""
        self.stages.append(Stage(origin, channels, size))
        return Tensor(len(self.stages) - 1, None)

    def append(self, tensor: Tensor, operation: Operation, node: ir.Node | None, after: int = -1) -> Tensor:
        """Apply an operation to a tensor, in its own stage if the tensor is the newest value there, else in a new one.

        Args:
            tensor: the operand.
            operation: what is applied.
            node: the graph node it stands for, if any.
            after: index of a stage whose buffer the operation reads. The operation must be in a later stage, because
                stages compute their rows in order.
        """
        if not self.is_newest(tensor) or tensor.stage <= after:
            source = Source(self.buffer(tensor, "float"))
            tensor = self.begin(Copy(source), self.channels(tensor), self.size(tensor))
        stage = self.stages[tensor.stage]
        stage.operations.append(operation)
        if node is not None:
            stage.nodes.append(str(node.name))
        return Tensor(tensor.stage, operation)

    def buffer(self, tensor: Tensor, format: Format, steps: float = 1.0, reflect: bool = False) -> int:  # noqa: A002
        """The line buffer that holds a tensor in a format; it is created on first use.

        The Store goes directly after the operation that computes the tensor, next to stores of the same value in other
        formats, because later operations of the stage overwrite the tile.
        """
        operations = self.stages[tensor.stage].operations
        place = 0 if tensor.after is None else operations.index(tensor.after) + 1
        while place < len(operations) and isinstance(store := operations[place], Store):
            present = self.buffers[store.buffer]
            if (present.format, present.steps, present.reflect) == (format, steps, reflect):
                return store.buffer
            place += 1
        self.buffers.append(Buffer(tensor.stage, self.channels(tensor), format, steps, reflect))
        operations.insert(place, Store(len(self.buffers) - 1))
        return len(self.buffers) - 1

    def is_newest(self, tensor: Tensor) -> bool:
        """Whether the tile still holds this value at the end of its stage. Stores do not change the tile."""
        done = [item for item in self.stages[tensor.stage].operations if not isinstance(item, Store)]
        return (done[-1] if done else None) is tensor.after

    def channels(self, tensor: Tensor) -> int:
        return self.stages[tensor.stage].channels

    def size(self, tensor: Tensor) -> Fraction:
        return self.stages[tensor.stage].size

    def resampled(self, known: Known) -> Known:
        """A value whose pending shuffle or upsampling is done by a stage, one for all its readers; other values as they
        are.
        """
        if not isinstance(known, Shuffled | Enlarged):
            return known
        if known not in self._resampled:
            tensor = self.image(known.tensor, 1) if isinstance(known.tensor, Image) else known.tensor
            # Every row is read `factor` times, so a resampling reads a line buffer instead of the tile.
            source = Source(self.buffer(tensor, "float"), Fraction(1, known.factor))
            size = self.size(tensor) * known.factor
            if isinstance(known, Enlarged):
                made = self.begin(Repeat(source, known.factor), self.channels(tensor), size)
            else:
                made = self.begin(Shuffle(source, known.factor), self.channels(tensor) // known.factor**2, size)
            self._resampled[known] = made
        return self._resampled[known]

    def unshuffled(self, known: Tensor | Image, factor: int, node: ir.Node | None) -> Tensor:
        """A tensor after pixel unshuffle; of the input frame, the stage that reads it does the unshuffle."""
        if isinstance(known, Image):
            return self.image(known, factor)
        if factor > _LARGEST_BLOCK:
            raise unsupported(node, f"needs an unshuffle by {factor}; factors up to {_LARGEST_BLOCK} are supported")
        channels, size = self.channels(known), self.size(known)
        reach = (0, factor - 1)
        source = Source(self.buffer(known, "float"), Fraction(factor), reach, reach)
        return self.begin(Unshuffle(source, channels, factor), channels * factor**2, size / factor)


def affine(channels: int, scale: float | Floats = 1.0, shift: float | Floats = 0.0) -> Affine:
    """x * scale + shift, with single values repeated for all channels."""
    full = [np.broadcast_to(np.asarray(value, np.float32), (channels,)).copy() for value in (scale, shift)]
    return Affine(full[0], full[1])

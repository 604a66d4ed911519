"""Hyper-parameters of SPAN networks, and what a manifest says of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from toolkit.network.architectures.configuration import Configuration, check_sizes
from toolkit.network.architectures.details import Details
from toolkit.sizes import SizeRule

Mean = Literal["div2k", "zero"]
"""What is subtracted from the input: the mean colour of DIV2K, or nothing."""


@dataclass(frozen=True)
class SPANConfig(Configuration):
    """Hyper-parameters of a SPAN network. The defaults are those of the published code.

    Attributes:
        channels: feature channels.
        blocks: of three convolutions each; the published networks have 6.
        gain: factor by which the convolutions of the training form widen their channels inside; None: plain 3x3
            convolutions, which is what they become when they are merged.
        norm: whether the input is normalised: the mean is subtracted, and the result multiplied by `image_range`.
            Files of networks without it have a tensor `no_norm`.
        image_range: of the normalised input. The tensors' shapes do not determine it.
        mean: that is subtracted. The tensors' shapes do not determine it.

    Raises:
        ValueError: a value is out of range.
    """

    architecture: ClassVar[str] = "span"

    scale: int = 2
    channels: int = 48
    blocks: int = 6
    gain: int | None = 2
    norm: bool = True
    image_range: float = 255.0
    mean: Mean = "div2k"

    def __post_init__(self) -> None:
        check_sizes(self, {"channels": 4096, "blocks": 1024, "gain": 64})
        if not 0 < self.image_range <= 65535:
            raise ValueError(f"image_range must be positive and at most 65535, got {self.image_range}")

    @property
    def sizes(self) -> SizeRule:
        return SizeRule(1, 1)

    def fused(self) -> SPANConfig:
        return replace(self, gain=None)

    @property
    def normalisation(self) -> str:
        """For people: `(x - DIV2K mean) * 255`."""
        subtracted = "(x - DIV2K mean)" if self.mean == "div2k" else "x"
        return f"{subtracted} * {self.image_range:g}" if self.norm else "none"


class SPANDetails(Details, frozen=True, forbid_unknown_fields=True, tag="span"):
    """Size of an exported SPAN network, and how it normalises its input.

    Attributes:
        channels: feature channels.
        blocks: of three convolutions each.
        normalisation: of the input, for people.
        normalisation_reason: how it is known.
    """

    title: ClassVar[str] = "SPAN"

    channels: int
    blocks: int
    normalisation: str
    normalisation_reason: str

    @property
    def size(self) -> str:
        return f"{self.channels} channels, {self.blocks} blocks"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        return (("input normalisation", f"{self.normalisation} ({self.normalisation_reason})"),)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("channels", str(self.channels)), ("blocks", str(self.blocks)))

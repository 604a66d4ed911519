"""Hyper-parameters of Compact networks, and what a manifest says of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from toolkit.network.architectures.configuration import Configuration, check_sizes
from toolkit.network.architectures.details import Details
from toolkit.sizes import SizeRule


@dataclass(frozen=True)
class CompactConfig(Configuration):
    """Hyper-parameters of a Compact network. The defaults are those of the published `SRVGGNetCompact`.

    Attributes:
        channels: feature channels (`num_feat`).
        convolutions: between the first and the last (`num_conv`).
        prelu: whether activations are PReLU, with a learned slope per channel.
        slope: of the activations for negative values: of LeakyReLU, or 0 for ReLU; of PReLU, before training. The only
            field that the tensors' shapes do not determine.

    Raises:
        ValueError: a value is out of range.
    """

    architecture: ClassVar[str] = "compact"

    scale: int = 2
    channels: int = 64
    convolutions: int = 16
    prelu: bool = True
    slope: float = 0.25

    def __post_init__(self) -> None:
        check_sizes(self, {"channels": 4096, "convolutions": 1024})
        if not 0 <= self.slope <= 1:
            raise ValueError(f"slope must be between 0 and 1, got {self.slope}")

    @property
    def sizes(self) -> SizeRule:
        return SizeRule(1, 1)

    def fused(self) -> CompactConfig:
        return self

    @property
    def activation(self) -> str:
        """For people: `PReLU`, `ReLU`, `LeakyReLU 0.1`."""
        return "PReLU" if self.prelu else f"LeakyReLU {self.slope:g}" if self.slope else "ReLU"


class CompactDetails(Details, frozen=True, forbid_unknown_fields=True, tag="compact"):
    """Size and activation of an exported Compact network.

    Attributes:
        channels: feature channels.
        convolutions: between the first and the last.
        activation: for people.
        activation_reason: how it is known.
    """

    title: ClassVar[str] = "Compact"

    channels: int
    convolutions: int
    activation: str
    activation_reason: str

    @property
    def size(self) -> str:
        return f"{self.channels} channels, {self.convolutions} convolutions"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        return (("activation", f"{self.activation} ({self.activation_reason})"),)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("channels", str(self.channels)), ("convolutions", str(self.convolutions)))

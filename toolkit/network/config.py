"""What a checkpoint's tensor shapes say about a network, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["training", "fused"]
"""`training`: 1x1-3x3-1x1 blocks with identities; `fused`: each block merged into one 3x3 convolution."""

RELEASED_SCALES = (2, 3)

UNSHUFFLE = 2
"""The deep branch works at half the input's height and width."""


@dataclass(frozen=True)
class NetworkConfig:
    """Hyper-parameters of an RT4KSR network.

    Attributes:
        scale: upscaling factor of height and width.
        channels: feature channels C of the deep branch (24 as released).
        blocks: number of body blocks (4 as released).
        hidden: channels between the two 1x1 convolutions of a reparameterizable block (2C as released);
            None in fused form, where that number no longer exists.
        high_frequency: whether the high-frequency branch takes part in the output.
    """

    scale: int = 2
    channels: int = 24
    blocks: int = 4
    hidden: int | None = 48
    high_frequency: bool = False

    def __post_init__(self) -> None:
        for name in ("scale", "channels", "blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def form(self) -> Form:
        return "fused" if self.hidden is None else "training"

    @property
    def output_channels(self) -> int:
        """Channels before the final pixel shuffle."""
        return 3 * (UNSHUFFLE * self.scale) ** 2

    @property
    def minimum_size(self) -> int:
        """Smallest even height and width the network itself takes: the blur's reflection by 2 needs 3 rows."""
        return 4 if self.high_frequency else 2

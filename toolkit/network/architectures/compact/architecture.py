"""Compact as the toolkit's other parts see it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from toolkit.errors import CheckpointError
from toolkit.network.architectures.architecture import Architecture, Found
from toolkit.network.architectures.compact.config import CompactConfig, CompactDetails

if TYPE_CHECKING:
    from torch import Tensor

    from toolkit.network.architectures.compact.model import Compact

_LANDMARKS = ("body.0.weight", "body.2.weight")
"""The first two convolutions: a PReLU between them has a weight named body.1.weight, another activation has none."""


_PUBLISHED = CompactConfig()


class CompactArchitecture(Architecture[CompactConfig, "Compact"]):
    """`SRVGGNetCompact` of Real-ESRGAN (Wang et al., ICCVW 2021), the usual small network for animation and video."""

    name: ClassVar[str] = CompactConfig.architecture
    title: ClassVar[str] = CompactDetails.title
    landmark: ClassVar[str] = _LANDMARKS[0]
    hint: ClassVar[str] = "Compact weights have body.0, body.2, ... (3x3 convolutions)."
    presets: ClassVar[Mapping[str, CompactConfig]] = MappingProxyType(
        {
            "compact": _PUBLISHED,
            "compact-ultra": replace(_PUBLISHED, convolutions=8),
            "compact-superultra": replace(_PUBLISHED, channels=24, convolutions=8),
            "compact-light": replace(_PUBLISHED, channels=16, convolutions=3),
        }
    )
    default: ClassVar[str] = "compact"
    usual_scales: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    not_in_tensors: ClassVar[frozenset[str]] = frozenset({"slope"})

    def build(self, config: CompactConfig) -> Compact:
        from toolkit.network.architectures.compact.model import Compact

        return Compact(config)

    def prefixes(self, tensors: Mapping[str, Tensor]) -> list[str]:
        from toolkit.network.architectures.tensors import prefixes_with

        return prefixes_with(tensors, *_LANDMARKS)

    def recognise(self, tensors: Mapping[str, Tensor], where: str) -> Found[CompactConfig]:
        from toolkit.network.architectures.tensors import matched, scale_of, size

        layers = [int(found[1]) for name in tensors if (found := re.fullmatch(r"body\.(\d{1,4})\.weight", name))]
        prelu, last = "body.1.weight" in tensors, max(layers)
        try:
            config = CompactConfig(
                scale=scale_of(tensors, f"body.{last}.weight", 1, where),
                channels=size(tensors[_LANDMARKS[0]], 0),
                convolutions=last // 2 - 1,
                prelu=prelu,
                slope=_PUBLISHED.slope if prelu else 0.0,
            )
        except ValueError as error:
            raise CheckpointError(
                f"{where} has Compact's names, but does not fit any configuration: {error}"
            ) from error

        def refused(differences: str) -> CheckpointError:
            size = f"x{config.scale}, {self.details(config).size}, {config.activation}"
            return CheckpointError(f"{where} is close to Compact but differs: {differences}", f"Its shapes say {size}.")

        return Found(config, matched(tensors, lambda: self.build(config), str, refused), "released", str)

    def candidates(self, config: CompactConfig) -> tuple[CompactConfig, ...]:
        return (config,) if config.prelu else tuple(replace(config, slope=slope) for slope in (0.0, 0.1))

    def details(self, config: CompactConfig, reason: str = "") -> CompactDetails:
        reason = "its slopes are in the weights" if config.prelu else reason or "as configured"
        return CompactDetails(config.channels, config.convolutions, config.activation, reason)

    def fitted_start(self, network: Compact, low: Tensor, high: Tensor) -> None:
        """Fit the last convolution to what the nearest neighbours lack."""
        from toolkit.network.filters import repeated
        from toolkit.network.fitting import fit_last

        scale = network.config.scale
        fit_last(network, network.last, scale, low, high - repeated(low, scale))

    def file_stem(self, config: CompactConfig) -> str:
        """`compact_x2`, with the preset's name or what differs: `compact_x4_c48n10`, `compact_x4_relu`."""
        size = replace(config, prelu=True, slope=_PUBLISHED.slope)
        preset = self.preset_of(size)
        variant = f"c{config.channels}n{config.convolutions}" if preset is None else preset.removeprefix("compact")
        kind = "" if config.prelu else "relu" if not config.slope else "leaky"
        return "_".join(filter(None, (f"compact_x{config.scale}", variant.strip("-"), kind)))

    def traits(self, config: CompactConfig) -> Mapping[str, str]:
        return {"C": str(config.channels), "convolutions": str(config.convolutions), "activation": config.activation}

"""The list of all network architectures. Importing it does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from toolkit.network.architectures.architecture import Architecture
from toolkit.network.architectures.compact.architecture import CompactArchitecture
from toolkit.network.architectures.compact.config import CompactDetails
from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.rt4ksr.architecture import RT4KSRArchitecture
from toolkit.network.architectures.rt4ksr.details import RT4KSRDetails
from toolkit.network.architectures.span.architecture import SPANArchitecture
from toolkit.network.architectures.span.config import SPANDetails
from toolkit.system.extras import how_to_install

AnyArchitecture: TypeAlias = Architecture[Any, Any]

AnyDetails: TypeAlias = RT4KSRDetails | CompactDetails | SPANDetails
"""The union of all architectures' details, for decoding manifests: JSON names the architecture in `architecture`."""

ARCHITECTURES: Mapping[str, AnyArchitecture] = MappingProxyType(
    {
        architecture.name: architecture
        for architecture in (RT4KSRArchitecture(), CompactArchitecture(), SPANArchitecture())
    }
)
"""All of them, by name."""

DEFAULT: AnyArchitecture = next(iter(ARCHITECTURES.values()))
"""The architecture of the weights that ship with the toolkit, and of what is trained unless another preset is named."""

MORE_ARCHITECTURES = how_to_install("architectures")
"""Installs spandrel, which builds networks of other architectures: see `toolkit.network.spandrel`."""

PRESETS: Mapping[str, Configuration] = MappingProxyType(
    {name: config for architecture in ARCHITECTURES.values() for name, config in architecture.presets.items()}
)
"""The presets of all architectures, for x2; `dataclasses.replace(PRESETS[name], scale=3)` is the same for x3."""


def architecture_of(config: Configuration) -> AnyArchitecture:
    """The architecture of a configuration."""
    return ARCHITECTURES[config.architecture]

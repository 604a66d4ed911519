"""The list of all network architectures. Importing it does not import torch."""

from __future__ import annotations

from typing import TypeAlias

from toolkit.network.architectures.rt4ksr.details import RT4KSRDetails

AnyDetails: TypeAlias = RT4KSRDetails
"""The union of all architectures' details, for decoding manifests: JSON names the architecture in `architecture`."""

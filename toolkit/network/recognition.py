"""Finding the one set of weights among a file's tensors, and the architecture that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.architectures.architecture import Found
from toolkit.network.architectures.registry import ARCHITECTURES, AnyArchitecture
from toolkit.network.architectures.tensors import listed


@dataclass(frozen=True)
class _Place:
    """Where weights of an architecture are: the group in the file ("" = at the top), and what precedes every name."""

    architecture: AnyArchitecture
    entry: str
    prefix: str

    @property
    def label(self) -> str:
        return ".".join(part for part in (self.entry, self.prefix.rstrip(".")) if part) or "(top)"


def recognise(
    groups: Mapping[str, Mapping[str, Tensor]], where: str, entry: str | None = None
) -> tuple[AnyArchitecture, Found[Any]]:
    """Find the one set of weights among a file's groups of tensors, by names and shapes alone.

    Args:
        groups: see `reading.Contents.groups`.
        where: the file, for messages.
        entry: which set to take when there are several (for instance plain and EMA weights).

    Raises:
        CheckpointError: none, several, or not quite those of a known architecture; the message lists missing,
            unexpected and misshapen tensors.
    """
    places = [
        _Place(architecture, group, prefix)
        for group, tensors in groups.items()
        for architecture in ARCHITECTURES.values()
        for prefix in architecture.prefixes(tensors)
    ]
    place = _only(places, groups, where, entry)
    tensors = {
        name.removeprefix(place.prefix): tensor
        for name, tensor in groups[place.entry].items()
        if name.startswith(place.prefix)
    }
    return place.architecture, place.architecture.recognise(tensors, where)


def titles() -> str:
    """The architectures that are recognised, for messages: `RT4KSR`, or `A, B or C`."""
    *first, last = (architecture.title for architecture in ARCHITECTURES.values())
    return f"{', '.join(first)} or {last}" if first else last


def _only(places: list[_Place], groups: Mapping[str, Mapping[str, Tensor]], where: str, entry: str | None) -> _Place:
    labels = listed(place.label for place in places)
    if entry is not None:
        places = [place for place in places if entry in (place.label, place.entry)]
        if not places:
            raise CheckpointError(f"{where} has no {titles()} weights under {entry!r}", f"It has: {labels}.")
    if not places:
        missing = " and ".join(architecture.landmark for architecture in ARCHITECTURES.values())
        unexpected = listed(name for tensors in groups.values() for name in tensors)
        raise CheckpointError(
            f"{where} contains the weights of another network: {missing} {'are' if ' ' in missing else 'is'} missing; "
            f"it has {unexpected}",
            " ".join(architecture.hint for architecture in ARCHITECTURES.values()),
        )
    if len(places) > 1:
        raise CheckpointError(f"{where} holds several sets of {titles()} weights: {labels}", "Choose one with --entry.")
    return places[0]

"""Finding the one set of weights among a file's tensors, and the architecture that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from toolkit.errors import CheckpointError, UnknownNetwork, suggestion
from toolkit.network.architectures.architecture import Found
from toolkit.network.architectures.registry import ARCHITECTURES, MORE_ARCHITECTURES, AnyArchitecture
from toolkit.network.architectures.tensors import listed
from toolkit.network.families import check_family


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
    groups: Mapping[str, Mapping[str, Tensor]], where: str, entry: str | None = None, architecture: str | None = None
) -> tuple[AnyArchitecture, Found[Any]]:
    """Find the one set of weights among a file's groups of tensors, by names and shapes alone.

    Args:
        groups: see `reading.Contents.groups`.
        where: the file, for messages.
        entry: which set to take when there are several (for instance plain and EMA weights).
        architecture: name of the only architecture to look for.

    Raises:
        UnknownNetwork: there are none of a known architecture.
        CheckpointError: several, or not quite those of a known architecture; the message lists missing, unexpected and
            misshapen tensors.
    """
    if architecture is not None and architecture not in ARCHITECTURES:
        raise CheckpointError(f"there is no architecture {architecture!r}", suggestion(architecture, ARCHITECTURES))
    places = [
        _Place(item, group, prefix)
        for group, tensors in groups.items()
        for item in ARCHITECTURES.values()
        for prefix in item.prefixes(tensors)
    ]
    if architecture is not None:
        places = _of_architecture(places, ARCHITECTURES[architecture], where)
    return _fitting(_at_one_place(places, groups, where, entry), groups, where)


def _of_architecture(places: list[_Place], wanted: AnyArchitecture, where: str) -> list[_Place]:
    """The places of one architecture.

    Raises:
        CheckpointError: there are only those of others.
    """
    chosen = [place for place in places if place.architecture is wanted]
    if places and not chosen:
        others = " and ".join(sorted({place.architecture.title for place in places}))
        raise CheckpointError(f"{where} holds no {wanted.title} weights", f"Its tensors are those of {others}.")
    return chosen


def _fitting(
    places: list[_Place], groups: Mapping[str, Mapping[str, Tensor]], where: str
) -> tuple[AnyArchitecture, Found[Any]]:
    """The one architecture whose configurations the tensors at a place fit.

    Raises:
        CheckpointError: they fit none, or several.
    """
    fitting, refusals = [], []
    for place in places:
        tensors = {
            name.removeprefix(place.prefix): tensor
            for name, tensor in groups[place.entry].items()
            if name.startswith(place.prefix)
        }
        try:
            fitting.append((place.architecture, place.architecture.recognise(tensors, where)))
        except CheckpointError as error:
            refusals.append(error)
    if len(fitting) > 1:
        names = " and ".join(architecture.title for architecture, _ in fitting)
        options = " or ".join(f"--architecture {architecture.name}" for architecture, _ in fitting)
        raise CheckpointError(f"{where} fits {names} alike", f"Choose with {options}.")
    if not fitting:
        raise refusals[0]
    return fitting[0]


def titles() -> str:
    """The architectures that are recognised, for messages: `RT4KSR`, or `A, B or C`."""
    *first, last = (architecture.title for architecture in ARCHITECTURES.values())
    return f"{', '.join(first)} or {last}" if first else last


def _at_one_place(
    places: list[_Place], groups: Mapping[str, Mapping[str, Tensor]], where: str, entry: str | None
) -> list[_Place]:
    """The places of one set of weights: several where several architectures have landmarks in it.

    Raises:
        CheckpointError: there is none, or there are several sets.
    """
    labels = listed({place.label for place in places})
    if entry is not None:
        chosen = [place for place in places if entry in (place.label, place.entry)]
        if places and not chosen:
            raise CheckpointError(f"{where} has no {titles()} weights under {entry!r}", f"It has: {labels}.")
        places = chosen
    if not places:
        check_family(groups, where)
        unexpected = listed(name for tensors in groups.values() for name in tensors)
        raise UnknownNetwork(
            f"{where} contains the weights of another network: {_missing()}; it has {unexpected}",
            " ".join(architecture.hint for architecture in ARCHITECTURES.values())
            + f" More architectures: {MORE_ARCHITECTURES}.",
        )
    if len({(place.entry, place.prefix) for place in places}) > 1:
        raise CheckpointError(f"{where} holds several sets of {titles()} weights: {labels}", "Choose one with --entry.")
    return places


def _missing() -> str:
    """What no file without known weights has: `a (A), b (B) and c (C) are missing`."""
    landmarks = [f"{architecture.landmark} ({architecture.title})" for architecture in ARCHITECTURES.values()]
    return f"{', '.join(landmarks[:-1])} and {landmarks[-1]} are missing"

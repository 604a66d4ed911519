"""Hyper-parameters of a network, whatever its architecture: the base class, and how files and people give them."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

from toolkit.sizes import SizeRule

LARGEST_SCALE = 16

Fields = dict[str, int | float | str | bool | None]
"""A configuration as JSON and TOML hold it."""


@dataclass(frozen=True)
class Configuration(ABC):
    """Hyper-parameters of a network. Each architecture derives a frozen dataclass of plain values from it.

    Attributes:
        architecture: the name under which `registry` knows the architecture.
        later: names of fields that were added later. Files leave out their defaults, so that a network has the same
            bytes in every version.
        scale: upscaling factor of height and width.
    """

    architecture: ClassVar[str]
    later: ClassVar[frozenset[str]] = frozenset()

    scale: int

    @property
    @abstractmethod
    def sizes(self) -> SizeRule:
        """The input sizes that the network itself takes; others are extended and the result is cropped."""

    @property
    def whole_frame(self) -> bool:
        """Whether an output pixel depends on the whole input, so that a frame cannot be cut into parts."""
        return False

    @abstractmethod
    def fused(self) -> Self:
        """The configuration of the same network with every mergeable block merged; itself where there is none."""

    def fields(self) -> Fields:
        """Values by name, for files: all but the default ones of `later`."""
        usual = {field.name: field.default for field in dataclasses.fields(self) if field.name in self.later}
        return {name: value for name, value in dataclasses.asdict(self).items() if usual.get(name, ...) != value}


C = TypeVar("C", bound=Configuration)


def check_sizes(config: Configuration, largest: Mapping[str, int]) -> None:
    """Check that the scale and other counts are sound, so that a file cannot ask for more memory than a machine has.

    Args:
        config: to check; a count may be None.
        largest: by field name, beyond any network for video.

    Raises:
        ValueError: a count is less than 1, or more than that.
    """
    for name, most in {"scale": LARGEST_SCALE, **largest}.items():
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
        if value is not None and value > most:
            raise ValueError(f"{name} must be at most {most}, got {value}")


def configured(base: C, fields: Mapping[str, Any]) -> C:
    """`base` with other values for some fields, from a file or a command line.

    Raises:
        ValueError: an unknown field, or a value that it cannot have; the message names the field.
    """
    known = get_type_hints(type(base))
    known = {field.name: known[field.name] for field in dataclasses.fields(base)}
    if unknown := fields.keys() - known.keys():
        raise ValueError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name, value in fields.items():
        kind = known[name]
        if get_origin(kind) is Literal:
            if value not in get_args(kind):
                raise ValueError(f"{name} is one of {', '.join(get_args(kind))}, not {value!r}")
        # Not `isinstance`: True is an int.
        elif type(value) not in (get_args(kind) or (kind,)):
            raise ValueError(f"{name} cannot be {value!r}")
    return dataclasses.replace(base, **fields)


def from_text(base: Configuration, fields: Mapping[str, str]) -> dict[str, Any]:
    """Values of fields as they are typed: `0.1`, `true`, a name.

    Raises:
        ValueError: an unknown field, or text that is no value of its type; the message names the field.
    """
    kinds = get_type_hints(type(base))
    parsed: dict[str, Any] = {}
    for name, text in fields.items():
        kind = kinds.get(name, str)
        try:
            is_named = get_origin(kind) is Literal or kind is str
            parsed[name] = text if is_named else {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise ValueError(f"{name} cannot be {text!r}") from None
    return parsed


def may_be_none(configuration: Configuration, name: str) -> bool:
    """Whether None is among the values of a field. TOML, which has no null, holds 0 in its place."""
    return NoneType in get_args(get_type_hints(type(configuration)).get(name))

"""Options for every setting of a training configuration, with the descriptions of its fields as help texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from cyclopts import Group, Parameter

from toolkit.cli.values import split
from toolkit.errors import InputError
from toolkit.training.config import TrainingConfig

_LISTS = ("patches", "exclude", "keep_fp32")


def settings_of(kind: type[TrainingConfig], elsewhere: Collection[str], help_text: str = "") -> type:
    """A dataclass with a field for every setting, with its help text; None: not given.

    Args:
        kind: of the configuration.
        elsewhere: names of fields that have no option, or one of their own.
        help_text: above the options.
    """
    group = Group("Settings", sort_key=1, help=help_text)
    hints = get_type_hints(kind, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(kind):
        if field.name in elsewhere:
            continue
        value, *notes = get_args(hints[field.name])
        description = next(note.description for note in notes if note.description)
        is_list = get_origin(value) is tuple
        if field.default not in ("", None, ()):
            shown = ",".join(map(str, field.default)) if is_list else field.default
            description += f" [default: {shown}]"
        parameter = Parameter(help=description, show_default=False, group=group)
        fields.append((field.name, Annotated[(str if is_list else value) | None, parameter], None))
    # Cyclopts does not look into classes of Python's own modules, and the default module would be `types`.
    return dataclasses.make_dataclass("Settings", fields, frozen=True, kw_only=True, namespace={"__module__": __name__})


def given_settings(data: Path | None, settings: Any) -> dict[str, object]:
    """The settings given on the command line, by field."""
    given: dict[str, Any] = {name: value for name, value in vars(settings).items() if value is not None}
    if data is not None:
        given["data"] = str(data)
    for name in _LISTS:
        if name in given:
            given[name] = _integers(given[name]) if name == "patches" else split(given[name])
    return given


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in split(text)]
    except ValueError:
        raise InputError(f"--patches {text} is not a comma-separated list of sizes") from None

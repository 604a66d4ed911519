"""Defaults of command-line options, from files named `rt4ksr.toml`: which there are, and what they say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import InputError, suggestion

FILE = "rt4ksr.toml"

OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "runtime": {"--runtime": ("ablate", "evaluate", "profile", "rank", "upscale")},
    "precision": {"--precision": ("export", "profile", "rank", "upscale")},
    "threads": {"--threads": ("ablate", "evaluate", "profile", "rank", "tune", "upscale")},
    "directory": {
        "--directory": ("evaluate", "profile", "upscale", "verify-fusion"),
        "--output": ("adopt", "export"),
    },
    "output": {"--output": ("ablate", "demo", "triton", "web")},
}
"""For each key: the options that it sets, and in which commands.

Options that a command requires have no default, because they say what the command does. Training has a file of its own
(`toolkit train --config`). `directory` is where artifacts are written and looked up.
"""

_ONLY_IN_TABLES = "output"
_PATHS = ("directory", "output")


class Default(msgspec.Struct, frozen=True):
    """The default of one option of one command.

    Attributes:
        command: for example `upscale`.
        option: for example `--threads`.
        value: as on the command line. Relative paths in a file are relative to its directory.
        file: that says so; a relative path if it is in the working directory.
    """

    command: str
    option: str
    value: str
    file: str


def read_defaults() -> tuple[Default, ...]:
    """The defaults that apply in the working directory, sorted by command and option.

    The file that is nearest to the working directory takes precedence over the user's; within a file, the table of a
    command over the keys above the tables.

    Raises:
        InputError: a file cannot be read, or has an unknown key or a value of the wrong type.
    """
    found: dict[tuple[str, str], Default] = {}
    for file in _files():
        for default in _defaults(file):
            found.setdefault((default.command, default.option), default)
    return tuple(found[key] for key in sorted(found))


def users_file() -> Path:
    """`$XDG_CONFIG_HOME/rt4ksr-toolkit/rt4ksr.toml`; `~/.config` if that variable is not set."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "rt4ksr-toolkit" / FILE


def _files() -> list[Path]:
    return [file for file in (_nearest(), users_file()) if file is not None and file.is_file()]


def _nearest() -> Path | None:
    """The file in the working directory or the nearest one above it, up to the repository's or the home directory.

    Where neither is above the working directory, only that is searched: others can write to directories such as /tmp.
    """
    try:
        working = Path.cwd()
    except OSError:  # it was deleted
        return None
    above = [working, *working.parents]
    home = Path("~").expanduser()
    last = next((index for index, path in enumerate(above) if path == home or (path / ".git").exists()), 0)
    found = next((file for path in above[: last + 1] if (file := path / FILE).is_file()), None)
    return Path(FILE) if found == working / FILE else found  # relative, and so are paths in it


def _defaults(file: Path) -> Iterator[Default]:
    content = _read(file)
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    for command, table in tables.items():
        yield from _of_command(file, command, table)
    for key, value in content.items():
        if key in tables:
            continue
        if key == _ONLY_IN_TABLES:
            raise InputError(f"{file}: {key} belongs in the table of a command", "For example, below [demo].")
        if key not in OPTIONS:
            known = [name for name in OPTIONS if name != _ONLY_IN_TABLES]
            raise InputError(f"{file}: there is no key {key!r}", suggestion(key, [*known, *_commands()]))
        text = _text(file, key, value)
        for option, commands in OPTIONS[key].items():
            yield from (Default(command, option, text, str(file)) for command in commands)


def _of_command(file: Path, command: str, table: Mapping[str, Any]) -> Iterator[Default]:
    keys = {key: option for key in OPTIONS for option, commands in OPTIONS[key].items() if command in commands}
    if not keys:
        raise InputError(f"{file}: there is no table [{command}]", suggestion(command, _commands()))
    for key, value in table.items():
        if key not in keys:
            raise InputError(f"{file}: [{command}] has no key {key!r}", suggestion(key, keys))
        yield Default(command, keys[key], _text(file, key, value), str(file))


def _commands() -> list[str]:
    return sorted({command for options in OPTIONS.values() for commands in options.values() for command in commands})


def _text(file: Path, key: str, value: object) -> str:
    """A value as it would be on the command line."""
    kind = int if key == "threads" else str
    if type(value) is not kind or value == "":
        raise InputError(f"{file}: {key} must be {'an integer' if kind is int else 'a text that is not empty'}")
    if key not in _PATHS:
        return str(value)
    return str(file.parent / Path(str(value)).expanduser())


def _read(file: Path) -> dict[str, Any]:
    from toolkit.system.documents import MalformedDocument, read_toml

    try:
        return read_toml(file)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except MalformedDocument as error:
        raise InputError(f"{file} is not TOML: {error}") from error

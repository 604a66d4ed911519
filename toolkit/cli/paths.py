"""Checks of paths on the command line, done while the options are read: before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from toolkit.errors import InputError
from toolkit.kinds import DEFAULT_DIRECTORY, Kind, require_kind, split_runtime

STDIN = STDOUT = Path("-")
_FILES = frozenset(
    ".onnx .json .pth .safetensors .html .md .csv .toml .py .png .jpg .svg .pdf .so .engine".split()  # noqa: SIM905
)
"""Names with these suffixes are not meant as directories that a command writes several files to."""

Validator = Callable[[object, object], None]
"""As Cyclopts calls it: with the annotated type, and a path, several paths or None."""


def each(check: Callable[[Path], None]) -> Validator:
    """A validator that checks every path of an option."""

    def validate(_kind: object, value: object) -> None:
        for path in value if isinstance(value, list | tuple) else (value,):
            if isinstance(path, Path):
                check(path)

    return validate


def any_of(check: Callable[[Path], None], paths: Sequence[Path]) -> None:
    """Raise what the check raises for the first path, unless it accepts another one, or there are none."""
    refusals = [refusal for path in paths if (refusal := _refusal(check, path)) is not None]
    if refusals and len(refusals) == len(paths):
        raise refusals[0]


def _refusal(check: Callable[[Path], None], path: Path) -> InputError | None:
    try:
        check(path)
    except InputError as error:
        return error
    return None


def existing_file(path: Path) -> None:
    """Raise InputError unless it is a file. Pipes are files: shells pass `<(command)` as one."""
    if path.is_dir():
        raise InputError(f"{path} is a directory, not a file")
    if path.is_char_device() or path.is_block_device():  # /dev/zero never ends
        raise InputError(f"{path} is a device, not a file", "Give a file.")
    if not path.exists():
        raise InputError(f"there is no file {path}", _similar(path))


def existing_directory(path: Path) -> None:
    """Raise InputError unless it is a directory."""
    if not path.exists():
        raise InputError(f"there is no directory {path}", _similar(path))
    if not path.is_dir():
        raise InputError(f"{path} is a file, not a directory")


def artifact_directory(path: Path) -> None:
    """Raise InputError unless it is a directory, or the default one, which may not exist yet."""
    if path != DEFAULT_DIRECTORY:
        existing_directory(path)


def existing_images(path: Path) -> None:
    """Raise InputError unless it is a directory or an image file."""
    if not path.exists():
        raise InputError(f"there is no file or directory {path}", _similar(path) or "Check its name.")


def of_kind(*kinds: Kind) -> Validator:
    """A validator for paths of networks: checkpoints, artifacts or engines."""

    def check(path: Path) -> None:
        require_kind(path, *kinds)

    return each(check)


def subject_of_kind(*kinds: Kind) -> Validator:
    """A validator for `PATH` or `PATH@RUNTIME`."""

    def validate(_kind: object, value: object) -> None:
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str):
                require_kind(split_runtime(text)[0], *kinds)

    return validate


def output_directory(path: Path) -> None:
    """Raise InputError where a command that writes several files is given a file."""
    if path.exists() and not path.is_dir():
        raise InputError(f"cannot write to {path}: it is a file", "Give a directory: several files are written.")
    if not path.exists() and path.suffix.lower() in _FILES:
        raise InputError(
            f"{path} is a file name, but several files are written",
            f"Give a directory, for example {path.with_suffix('')}.",
        )


def output_file(*suffixes: str, stdout: bool = False) -> Validator:
    """A validator for the name of one file: no directory, and with one of these suffixes if any are given.

    Devices and pipes are written to under any name, standard output (`-`) only with `stdout`.
    """

    def check(path: Path) -> None:
        if path == STDOUT:
            if not stdout:
                raise InputError("- is standard output, to which this option does not write", "Give a file name.")
            return
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a directory", "Give the name of a file.")
        if suffixes and path.suffix.lower() not in suffixes and (path.is_file() or not path.exists()):
            raise InputError(
                f"{path} does not have a supported suffix",
                f"Give a name that ends in {' or '.join(suffixes)}, for example {path.with_suffix(suffixes[0])}.",
            )

    return each(check)


def _similar(path: Path) -> str:
    """Names in the same directory that may have been meant."""
    try:
        names = [item.name for item in path.parent.iterdir() if item.suffix == path.suffix]
    except OSError:
        return f"There is no directory {path.parent}." if not path.parent.is_dir() else ""
    near = get_close_matches(path.name, names)
    return f"Did you mean {' or '.join(near)}?" if near else ""

"""Bytes to tensors: opening checkpoint files without trusting them or their names."""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import CheckpointError

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_NESTING = 3
_WANT = "Give a PyTorch (.pth, .pt, .ckpt) or .safetensors file with RT4KSR weights."


CONFIG_KEY = "rt4ksr.config"
"""Under it a file says, in JSON, of which configuration its weights are: in safetensors metadata, or as an entry."""


@dataclass(frozen=True)
class Contents:
    """What a checkpoint file holds.

    Attributes:
        groups: every mapping of names to tensors, by the path of entries that leads to it ("" = the file).
        config: what the file says its configuration is, in JSON; None when it does not say.
    """

    groups: dict[str, dict[str, Tensor]]
    config: str | None


def read_checkpoint(path: Path) -> Contents:
    """All tensors of a file, whatever their names. Nothing in it is executed: pickles are read with `weights_only`.

    Raises:
        CheckpointError: no such file, not a checkpoint, damaged, holding code, or holding no tensors.
    """
    content = _read(path)
    groups = dict(_walk(content, ""))
    if not groups:
        raise CheckpointError(f"{path} holds no tensors", _WANT)
    config = content.get(CONFIG_KEY) if isinstance(content, Mapping) else None
    return Contents(groups, config if isinstance(config, str) else None)


def _read(path: Path) -> Any:
    if path.is_dir():
        raise CheckpointError(f"{path} is a directory, not a checkpoint", _WANT)
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
            size = path.stat().st_size
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}", "Check the path.") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    if size == 0:
        raise CheckpointError(f"{path} is empty", "Copy or download it again.")
    if start.startswith(_ZIP):
        return _read_zip(path)
    # Before pickles: the length that a safetensors file begins with may start with a pickle's first byte.
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") < 1 << 27:
        return _read_safetensors(path)
    if start.startswith(_PICKLE):
        return _read_pickle(path)
    raise CheckpointError(f"{path} is neither a PyTorch nor a safetensors file (it starts with {start!r})", _WANT)


def _read_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error})", "Copy or download it again.") from error
    if not any(name.endswith("/data.pkl") for name in names):
        raise CheckpointError(f"{path} is a zip archive, but not a PyTorch checkpoint", _WANT)
    return _read_pickle(path)


def _read_pickle(path: Path) -> Any:
    try:
        # A stream, because torch.load would otherwise let the file's name decide how it is read.
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        objects = _foreign_objects(path)
        if not objects:
            raise _damaged(path, error) from error
        raise CheckpointError(
            f"{path} holds Python objects that would run code when loaded: {', '.join(objects[:6])}",
            'Save plain tensors in the training environment: torch.save({"state_dict": model.state_dict()}, ...).',
        ) from error
    except Exception as error:  # damaged bytes make the unpickler fail in any way there is
        raise _damaged(path, error) from error


def _foreign_objects(path: Path) -> list[str]:
    """What a pickle would call besides torch's own tensor functions; empty too when it is cut off. Runs nothing."""
    names: dict[str, None] = {}
    with _pickle_stream(path) as stream:
        try:
            while stream.peek(1):
                strings: list[str] = []
                for opcode, argument, _ in pickletools.genops(stream):
                    if opcode.name == "GLOBAL":
                        names[str(argument).replace(" ", ".")] = None
                    elif opcode.name == "STACK_GLOBAL":
                        names[".".join(strings[-2:])] = None
                    elif isinstance(argument, str):
                        strings.append(argument)
        except ValueError:
            if not names or stream.read(1) == b"":
                return []
    return [name for name in names if not name.startswith(("torch.", "collections.OrderedDict"))]


@contextmanager
def _pickle_stream(path: Path) -> Iterator[io.BufferedReader]:
    """The pickles of a file, or of the zip archive it is."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            yield io.BufferedReader(io.BytesIO(archive.read(name)))
    else:
        with path.open("rb") as stream:
            yield stream


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118  (not a mapping)
            return tensors | {key: value for key, value in (stream.metadata() or {}).items() if key == CONFIG_KEY}
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    first_line = (str(error) or type(error).__name__).strip().splitlines()[0]
    return CheckpointError(f"{path} is truncated or damaged ({first_line[:160]})", "Copy or download it again.")


def _walk(content: Any, entry: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(content, Mapping) or depth > _NESTING:
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield entry, tensors
    for key, value in content.items():
        if isinstance(key, str):
            yield from _walk(value, f"{entry}.{key}" if entry else key, depth + 1)

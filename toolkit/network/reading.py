"""Tensors from checkpoint files, which are neither trusted nor judged by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.architectures.registry import ARCHITECTURES
from toolkit.network.containers import NotACheckpoint, Unpickled, read_archive, read_stream
from toolkit.network.pickles import DamagedPickle, Module

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_NESTING = 3
_MOST_MAPPINGS = 10_000
_MODULE_DEPTH = 64
_LARGEST_HEADER = 1 << 24
"""Of a safetensors file, in bytes; 100 000 tensors need about half of it."""
_WANT = (
    "Give a PyTorch (.pth, .pt, .ckpt) or .safetensors file with weights of "
    f"{' or '.join(architecture.title for architecture in ARCHITECTURES.values())}."
)


@dataclass(frozen=True)
class StoredConfiguration:
    """What a file says of the configuration of its weights, in JSON, and the architecture it says so for."""

    architecture: str
    json: str


@dataclass(frozen=True)
class Contents:
    """What a checkpoint file holds.

    Attributes:
        groups: every mapping of names to tensors, by the path of entries that leads to it ("" = the file).
        config: the configuration in the file, under `config_key`: in safetensors metadata, or as an entry. None where
            there is none.
    """

    groups: dict[str, dict[str, Tensor]]
    config: StoredConfiguration | None


def config_key(architecture: str) -> str:
    """The key under which files hold the configuration of weights of an architecture."""
    return f"{architecture}.config"


def read_checkpoint(path: Path) -> Contents:
    """All tensors of a file, whatever their names. Nothing that the file refers to is imported or called.

    Takes what `torch.save` writes with any pickle protocol, tensors of `pickle.dump`, the weights of TorchScript
    archives, and safetensors. Memory is bounded by the size of the file.

    Raises:
        CheckpointError: no such file, not a checkpoint, damaged, larger unpacked than any sound file of its size,
            holding code, or holding no tensors.
    """
    content = read_objects(path)
    groups = dict(_walk(content))
    if not groups:
        raise CheckpointError(f"{path} holds no tensors", _WANT)
    stored = (
        StoredConfiguration(name, value)
        for name in ARCHITECTURES
        if isinstance(content, Mapping) and isinstance(value := content.get(config_key(name)), str)
    )
    return Contents(groups, next(stored, None))


def read_objects(path: Path) -> Any:
    """Mappings, lists, plain values and tensors of a file, as `read_checkpoint` reads it.

    Raises:
        CheckpointError: as `read_checkpoint`, but a file without tensors is returned.
    """
    return _read(path)


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
        return _read_pickled(path)
    # Checked before pickles: a safetensors file begins with a length, whose first byte may be that of a pickle.
    if start[8:] == b"{":
        header = int.from_bytes(start[:8], "little")
        if header <= min(_LARGEST_HEADER, size):
            return _read_safetensors(path)
        if not start.startswith(_PICKLE):
            raise _damaged(path, f"its header claims {header} bytes")
    if start.startswith(_PICKLE):
        return _read_pickled(path)
    raise CheckpointError(f"{path} is neither a PyTorch nor a safetensors file (it starts with {start!r})", _WANT)


def _read_pickled(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            zipped = stream.read(len(_ZIP)) == _ZIP
        found = read_archive(path) if zipped else read_stream(path.read_bytes())
    except NotACheckpoint as error:
        raise CheckpointError(f"{path} is {error}", error.remedy or _WANT) from error
    except (DamagedPickle, OSError) as error:
        raise _damaged(path, str(error)) from error
    if found.foreign:
        raise CheckpointError(
            f"{path} contains Python objects that would run code when loaded: {', '.join(found.foreign[:6])}",
            'Save plain tensors in the training environment: torch.save({"state_dict": model.state_dict()}, ...).',
        )
    return _script_weights(found, path) if found.script else found.content


def _script_weights(found: Unpickled, path: Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive, under the names that they have in its state dict."""
    weights: dict[str, Tensor] = {}
    waiting: list[tuple[str, Any, int]] = [("", found.content, 0)]
    while waiting and len(weights) < _MOST_MAPPINGS:
        prefix, module, depth = waiting.pop()
        for name, value in module.items() if isinstance(module, Module) and depth < _MODULE_DEPTH else ():
            if isinstance(value, Tensor):
                weights[prefix + name] = value
            else:
                waiting.append((f"{prefix}{name}.", value, depth + 1))
    if not weights:
        raise CheckpointError(
            f"{path} is a TorchScript archive without named weights: it was frozen, which makes them constants",
            'Save the weights of the original module: torch.save(module.state_dict(), "weights.pth").',
        )
    return weights


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118  (not a mapping)
            keys = {config_key(name) for name in ARCHITECTURES}
            return tensors | {key: value for key, value in (stream.metadata() or {}).items() if key in keys}
    # A header may name dtypes that this version of PyTorch does not have.
    except (SafetensorError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> CheckpointError:
    first_line = next(iter(reason.strip().splitlines()), "no reason was given")
    return CheckpointError(f"{path} is truncated or damaged ({first_line[:160]})", "Copy or download it again.")


def _walk(content: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Mappings with tensors, by the path of entries that leads to them; each mapping once."""
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    seen: set[int] = set()
    while waiting:
        entry, value, depth = waiting.pop(0)
        if not isinstance(value, Mapping) or depth > _NESTING or id(value) in seen or len(seen) >= _MOST_MAPPINGS:
            continue
        seen.add(id(value))
        named = [(key, item) for key, item in value.items() if isinstance(key, str)]
        if tensors := {key: item for key, item in named if isinstance(item, Tensor)}:
            yield entry, tensors
        waiting += [(f"{entry}.{key}" if entry else key, item, depth + 1) for key, item in named]

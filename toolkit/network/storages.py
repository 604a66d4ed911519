"""Tensors from the storages of a checkpoint. Their claimed sizes are compared with the bytes in the file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from toolkit.network.pickles import Call, DamagedPickle, Name

_MOST_TENSORS = 100_000
_MOST_DIMENSIONS = 16
_SHARING = 8
"""How many tensors may share a byte on average: a state and its moving average may share storages."""

_DTYPES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
}
_UNTYPED = {"torch.storage.UntypedStorage", "torch.UntypedStorage"}

Load = Callable[[str], bytearray]


@dataclass(frozen=True)
class Storage:
    """Bytes that tensors are views of.

    Attributes:
        key: its name in the file.
        dtype: None where each tensor brings its own.
        size: in bytes, as the file claims.
        data: None while only the claims are collected.
    """

    key: str
    dtype: torch.dtype | None
    size: int
    data: bytearray | None


class Storages:
    """Resolves a pickle's references to storages and tensors.

    Args:
        load: returns the bytes of a storage by its key; None: tensors have no values, and `claimed` has their sizes.
        nested: reads a storage from bytes inside the pickle, as `pickle.dump` writes tensors.
    """

    def __init__(self, load: Load | None = None, nested: Call | None = None) -> None:
        self._load, self._nested = load, nested
        self._known: dict[str, Storage] = {}
        self._tensors = self._bytes = 0

    @property
    def claimed(self) -> dict[str, int]:
        """Size in bytes of every storage, by its key."""
        return {key: storage.size for key, storage in self._known.items()}

    def resolve(self, identity: tuple[Any, ...]) -> Storage:
        """A persistent id: `("storage", type, key, location, elements)`."""
        tag, kind, key, _, elements, *view = identity
        dtype = _storage_dtype(kind)
        width = 1 if dtype is None else dtype.itemsize
        if tag != "storage" or not isinstance(key, str) or not _whole(elements) or any(view):
            raise DamagedPickle("a storage is described in an unknown way")
        if key not in self._known:
            data = None if self._load is None else self._load(key)
            self._known[key] = Storage(key, dtype, elements * width, data)
        known = self._known[key]
        if known.size != elements * width or (known.data is not None and len(known.data) != known.size):
            raise DamagedPickle(f"storage {key} has another size than its tensors say")
        return Storage(key, dtype, known.size, known.data)

    def calls(self) -> dict[str, Call]:
        """Replacements for PyTorch's functions that build tensors, by name."""
        first: Call = lambda arguments: arguments[0]  # noqa: E731
        known: dict[str, Call] = {
            "torch._utils._rebuild_tensor": lambda given: self._tensor(given, None),
            "torch._utils._rebuild_tensor_v2": lambda given: self._tensor(given, None),
            "torch._utils._rebuild_tensor_v3": lambda given: self._tensor(given, _dtype(given[6])),
            "torch._utils._rebuild_parameter": first,
            "torch._utils._rebuild_parameter_with_state": first,
            "torch._tensor._rebuild_from_type_v2": self._from_type,
            "torch._utils._rebuild_meta_tensor_no_storage": lambda given: self._without_values(given[1], given[0]),
            "torch._utils._rebuild_sparse_tensor": lambda given: self._without_values(given[1][2]),
            "torch._utils._rebuild_qtensor": lambda given: self._without_values(given[2]),
            "torch.serialization._get_layout": first,
            "torch.device": first,
            "torch.jit._pickle.restore_type_tag": first,
            "_codecs.encode": first,
        }
        known |= {f"torch.jit._pickle.build_{kind}list": first for kind in ("int", "tensor", "double", "bool")}
        if self._nested is not None:
            known["torch.storage._load_from_bytes"] = self._nested
        return known

    def _from_type(self, arguments: tuple[Any, ...]) -> Any:
        function, _, inner = arguments[:3]
        known = self.calls()
        if not isinstance(function, Name) or function.text not in known:
            raise DamagedPickle("a tensor is of an unknown kind")
        return known[function.text](inner)

    def _tensor(self, arguments: tuple[Any, ...], dtype: torch.dtype | None) -> Tensor:
        storage, offset, size, stride = arguments[:4]
        if not isinstance(storage, Storage) or not _whole(offset) or not _dimensions(size) or not _dimensions(stride):
            raise DamagedPickle("a tensor is described in an unknown way")
        dtype = dtype or storage.dtype
        if dtype is None or len(size) != len(stride):
            raise DamagedPickle("a tensor has no type, or not as many strides as sizes")
        available, count = storage.size // dtype.itemsize, math.prod(size)
        last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True)) if count else offset - 1
        if last >= available:
            raise DamagedPickle(f"a tensor of shape {tuple(size)} reaches beyond its {available} stored values")
        if count > available:
            raise DamagedPickle(f"a tensor of shape {tuple(size)} claims more than its {available} stored values")
        self._known.setdefault(storage.key, storage)
        self._count(count * dtype.itemsize)
        if storage.data is None or not count:
            return torch.empty(size, dtype=dtype, device="cpu" if not count else "meta")
        return torch.frombuffer(storage.data, dtype=dtype, count=available).as_strided(size, stride, offset)

    def _count(self, size: int) -> None:
        self._tensors += 1
        self._bytes += size
        if self._tensors > _MOST_TENSORS:
            raise DamagedPickle(f"it has more than {_MOST_TENSORS} tensors")

    def check_sharing(self) -> None:
        """Raise DamagedPickle if the tensors claim many times the bytes that are stored."""
        stored = sum(self.claimed.values())
        if self._bytes > _SHARING * stored:
            raise DamagedPickle(f"its tensors claim {self._bytes} bytes, and {stored} are stored")

    def _without_values(self, size: Any, dtype: Any = None) -> Tensor:
        """Placeholder of a tensor that is not dense: it has a shape, and no values."""
        sides = size if _dimensions(size) else ()
        self._count(0)
        if math.prod(sides) >= 1 << 60:
            raise DamagedPickle(f"a tensor of shape {tuple(sides)} claims more values than any network has")
        return torch.empty(sides, dtype=_dtype(dtype) or torch.float32, device="meta")


def _storage_dtype(kind: Any) -> torch.dtype | None:
    if isinstance(kind, Name) and kind.text in _UNTYPED:
        return None
    name = kind.text.rpartition(".")[2] if isinstance(kind, Name) else ""
    if name not in _DTYPES:
        raise DamagedPickle(f"a storage has an unknown type ({name or type(kind).__name__})")
    return _DTYPES[name]


def _dtype(name: Any) -> torch.dtype | None:
    found = getattr(torch, name.text.removeprefix("torch."), None) if isinstance(name, Name) else None
    return found if isinstance(found, torch.dtype) else None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 60


def _dimensions(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) <= _MOST_DIMENSIONS and all(_whole(side) for side in value)

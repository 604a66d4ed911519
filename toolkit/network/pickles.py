"""Reads pickles as data: no function or class that a file names is ever imported or called.

Python's own unpickler calls what a file names, and PyTorch's restricted one reads protocol 2 only. This one interprets
all protocols. What it cannot express as plain values becomes a `Foreign` object, which holds a name and does nothing.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from toolkit.errors import ToolkitError

_MOST_STEPS = 2_000_000
"""Opcodes, plus values that are copied. Optimizer states of large networks have about 100 000."""
_LARGEST_KEY = 1 << 60
"""Larger integers can be chosen to have equal hashes, which makes a dict slow."""

Call = Callable[[tuple[Any, ...]], Any]


class DamagedPickle(Exception):
    """Not a pickle, cut off, inconsistent, or larger than any checkpoint."""


class Name:
    """A global name that a pickle refers to, for instance `torch.FloatStorage`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Foreign:
    """What a call of an unknown name would have returned. It was not called."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Module(dict[str, Any]):
    """Attributes of a TorchScript module: its tensors and submodules."""


class Unpickler:
    """Interprets one pickle.

    Args:
        calls: what stands for a call of a name, given its arguments.
        resolve: what a persistent id stands for.
        harmless: beginnings of names that are left out without being reported in `foreign`.

    Attributes:
        foreign: names that the pickle would have called and that are not known, in order.
    """

    def __init__(self, calls: Mapping[str, Call], resolve: Call, harmless: tuple[str, ...] = ()) -> None:
        self._calls, self._resolve, self._harmless = calls, resolve, harmless
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0
        self._foreign: dict[str, None] = {}

    @property
    def foreign(self) -> tuple[str, ...]:
        return tuple(self._foreign)

    def load(self, stream: io.BytesIO) -> Any:
        """The object at the current position of a stream, which is then after its pickle.

        Args:
            stream: in memory, because a length that a pickle claims is then bounded by what is there.

        Raises:
            DamagedPickle: see there.
        """
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                self._count(1)
                self._step(opcode.name, argument)
            if len(self._stack) != 1 or self._marks:
                raise DamagedPickle("it does not end with one object")
            return self._stack.pop()
        except (ToolkitError, DamagedPickle):
            raise
        # Raised by reading opcodes, and by operands of the wrong type or number.
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
            raise DamagedPickle(str(error) or type(error).__name__) from error

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MOST_STEPS:
            raise DamagedPickle(f"it has more than {_MOST_STEPS} steps")

    def _step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _STORE:
            self._memo[argument] = self._stack[-1]
        elif name in _FETCH:
            self._stack.append(self._memo[argument])
        elif name in _OPERATIONS:
            _OPERATIONS[name](self, argument)
        elif name not in _NOTHING:
            raise DamagedPickle(f"opcode {name} is not used in checkpoints")

    def _pop(self) -> Any:
        # Values below a mark belong to another object.
        if self._marks and len(self._stack) <= self._marks[-1]:
            raise DamagedPickle("an object has too few parts")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        mark = self._marks.pop()
        parts = self._stack[mark:]
        del self._stack[mark:]
        return parts

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _duplicate(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _discard(self, _: Any) -> None:
        if self._marks and len(self._stack) == self._marks[-1]:
            self._marks.pop()
        else:
            self._stack.pop()

    def _discard_to_mark(self, _: Any) -> None:
        self._pop_to_mark()

    def _tuple(self, count: int) -> None:
        parts = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(parts)))

    def _marked_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _marked_list(self, _: Any) -> None:
        self._stack.append(self._pop_to_mark())

    def _marked_dict(self, _: Any) -> None:
        made: dict[Any, Any] = {}
        _set_items(made, self._pop_to_mark())
        self._stack.append(made)

    def _append(self, _: Any) -> None:
        value = self._pop()
        _extend(self._stack[-1], [value])

    def _append_many(self, _: Any) -> None:
        values = self._pop_to_mark()
        _extend(self._stack[-1], values)

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        _set_items(self._stack[-1], [key, value])

    def _set_many(self, _: Any) -> None:
        values = self._pop_to_mark()
        _set_items(self._stack[-1], values)

    def _global(self, argument: str) -> None:
        self._stack.append(Name(argument.replace(" ", ".")))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise DamagedPickle("a global name is not text")
        self._stack.append(Name(f"{module}.{name}"))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def _new_with_keywords(self, _: Any) -> None:
        _, arguments, function = self._pop(), self._pop(), self._pop()
        self._stack.append(self._call(function, arguments))

    def _instance(self, argument: str) -> None:
        self._stack.append(self._call(Name(argument.replace(" ", ".")), tuple(self._pop_to_mark())))

    def _object(self, _: Any) -> None:
        function, *arguments = self._pop_to_mark()
        self._stack.append(self._call(function, tuple(arguments)))

    def _build(self, _: Any) -> None:
        state = self._pop()
        if isinstance(self._stack[-1], Module) and isinstance(state, dict):
            _set_items(self._stack[-1], [part for item in state.items() for part in item])
            self._count(len(state))

    def _persistent(self, argument: Any) -> None:
        identity = self._pop() if argument is None else argument
        self._stack.append(self._resolve(identity if isinstance(identity, tuple) else (identity,)))

    def _call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Foreign):
            return function
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise DamagedPickle("it calls what is no function")
        name = function.text
        if name in self._calls:
            return self._calls[name](arguments)
        if name in _MAPPINGS:
            return self._mapping(arguments)
        if name in _SEQUENCES:
            return arguments[0] if arguments and isinstance(arguments[0], list | tuple) else []
        if name.startswith("__torch__."):
            return Module()
        if not name.startswith(self._harmless):
            self._foreign[name] = None
        return Foreign(name)

    def _mapping(self, arguments: tuple[Any, ...]) -> dict[Any, Any]:
        """A mapping that is filled later, or, from old versions of Python, one made from a list of pairs."""
        made: dict[Any, Any] = {}
        if arguments and isinstance(arguments[0], list | tuple):
            self._count(len(arguments[0]))
            _set_items(made, [part for pair in arguments[0] for part in _pair(pair)])
        return made


def _pair(value: Any) -> tuple[Any, Any]:
    first, second = value
    return first, second


def _extend(target: Any, values: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(values)
    elif not isinstance(target, Foreign):
        raise DamagedPickle("it appends to what is no list")


def _set_items(target: Any, flat: list[Any]) -> None:
    """Leaves out entries whose key is neither text nor a small number: no checkpoint names tensors that way."""
    if isinstance(target, Foreign):
        return
    if not isinstance(target, dict) or len(flat) % 2:
        raise DamagedPickle("it sets entries of what is no mapping")
    for key, value in zip(flat[::2], flat[1::2], strict=True):
        if isinstance(key, str) or (isinstance(key, int) and abs(key) < _LARGEST_KEY):
            target[key] = value


_MAPPINGS = {
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "builtins.dict",
    "__builtin__.dict",
}
_SEQUENCES = {
    *("builtins.set", "builtins.frozenset", "builtins.list", "builtins.tuple", "collections.deque"),
    *("__builtin__.set", "__builtin__.frozenset", "__builtin__.list", "__builtin__.tuple", "torch.Size"),
}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}
_STORE = {"PUT", "BINPUT", "LONG_BINPUT"}
_FETCH = {"GET", "BINGET", "LONG_BINGET"}
_NOTHING = {"PROTO", "FRAME", "STOP"}
_OPERATIONS: dict[str, Callable[[Unpickler, Any], None]] = {
    "MARK": Unpickler._mark,
    "POP": Unpickler._discard,
    "POP_MARK": Unpickler._discard_to_mark,
    "DUP": Unpickler._duplicate,
    "MEMOIZE": Unpickler._memoize,
    "TUPLE": Unpickler._marked_tuple,
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "LIST": Unpickler._marked_list,
    "FROZENSET": Unpickler._marked_list,
    "DICT": Unpickler._marked_dict,
    "APPEND": Unpickler._append,
    "APPENDS": Unpickler._append_many,
    "ADDITEMS": Unpickler._append_many,
    "SETITEM": Unpickler._set_item,
    "SETITEMS": Unpickler._set_many,
    "GLOBAL": Unpickler._global,
    "STACK_GLOBAL": Unpickler._stack_global,
    "REDUCE": Unpickler._reduce,
    "NEWOBJ": Unpickler._reduce,
    "NEWOBJ_EX": Unpickler._new_with_keywords,
    "INST": Unpickler._instance,
    "OBJ": Unpickler._object,
    "BUILD": Unpickler._build,
    "PERSID": Unpickler._persistent,
    "BINPERSID": Unpickler._persistent,
}

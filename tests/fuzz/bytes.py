"""Damage to plain bytes, and to documents: what every kind of file has in common."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Edit = tuple[str, int, bytes]
Steps = tuple[str | int, ...]

NUMBERS = [
    struct.pack(order + kind, value)
    for kind, values in {
        "B": (0, 0x7F, 0xFF),
        "H": (0, 0x7FFF, 0xFFFF),
        "I": (0, 1, 0x7FFFFFFF, 0xFFFFFFFF),
        "Q": (0, 1 << 32, (1 << 63) - 1, (1 << 64) - 1),
    }.items()
    for value in values
    for order in "<>"
]
"""Numbers at the ends of their ranges, as they stand in files."""

VALUES: list[Any] = [
    *(None, True, 0, -1, 1, 2, 255, 1 << 16, 1 << 31, 1 << 63, 10**40, 0.0, -0.5, 1e-308, 1e308, float("inf")),
    *(float("nan"), "", "x", "x" * 5000, "..", "/etc/passwd", "a\nb", "\x1b[31m", "[bold]", "<b>", "\u202e", "naïve"),
    *([], {}, [1], [[]], {"a": 1}, ["x"] * 50),
]
"""Values that a field may not expect."""


def damaged(content: bytes) -> SearchStrategy[bytes]:
    """The content with up to four places overwritten, cut, deleted, repeated or inserted into."""
    place = st.integers(0, max(len(content) - 1, 0))
    edit = st.one_of(
        st.tuples(st.just("set"), place, st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("set"), place, st.sampled_from(NUMBERS)),
        st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=16)),
        st.tuples(st.just("delete"), place, st.binary(min_size=1, max_size=64)),
        st.tuples(st.just("repeat"), place, st.binary(min_size=1, max_size=64)),
        st.tuples(st.just("cut"), place, st.just(b"")),
    )
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: _edited(content, edits))


def _edited(content: bytes, edits: list[Edit]) -> bytes:
    for kind, place, data in edits:
        head, tail = content[:place], content[place:]
        length = len(data)
        content = {
            "set": head + data + tail[length:],
            "insert": head + data + tail,
            "delete": head + tail[length:],
            "repeat": head + tail[:length] * 3 + tail[length:],
            "cut": head,
        }[kind]
    return content


def changed_document(document: Any) -> SearchStrategy[Any]:
    """A JSON-like document with up to three values replaced, removed or repeated."""
    paths = list(_paths(document))
    edit = st.tuples(st.sampled_from(paths), st.sampled_from(["set", "remove", "repeat"]), st.sampled_from(VALUES))
    return st.lists(edit, min_size=1, max_size=3).map(lambda edits: _changed(document, edits))


def changed_json(content: bytes) -> SearchStrategy[bytes]:
    """A JSON file with values that it should not have, or damaged as text."""
    made = changed_document(json.loads(content)).map(lambda document: json.dumps(document).encode())
    return st.one_of(made, made, damaged(content))


def _paths(document: Any, before: Steps = ()) -> Iterator[Steps]:
    if not isinstance(document, dict | list):
        return
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*before, key)
        yield from _paths(value, (*before, key))


def _changed(document: Any, edits: list[tuple[Steps, str, Any]]) -> Any:
    made = copy.deepcopy(document)
    for path, kind, value in edits:
        parent = made
        try:
            for step in path[:-1]:
                parent = parent[step]
            old = parent[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an edit before has removed it
        if kind == "remove":
            del parent[path[-1]]
        elif kind == "repeat" and isinstance(parent, list):
            parent += [old] * 5
        else:
            parent[path[-1]] = value
    return made

"""The page of file formats, from the types that read and write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from docstring_parser import Docstring, DocstringStyle, parse_from_object
from msgspec import inspect

from toolkit.artifact import Manifest
from toolkit.media.report import UpscaleReport
from toolkit.profiling.reporting.report import ProfileReport
from toolkit.quality.report import QualityReport
from toolkit.quality.videos.report import VideoQualityReport
from toolkit.ranking.report import RankingReport
from toolkit.runtimes.engine import EngineInfo
from toolkit.training.config import TrainingConfig

FORMATS: dict[type[msgspec.Struct], str] = {
    Manifest: "The manifest of an artifact: `NAME.json` beside `NAME.onnx`.",
    EngineInfo: "The description of an engine bundle: `engine.json`.",
    ProfileReport: "What `toolkit profile` writes, and `report` and `gate` read. `toolkit report --schema` prints its "
    "JSON Schema.",
    QualityReport: "What `toolkit evaluate --images DIRECTORY --json` prints.",
    VideoQualityReport: "What `toolkit evaluate --video PATH --json` prints.",
    RankingReport: "What `toolkit rank` writes.",
    UpscaleReport: "What `toolkit upscale --json` prints.",
    TrainingConfig: "The settings of `toolkit train --config`, in TOML. `network` is a table; `preset` and `scale` may "
    "stand beside it.",
}


def formats() -> str:
    """A table of fields for each format, and for the types of fields."""
    parts = ["# File formats", "JSON, unless stated otherwise. A field with a default may be missing in a file."]
    shown: set[type] = set()
    for root, text in FORMATS.items():
        parts += [f"## {root.__name__}", text]
        for kind in _reached(root):
            if kind not in shown:
                shown.add(kind)
                parts.append(_table(kind, heading=kind is not root))
    return "\n\n".join(parts)


def _reached(root: type) -> Iterator[type]:
    """The type and those of its fields, each once, in the order in which they appear."""
    found: dict[type, None] = {}

    def visit(kind: inspect.Type) -> None:
        if isinstance(kind, inspect.StructType | inspect.DataclassType):
            if kind.cls in found:
                return
            found[kind.cls] = None
            for item in kind.fields:
                visit(item.type)
        for name in ("types", "item_types"):
            for inner in getattr(kind, name, ()):
                visit(inner)
        for name in ("type", "item_type", "key_type", "value_type"):
            if isinstance(inner := getattr(kind, name, None), inspect.Type):
                visit(inner)

    visit(inspect.type_info(root))
    yield from found


def _table(kind: type, *, heading: bool) -> str:
    described = parse_from_object(kind, DocstringStyle.GOOGLE)
    notes = {note.arg_name: note.description or "" for note in described.params}
    rows = [
        f"| `{name}` | {_cell(text)} | {default} | {_cell(notes.get(field, note))} |"
        for field, name, text, default, note in _fields(kind)
    ]
    title = [f"### {kind.__name__}"] if heading else []
    table = ["| field | type | default | |\n|---|---|---|---|\n" + "\n".join(rows)] if rows else []
    return "\n\n".join([*title, *_text(described), *table])


def _text(described: Docstring) -> list[str]:
    return [text for text in (described.short_description, described.long_description) if text]


def _fields(kind: type) -> Iterator[tuple[str, str, str, str, str]]:
    """Of each field: its name, that in files, its type, its default, and what its annotation says of it."""
    info = inspect.type_info(kind)
    if getattr(info, "tag", None) is not None:
        yield "", str(info.tag_field), f"`{msgspec.json.encode(info.tag).decode()}`", "", ""
    for item in info.fields:
        note = ""
        inner = item.type
        if isinstance(inner, inspect.Metadata):
            note = (inner.extra_json_schema or {}).get("description", "")
        yield item.name, item.encode_name, _type(inner), _default(item), note


def _default(item: inspect.Field) -> str:
    if item.required:
        return "required"
    if item.default_factory is not msgspec.NODEFAULT:
        return "empty" if item.default_factory in (list, dict, set, tuple) else ""
    value = item.default
    if isinstance(value, msgspec.Struct) or hasattr(value, "__dataclass_fields__"):
        return f"a `{type(value).__name__}`"
    return f"`{msgspec.json.encode(value).decode()}`"


def _type(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _type(kind.type)
        case inspect.UnionType():
            return " or ".join(_type(inner) for inner in kind.types)
        case inspect.LiteralType():
            return ", ".join(f"`{msgspec.json.encode(value).decode()}`" for value in kind.values)
        case inspect.StructType() | inspect.DataclassType():
            return f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
        case inspect.TupleType():
            return f"[{', '.join(_type(inner) for inner in kind.item_types)}]"
        case inspect.VarTupleType() | inspect.ListType():
            return f"list of {_type(kind.item_type)}"
        case inspect.DictType():
            return f"object of {_type(kind.value_type)}"
        case _:
            return _PLAIN[type(kind)]


_PLAIN: dict[type[inspect.Type], str] = {
    inspect.StrType: "string",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
    inspect.DateTimeType: "date and time",
    inspect.AnyType: "anything",
}


def _cell(text: Any) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")

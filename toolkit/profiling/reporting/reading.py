"""Reads report.json: older schemas are upgraded, and values that cannot have been measured are refused.

`report_schema()` is the JSON Schema of report.json (`toolkit report --schema`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from toolkit.errors import InputError
from toolkit.kinds import ENGINE_SUFFIX
from toolkit.profiling.reporting.report import SCHEMA, ProfileReport
from toolkit.profiling.reporting.validity import invalid_value
from toolkit.system.documents import MalformedDocument, from_json

_READ = range(2, SCHEMA + 1)
"""Schemas that can be read."""


def read_report(path: Path | str) -> ProfileReport:
    """Read a report written by `toolkit profile`.

    Raises:
        InputError: it is not a report, has an unknown schema, or has a value that cannot have been measured.

    Example:
        >>> [cell.runtime for cell in toolkit.read_report("report.json").cells]
        ['ort-cpu']
    """
    path = Path(path)
    remedy = "Give a report.json written by `toolkit profile`."
    try:
        content = path.read_bytes()
        document = from_json(content, object)
        schema = document.get("schema") if isinstance(document, dict) else None
        if not isinstance(document, dict) or schema not in _READ:
            raise InputError(f"{path} has schema {schema}, this version reads 2 to {SCHEMA}", "Profile again.")
        report = msgspec.convert(_upgraded(document), ProfileReport)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", remedy) from error
    except (MalformedDocument, msgspec.ValidationError) as error:
        raise InputError(f"{path} is not a profile report: {error}", remedy) from error
    if wrong := invalid_value(report):
        raise InputError(f"{path} is not a profile report: {wrong}", remedy)
    return report


def _upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """The same report in the current schema; see `SCHEMA`."""
    cells = document.get("cells")
    if document["schema"] < 3 and isinstance(cells, list):
        cells = [_width_first(cell) for cell in cells]
    if document["schema"] < 4 and isinstance(cells, list):
        cells = [_with_kind(cell) for cell in cells]
    return {**document, "cells": cells, "schema": SCHEMA} if document["schema"] < SCHEMA else document


def _width_first(cell: object) -> object:
    if isinstance(cell, dict) and (match := re.fullmatch(r"(\d+)[xX](\d+)", str(cell.get("workload")))):
        return {**cell, "workload": f"{match[2]}x{match[1]}"}
    return cell


def _with_kind(cell: object) -> object:
    """In older reports only the suffix of the name distinguishes engine bundles from artifacts."""
    if isinstance(cell, dict):
        return {**cell, "is_engine": str(cell.get("artifact")).endswith(ENGINE_SUFFIX)}
    return cell


def report_schema() -> dict[str, Any]:
    """JSON Schema of report.json, with descriptions."""
    schema = msgspec.json.schema(ProfileReport)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"rt4ksr-toolkit profile report, version {SCHEMA}"
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
    return schema

"""Whether software works on this machine: packages that can be imported, and code that is tried in its own process."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass

from toolkit.errors import Unavailable
from toolkit.system.isolated import run_isolated

_SECONDS = 120
"""More than a cold start of CUDA's libraries from a slow disk takes."""


@dataclass(frozen=True)
class Availability:
    """Whether something works on this machine.

    Attributes:
        ok: whether it works.
        reason: why it does not; empty where it works.
        remedy: what would make it work; may be empty.
        version: of the software; empty where it is unknown.

    Example:
        >>> available: toolkit.Availability = toolkit.RUNTIMES["ort-cuda"].probe()
        >>> available.ok or bool(available.reason and available.remedy)
        True
    """

    ok: bool
    reason: str = ""
    remedy: str = ""
    version: str = ""


def require(what: str, available: Availability) -> None:
    """Raise Unavailable with the reason and the remedy unless it is available."""
    if not available.ok:
        raise Unavailable(f"{what} is not available: {available.reason}", available.remedy)


def probe_import(module: str, remedy: str) -> Availability:
    """Whether a package can be imported into this process; whatever it raises becomes the reason."""
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  (a broken native library raises anything)
        return Availability(False, f"{module} cannot be imported: {error}", remedy)
    return Availability(True)


@functools.cache
def probe_code(code: str, remedy: str, given: bytes = b"", seconds: float = _SECONDS) -> Availability:
    """Whether Python code runs to its end in its own process. What it prints is the version.

    A native library that crashes as it starts ends that process only. The result is cached, because it does not change
    while this process runs.

    Args:
        code: raises an exception, whose message becomes the reason, or crashes, where the software does not work.
        remedy: what would make it work.
        given: bytes for its standard input.
        seconds: time limit.
    """
    ended = run_isolated(["-c", code], given, seconds=seconds)
    if ended.end == "done":
        return Availability(True, version=ended.output.strip())
    reasons = {"crashed": f"it crashes as it starts ({ended.reason})", "failed": f"it does not start: {ended.reason}"}
    return Availability(False, reasons.get(ended.end, ended.reason), remedy)

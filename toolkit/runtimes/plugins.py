"""Runtimes that other installed packages register as entry points.

A package declares them in `[project.entry-points."rt4ksr_toolkit.runtimes"]` as `NAME = "module:Class"`. The class is a
`Runtime` whose `name` is NAME.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.precisions import Precision
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Runtime, Session
from toolkit.system.foreign import first_line
from toolkit.system.probe import Availability

GROUP = "rt4ksr_toolkit.runtimes"


class BrokenRuntime(Runtime):
    """An entry point that provides no runtime. It is listed as unavailable, with the reason."""

    def __init__(self, name: str, entry: EntryPoint, reason: str) -> None:
        self.name = name
        self.description = f"registered by the package {_package(entry)}"
        self._availability = Availability(False, reason, f"Update, repair or uninstall {_package(entry)}.")

    def _probe(self) -> Availability:
        return self._availability

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        raise Unavailable(self._availability.reason, self._availability.remedy)


def registered_runtimes(taken: Collection[str]) -> dict[str, Runtime]:
    """All runtimes that installed packages register, by name. Never raises.

    Args:
        taken: names of the toolkit's own runtimes, which packages cannot replace.
    """
    found: dict[str, Runtime] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _package(entry))):
        if entry.name in taken or entry.name in found:
            name = f"{entry.name} ({_package(entry)})"
            found[name] = BrokenRuntime(name, entry, f"there already is a runtime {entry.name}")
        else:
            found[entry.name] = _loaded(entry)
    return found


def _loaded(entry: EntryPoint) -> Runtime:
    """An instance of the class that an entry point names."""
    try:
        kind = entry.load()
        runtime = kind() if isinstance(kind, type) else kind
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a module of another package may raise anything)
        return BrokenRuntime(entry.name, entry, f"{entry.value} cannot be loaded: {first_line(error)}")
    if not isinstance(runtime, Runtime):
        return BrokenRuntime(entry.name, entry, f"{entry.value} is not a subclass of toolkit.Runtime")
    name, description = getattr(runtime, "name", None), getattr(runtime, "description", None)
    if name != entry.name:
        return BrokenRuntime(entry.name, entry, f"{entry.value} has the name {name!r}, its entry point {entry.name!r}")
    if not isinstance(description, str):
        return BrokenRuntime(entry.name, entry, f"{entry.value} has no description")
    return runtime


def _package(entry: EntryPoint) -> str:
    return "unknown" if entry.dist is None else entry.dist.name

"""Compiles engines of the toolkit's own networks into a wheel, where `make wheel` asks for it.

It runs in an environment with all that the toolkit needs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from toolkit.artifact import Artifact


class PrebuiltEngines(BuildHookInterface):
    """Adds `toolkit/native/prebuilt/` to the wheel: engines of what is in `exported/`, and of its bf16 forms."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        sys.path.insert(0, self.root)  # the toolkit that is packed, not one that is installed
        from toolkit.native.prebuilt import prebuild

        self._directory = tempfile.TemporaryDirectory()
        scratch = Path(self._directory.name)
        (engines := scratch / "engines").mkdir()
        written, left_out = prebuild(_networks(Path(self.root) / "exported", scratch), engines)
        for target in left_out:
            self.app.display_warning(f"no compiler for {target.name}: its engines are left out")
        build_data["force_include"] |= {str(path): f"toolkit/native/prebuilt/{path.name}" for path in written}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._directory.cleanup()


def _networks(exported: Path, scratch: Path) -> list[Artifact]:
    from toolkit import convert
    from toolkit.artifact import find_artifacts

    found = find_artifacts(exported)
    if not found:
        raise FileNotFoundError(f"{exported} has no networks to compile engines of")
    full = [item for item in found if item.manifest.precision == "fp32"]
    return [*found, *(convert(item, "bf16", directory=scratch) for item in full)]

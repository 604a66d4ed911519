"""The public names: type checkers know them, and each is documented by an example that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SNIPPET = """
import toolkit

checkpoint: toolkit.Checkpoint = toolkit.load_checkpoint("a.pth")
name: str = toolkit.export(checkpoint).path.name
toolkit.DoesNotExist
checkpoint.frobnicate()
"""


def test_mypy_knows_the_public_names(tmp_path: Path) -> None:
    path = tmp_path / "snippet.py"
    path.write_text(_SNIPPET)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-pretty", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    unknown, method, total = result.stdout.splitlines()
    assert ':6: error: Module has no attribute "DoesNotExist"' in unknown
    assert ':7: error: "Checkpoint" has no attribute "frobnicate"' in method
    assert total.startswith("Found 2 errors")

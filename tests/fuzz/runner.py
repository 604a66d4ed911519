"""Gives mutated files to entry points in another process, and counts what became of them."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAULTS = ("traceback", "crash", "hang", "large", "half-written")
SECONDS = 120
"""That a case may take. Most take milliseconds; a busy machine is ten times slower."""
MEMORY = 2 << 30
"""Resident bytes that a case may take, with the imported libraries."""


@dataclass(frozen=True)
class Case:
    """Files of one case, by path below an empty directory; the entry point gets the one that is named."""

    kind: str
    name: str
    files: dict[str, bytes] = field(repr=False)


@dataclass
class Figures:
    """What became of the cases of a run; `faults` keeps one example of each."""

    outcomes: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        return self.outcomes.total()

    def __str__(self) -> str:
        counted = ", ".join(f"{name} {self.outcomes[name]}" for name in ("refused", "accepted", *FAULTS))
        return f"cases {self.cases}, {counted}, peak {self.peak / 2**20:.0f} MiB"


class Runner:
    """A zygote process, restarted when it dies, and a directory for files."""

    def __init__(self, directory: Path) -> None:
        self._directory, self.figures = directory, Figures()
        self._process: subprocess.Popen[str] | None = None

    def run(self, case: Case) -> dict[str, Any]:
        """One case; the outcome is `accepted` or `refused` where all is well."""
        here = self._directory / "case"
        shutil.rmtree(here, ignore_errors=True)
        output = here / "output"
        output.mkdir(parents=True)
        for name, content in case.files.items():
            path = here / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        path = here / "files" / case.name
        before = _contents(here / "files")
        answer = self._ask({"kind": case.kind, "path": str(path), "output": str(output)})
        left = sorted(str(item) for item in output.rglob("*") if item.is_file())
        left += sorted(_contents(here / "files") - before)
        if answer["outcome"] == "refused" and left:
            answer = {**answer, "outcome": "half-written", "detail": f"{left} after: {answer['detail']}"}
        self._count(answer)
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(json.dumps({**request, "seconds": SECONDS, "memory": MEMORY}), file=process.stdin, flush=True)
            answered, _, _ = select.select([process.stdout], [], [], SECONDS + 60)
            line = process.stdout.readline() if answered else ""
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            return {"outcome": "crash", "detail": "the process that forks has died", "peak": 0}
        found: dict[str, Any] = json.loads(line)
        return found

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", str(Path(__file__).with_name("zygote.py"))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "ready", "the process that forks does not start"
        return self._process

    def _count(self, answer: dict[str, Any]) -> None:
        outcome = answer["outcome"]
        self.figures.outcomes[outcome] += 1
        self.figures.peak = max(self.figures.peak, answer["peak"])
        if outcome in FAULTS:
            lines = answer["detail"].strip().splitlines() or [""]
            self.figures.faults.setdefault(f"{outcome}: {lines[-1][:120]}", answer["detail"])


def _contents(directory: Path) -> set[str]:
    return {str(item) for item in directory.rglob("*") if item.is_file()}

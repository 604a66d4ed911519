"""The long form: `python tests/fuzz/long.py SECONDS [KIND ...]` prints figures; exit code 1: faults."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.kinds import kinds
from fuzz.runner import FAULTS, Case, Figures, Runner
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

_BATCH = 100


def fuzz(runner: Runner, strategy: SearchStrategy[Case], seconds: float) -> Figures:
    """Run cases of one kind until the time is over."""
    runner.figures = Figures()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:

        @seed(random.SystemRandom().getrandbits(64))
        @settings(
            max_examples=_BATCH,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def batch(case: Case) -> None:
            if time.monotonic() < deadline:
                runner.run(case)

        batch()
    return runner.figures


def main(seconds: float, wanted: list[str]) -> int:
    faults = 0
    with tempfile.TemporaryDirectory() as directory:
        made = kinds(Path(directory))
        chosen = {name: strategy for name, strategy in made.items() if not wanted or name in wanted}
        runner = Runner(Path(directory))
        try:
            for name, strategy in chosen.items():
                figures = fuzz(runner, strategy, seconds / len(chosen))
                faults += sum(figures.outcomes[outcome] for outcome in FAULTS)
                print(f"{name}: {figures}", flush=True)
                for fault, detail in figures.faults.items():
                    print(f"--- {fault}\n{detail}", flush=True)
        finally:
            runner.close()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))

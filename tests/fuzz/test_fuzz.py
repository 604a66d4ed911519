"""The short form: every kind of file, a few cases each, the same ones every time. `make fuzz` is the long form."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.kinds import Kinds, kinds
from fuzz.runner import FAULTS, Runner
from hypothesis import HealthCheck, Phase, given, settings

CASES = {
    "checkpoint": 40,
    "state": 8,
    "manifest": 25,
    "graph": 18,
    "foreign": 4,
    "bundle": 20,
    "report": 20,
    "budgets": 30,
    "config": 30,
    "picture": 15,
    "video": 10,
}


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    made = Runner(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def strategies(tmp_path_factory: pytest.TempPathFactory) -> Kinds:
    return kinds(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize("kind", CASES)
def test_no_file_ends_a_process(kind: str, runner: Runner, strategies: Kinds) -> None:
    @settings(
        max_examples=CASES[kind],
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategies[kind])
    def check(case: object) -> None:
        answer = runner.run(case)
        assert answer["outcome"] not in FAULTS, f"{answer['outcome']}: {answer['detail']}"

    check()


def test_the_runner_sees_faults(tmp_path: Path, runner: Runner) -> None:
    """An entry point that does not exist is a traceback, as any other exception is."""
    from fuzz.runner import Case

    answer = runner.run(Case("nothing", "x", {"x": b""}))
    assert answer["outcome"] == "traceback"

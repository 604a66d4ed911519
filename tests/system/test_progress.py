"""Progress events: parts, counted units, and their display."""

from __future__ import annotations

import io
import math

import pytest

from toolkit.cli import console
from toolkit.system import progress as module
from toolkit.system.progress import Counter, Progress, within


def test_a_part_reports_its_share_of_the_whole() -> None:
    events: list[Progress] = []
    report = within(events.append, 0.2, 0.6, prefix="x2: ")
    report(Progress("loading"))
    report(Progress("training", 0.5, 12.0))
    assert events == [Progress("x2: loading", 0.2), Progress("x2: training", 0.4)]
    # Nested, as an ablation's trainings are; only the last part knows when the whole ends.
    within(within(events.append, 0.5, 1), 0.5, 1)(Progress("measuring", 0.5, 12.0))
    assert events[-1] == Progress("measuring", 0.875, 12.0)


def test_units_give_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter((10.0, 12.0, 20.0, 30.0))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(seconds))
    events: list[Progress] = []
    counter = Counter(events.append, 10, "frames", _begun=10.0)
    next(seconds)
    counter.finish("a.mp4", 4)
    counter.finish("a.mp4")
    assert events == [Progress("a.mp4, 2.00 frames/s", 0.4, 3.0), Progress("a.mp4, 0.50 frames/s", 0.5, 10.0)]
    # Files may hold more frames than they promise.
    counter.finish("a.mp4", 9)
    assert (events[-1].fraction, events[-1].seconds_left) == (1.0, 0.0)


def test_units_that_begin_count_from_the_next_one_on() -> None:
    events: list[Progress] = []
    counter = Counter(events.append, 3)
    for name in "abc":
        counter.start(name)
    assert [event.activity for event in events] == ["a", "b", "c"]
    assert [event.fraction for event in events] == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert math.isclose(counter.done, 3)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_display_is_quiet_where_nobody_watches(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stream = io.StringIO()
    shown = console.plain_console(stderr=True)
    shown.file = stream
    monkeypatch.setattr(type(shown), "is_terminal", property(lambda _: terminal))
    shown.is_interactive = terminal
    monkeypatch.setattr(console, "err", shown)
    with console.progress_bar("export") as progress:
        progress(Progress("merging\x1b[2J"))
        progress(Progress("checking", 0.5, 3725.0))
    text = stream.getvalue()
    assert ("export: checking" in text and "1:02:05 left" in text) is terminal
    assert bool(text) is terminal
    assert "\x1b[2J" not in text

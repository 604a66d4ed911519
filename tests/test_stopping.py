"""Signals as wishes."""

from __future__ import annotations

import signal
import threading

import pytest

from toolkit.system import shutdown as stopping
from toolkit.system.shutdown import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_its_echo_too(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signals() as stop:
        assert not stop.asked
        signal.raise_signal(number)
        assert stop.asked
        signal.raise_signal(number)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_who_insists_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_TOGETHER", -1.0)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_on_signals():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_what_was_ignored_still_is() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop.asked
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_signals_alone() -> None:
    handlers = []

    def work() -> None:
        with stop_on_signals() as stop:
            handlers.append((signal.getsignal(signal.SIGINT), stop.asked))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [(signal.getsignal(signal.SIGINT), False)]

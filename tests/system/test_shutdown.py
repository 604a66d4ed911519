"""Graceful shutdown."""

from __future__ import annotations

import signal
import threading

import pytest

from toolkit.system import shutdown as module
from toolkit.system.shutdown import graceful_shutdown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_its_echo_too(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with graceful_shutdown() as shutdown:
        assert not shutdown.requested
        signal.raise_signal(number)
        assert shutdown.requested
        signal.raise_signal(number)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_who_insists_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOGETHER", -1.0)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), graceful_shutdown():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_what_was_ignored_still_is() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with graceful_shutdown() as shutdown:
            signal.raise_signal(signal.SIGINT)
            assert not shutdown.requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_signals_alone() -> None:
    handlers = []

    def work() -> None:
        with graceful_shutdown() as shutdown:
            handlers.append((signal.getsignal(signal.SIGINT), shutdown.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [(signal.getsignal(signal.SIGINT), False)]

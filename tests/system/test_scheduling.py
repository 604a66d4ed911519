"""Encoders do not change the scheduling of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from toolkit.system.scheduling import unchanged_scheduling

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this system has no such scheduling")


def test_the_thread_and_those_that_start_meanwhile_are_restored() -> None:
    before, stop, started = os.sched_getscheduler(0), threading.Event(), threading.Event()
    found: list[int] = []

    def other() -> None:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        started.set()
        stop.wait()
        found.append(os.sched_getscheduler(0))

    with pytest.raises(KeyError), unchanged_scheduling():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        thread = threading.Thread(target=other)
        thread.start()
        started.wait()
        raise KeyError
    stop.set()
    thread.join()
    assert [os.sched_getscheduler(0), *found] == [before] * 2


ENCODE = """
import os
import numpy as np
from toolkit.media.videos.colour import Colour
from toolkit.training.codecs import CodecSettings, decoded_clip
before = os.sched_getscheduler(0)
settings = CodecSettings("libsvtav1", (("preset", "12"), ("svtav1-params", "lp=1")), Colour(1, False, "left"), 8)
decoded_clip(np.zeros((2, 64, 64, 3), np.uint8), settings)
assert os.sched_getscheduler(0) == before
"""


def test_av1_is_encoded_with_the_priority_of_the_process() -> None:
    """As root it would be real-time priority."""
    pytest.importorskip("av")
    subprocess.run([sys.executable, "-c", ENCODE], check=True, timeout=120, capture_output=True)

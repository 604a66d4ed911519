"""Probes run in a separate process: a crash there is a reason, not the end of this process."""

import os
import time

import pytest

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.onnxruntime import runtime as ort
from toolkit.runtimes.registry import RUNTIMES
from toolkit.runtimes.tensorrt import runtime as tensorrt
from toolkit.system.probe import probe_code

without_gpu = pytest.mark.skipif(bool(cuda_devices()[0]), reason="there is a GPU: it would be used")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.abort()", "it crashes as it starts (SIGABRT)"),
        ("import ctypes; ctypes.string_at(0)", "it crashes as it starts (SIGSEGV)"),
        ("raise RuntimeError('no kernel image')", "it does not start: RuntimeError: no kernel image"),
        ("raise SystemExit(3)", "it does not start: it printed no reason"),
    ],
)
def test_what_went_wrong_is_said(code: str, reason: str) -> None:
    found = probe_code(code, "install it")
    assert (found.ok, found.reason, found.remedy) == (False, reason, "install it")


def test_an_answer_is_remembered_and_what_was_given_is_read() -> None:
    code = "import os, sys; print(sys.stdin.read(), os.getpid())"
    found = probe_code(code, "", b"given")
    assert found.ok
    assert found.version.startswith("given ")
    assert str(os.getpid()) not in found.version
    assert probe_code(code, "", b"given") == found
    assert probe_code(code, "", b"another").version.startswith("another ")


def test_one_that_hangs_is_ended() -> None:
    begin = time.monotonic()
    found = probe_code("import time; time.sleep(600)", "", b"", 0.5)
    assert time.monotonic() - begin < 60
    assert found.reason == "it did not answer within 0.5 s"


@without_gpu
@pytest.mark.parametrize("name", ["ort-cuda", "ort-tensorrt"])
def test_onnxruntimes_providers_are_started_before_they_are_believed(
    name: str, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking a GPU's word for it: ONNX Runtime itself, without one, says that it was compiled for it."""
    monkeypatch.setattr(ort, "cuda_devices", lambda: (["a GPU"], ""))
    with pytest.raises(Unavailable, match=f"{name} is not available: it does not start: ") as caught:
        RUNTIMES[name].load(small_artifact)
    assert "update the NVIDIA driver" in caught.value.remedy


@without_gpu
def test_tensorrt_is_started_before_it_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "cuda_devices", lambda: (["a GPU"], ""))
    runtime = RUNTIMES["tensorrt-rtx"]
    found = runtime.probe()
    assert not found.ok
    assert found.reason.startswith("it does not start: ")
    monkeypatch.setattr(tensorrt, "_START", "import os; os.abort()  # {module}")
    assert runtime.probe().reason == "it crashes as it starts (SIGABRT)"

"""ONNX Runtime's providers for other accelerators: refused where they do not work, and where they compute wrongly.

WebGPU is computed by SwiftShader, the Vulkan driver in software that comes with Chromium: software_gpu/ holds those
tests, run by a process that finds it. The others have not been run: ONNX Runtime's CPU provider stands in for them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.graph.precision.convert import convert
from toolkit.port import Frame
from toolkit.runtimes.onnxruntime import agreement, plugin_runtime, plugin_session
from toolkit.runtimes.onnxruntime.plugin_provider import PLUGIN_PROVIDERS, PluginProvider
from toolkit.runtimes.onnxruntime.plugin_runtime import PluginRuntime
from toolkit.runtimes.onnxruntime.plugin_session import PluginSession
from toolkit.runtimes.onnxruntime.provider import Provider
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.registry import RUNTIMES

HERE = Path(__file__).parent / "software_gpu"
SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
WEBGPU = PLUGIN_PROVIDERS[0]
SESSION = SessionOptions(threads=1)
STAND_IN = PluginProvider("stand-in", "a stand-in", Provider("CPUExecutionProvider", {}), "onnxruntime", "none")
MODULE = """
import os

def get_library_path():
    {does}
"""
"""Of a plugin's package."""


@pytest.fixture(autouse=True)
def _nothing_is_measured_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "_DISTANCES", {})


@pytest.fixture(scope="module")
def artifacts(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("lowered")
    lowered = {name: convert(small_artifact, name, directory=folder) for name in ("fp16", "int8")}  # type: ignore[arg-type]
    return {"fp32": small_artifact} | lowered


@pytest.mark.parametrize("plugin", PLUGIN_PROVIDERS, ids=lambda plugin: plugin.runtime)
def test_what_does_not_work_is_refused(plugin: PluginProvider, small_artifact: Artifact) -> None:
    runtime = RUNTIMES[plugin.runtime]
    available = runtime.probe()
    if available.ok:
        pytest.skip(f"{plugin.runtime} works here: {available.version}")
    assert available.reason
    assert available.remedy == plugin.remedy
    with pytest.raises(Unavailable, match=f"{plugin.runtime} is not available: ") as caught:
        runtime.load(small_artifact)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("os.abort()", "it crashes as it starts (SIGABRT)"),
        ("return '/no/such/library'", "it does not start: "),
        ("return __file__", "it does not start: "),
    ],
)
def test_a_plugin_is_started_in_another_process(
    does: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{WEBGPU.module}.py").write_text(MODULE.format(does=does))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.setitem(sys.modules, WEBGPU.module, ModuleType(WEBGPU.module))
    found = PluginRuntime(replace(WEBGPU, remedy=f"mend {does}")).probe()
    assert not found.ok
    assert found.reason.startswith(reason)
    assert found.remedy == f"mend {does}"


def test_a_wrong_convolution_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def run(self, _: object, feeds: dict[str, Frame]) -> list[Frame]:
            return [np.zeros((1, 4, 6, 6), np.float32)]

    monkeypatch.setattr(plugin_session, "create_session", lambda *_: Wrong())
    with pytest.raises(SystemExit, match="a convolution on WebGpuExecutionProvider is wrong by 1, allowed"):
        plugin_session.start("ort-webgpu")


class Changed(PluginSession):
    """A device that computes what `change` makes of the right values."""

    change = staticmethod(lambda frame: frame)

    def _run(self, frame: Frame) -> Frame:
        return type(self).change(super()._run(frame))


@pytest.mark.parametrize(
    ("precision", "change", "bound"),
    [
        ("fp32", lambda frame: frame + np.float32(1 / 255), "0.00049"),
        ("fp32", lambda frame: np.full_like(frame, np.nan), "0.00049"),
        ("fp16", lambda frame: np.zeros_like(frame), "0.03"),
        ("int8", lambda frame: -frame, "0.15"),
    ],
)
def test_wrong_values_without_an_error_are_refused(
    precision: str, change: object, bound: str, artifacts: dict[str, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As graphics drivers return them, of float16 on a device that has none."""
    runtime = PluginRuntime(STAND_IN)
    assert runtime._load(artifacts[precision], "fp32", SESSION).executed()
    monkeypatch.setattr(agreement, "_DISTANCES", {})
    monkeypatch.setattr(Changed, "change", staticmethod(change))
    monkeypatch.setattr(plugin_runtime, "PluginSession", Changed)
    with pytest.raises(Unavailable, match=rf"computes .* wrongly: .*, allowed {bound}"):
        runtime._load(artifacts[precision], "fp32", SESSION)


def test_compiled_nodes_have_no_known_precision(small_artifact: Artifact) -> None:
    ran = PluginRuntime(STAND_IN)._load(small_artifact, "fp32", SESSION).executed()
    assert {(node.precision, node.device) for node in ran.values()} == {("unknown", "CPUExecutionProvider")}


@pytest.mark.slow
def test_webgpu_in_software() -> None:
    if not (driver := os.environ.get("VK_DRIVER_FILES", str(SWIFTSHADER) if SWIFTSHADER.is_file() else "")):
        pytest.skip("there is no Vulkan driver in software: install Chromium, or set VK_DRIVER_FILES")
    pytest.importorskip("onnxruntime_ep_webgpu", reason="onnxruntime-ep-webgpu is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *sorted(HERE.glob("on_*.py"))],
        env=os.environ | {"VK_DRIVER_FILES": driver, "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER": "1"},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout

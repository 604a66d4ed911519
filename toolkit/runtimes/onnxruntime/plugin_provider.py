"""ONNX Runtime's execution providers for other accelerators, one description each, and how sessions get them.

Those with a `module` are plugins: packages of their own, whose library is registered with the ONNX Runtime that is
installed. The others are built into an onnxruntime package.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from toolkit.errors import Unavailable
from toolkit.runtimes.onnxruntime.provider import Provider
from toolkit.system.extras import how_to_install

_TYPES = ("NPU", "GPU", "CPU")
"""Types of devices, the preferred one first. A CPU is one only for plugins that were told to run in software."""


@dataclass(frozen=True)
class PluginProvider:
    """An execution provider of a package.

    Attributes:
        runtime: name of the runtime.
        description: of the runtime, for `toolkit doctor`.
        provider: its name in ONNX Runtime, and its options.
        package: that is installed.
        module: of the package, with `get_library_path`; empty: the package is an ONNX Runtime that has the provider.
        remedy: how to make it work.
        compiles: whether it compiles nodes to others, of which ONNX Runtime's profile does not report the precision.
    """

    runtime: str
    description: str
    provider: Provider
    package: str
    remedy: str
    module: str = ""
    compiles: bool = True

    def version(self) -> str:
        """Name and version of the package."""
        try:
            return f"{self.package} {version(self.package)}"
        except PackageNotFoundError:
            return f"{self.package}, not installed"


PLUGIN_PROVIDERS = (
    PluginProvider(
        runtime="ort-webgpu",
        description="ONNX Runtime, WebGPU execution provider, GPUs of any vendor",
        provider=Provider("WebGpuExecutionProvider", {}),
        package="onnxruntime-ep-webgpu",
        module="onnxruntime_ep_webgpu",
        remedy=f"{how_to_install('webgpu')}; on Linux, also install libvulkan1 and the Vulkan driver of the GPU. "
        "A driver in software is used only with ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1.",
        compiles=False,
    ),
    PluginProvider(
        runtime="ort-qnn",
        description="ONNX Runtime, QNN execution provider, NPUs of Qualcomm",
        provider=Provider("QNNExecutionProvider", {"backend_type": "htp"}),
        package="onnxruntime-qnn",
        module="onnxruntime_qnn",
        remedy='pip install "onnxruntime-qnn>=2" onnxruntime on a device with a Snapdragon processor.',
    ),
    PluginProvider(
        runtime="ort-directml",
        description="ONNX Runtime, DirectML execution provider, GPUs in Windows",
        provider=Provider("DmlExecutionProvider", {}),
        package="onnxruntime-directml",
        remedy="In Windows, pip install onnxruntime-directml in place of other onnxruntime packages.",
        compiles=False,
    ),
    PluginProvider(
        runtime="ort-coreml",
        description="ONNX Runtime, CoreML execution provider, macOS",
        # An ML program has types, and computes in them. The older format lowers float32 to float16 where it likes.
        provider=Provider("CoreMLExecutionProvider", {"ModelFormat": "MLProgram"}),
        package="onnxruntime",
        remedy="In macOS, pip install onnxruntime.",
    ),
    PluginProvider(
        runtime="ort-migraphx",
        description="ONNX Runtime, MIGraphX execution provider, AMD GPUs",
        provider=Provider("MIGraphXExecutionProvider", {}),
        package="onnxruntime-migraphx",
        remedy="With ROCm and MIGraphX, pip install onnxruntime-migraphx in place of other onnxruntime packages.",
    ),
)


def create_session(plugin: PluginProvider, model: Path | bytes, options: Any) -> Any:
    """An InferenceSession on a provider.

    Args:
        plugin: the provider.
        model: file, or content.
        options: `onnxruntime.SessionOptions`; the provider's device is added to them.

    Raises:
        Unavailable: there is no device for the provider.
    """
    import onnxruntime

    if not plugin.module:
        providers = [(plugin.provider.name, plugin.provider.options)]
        return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
    options.add_provider_for_devices([find_device(plugin)], plugin.provider.options)
    return onnxruntime.InferenceSession(model, options, enable_fallback=0)


def find_device(plugin: PluginProvider) -> Any:
    """The `onnxruntime.OrtEpDevice` that a plugin runs on.

    Raises:
        Unavailable: it has none.
    """
    import onnxruntime

    _register(plugin.module, plugin.provider.name)
    found = [device for device in onnxruntime.get_ep_devices() if device.ep_name == plugin.provider.name]
    if not found:
        raise Unavailable(f"ONNX Runtime finds no device for {plugin.provider.name}", plugin.remedy)
    return min(found, key=lambda device: _TYPES.index(device.device.type.name))


@functools.cache
def _register(module: str, name: str) -> None:
    """Register a plugin's library, once per process: ONNX Runtime refuses a second time.

    Some plugins name their provider after the name that they are registered by.
    """
    import onnxruntime

    onnxruntime.register_execution_provider_library(name, importlib.import_module(module).get_library_path())

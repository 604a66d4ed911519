"""Sessions on the providers of `plugin_provider`, and the small network that tells whether a provider works."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.errors import ToolkitError
from toolkit.runtimes.onnxruntime.plugin_provider import PLUGIN_PROVIDERS, PluginProvider, create_session, find_device
from toolkit.runtimes.onnxruntime.provider import Provider
from toolkit.runtimes.onnxruntime.session import OrtSession
from toolkit.runtimes.reported import Executed

_ERROR = 1e-3
"""Largest error of the small network, relative to its largest result: that of float16 is smaller."""


class PluginSession(OrtSession):
    """An InferenceSession on one device of a provider. Frames are in host memory; every node runs on the provider."""

    def __init__(self, artifact: Artifact, plugin: PluginProvider, threads: int) -> None:
        self._plugin = plugin
        super().__init__(artifact, plugin.provider, threads)

    def executed(self) -> dict[str, Executed]:
        """As ONNX Runtime's profile reports it; the precision is unknown where the provider compiles nodes."""
        ran = super().executed()
        if not self._plugin.compiles:
            return ran
        return {name: replace(node, precision="unknown") for name, node in ran.items()}

    def _create(self, model: Path | bytes, provider: Provider, options: Any) -> Any:
        return create_session(self._plugin, model, options)


def start(runtime: str) -> None:
    """Run a convolution on a provider, compare it with float64, and print the type of the device.

    To be called in a process of its own, which it ends if it fails.

    Args:
        runtime: that uses the provider.

    Raises:
        SystemExit: it has no device, fails, or computes something else; with the reason.
    """
    (plugin,) = (plugin for plugin in PLUGIN_PROVIDERS if plugin.runtime == runtime)
    try:
        error = _error_of_convolution(plugin)
    except ToolkitError as refusal:
        sys.exit(str(refusal.args[0]))
    except Exception as failure:  # noqa: BLE001  (ONNX Runtime has one class per status code)
        # What comes before is the place in ONNX Runtime's source.
        sys.exit(str(failure).strip().splitlines()[0].rpartition(" was false. ")[2])
    if not error <= _ERROR:
        sys.exit(f"a convolution on {plugin.provider.name} is wrong by {error:.2g}, allowed {_ERROR:g}")
    print(f"{find_device(plugin).device.type.name} device" if plugin.module else "")


def _error_of_convolution(plugin: PluginProvider) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    generator = np.random.default_rng(0)
    given, weights = generator.random((1, 4, 8, 8), np.float32), generator.random((4, 4, 3, 3), np.float32)
    (returned,) = create_session(plugin, _convolution(weights), options).run(None, {"x": given})
    windows = np.lib.stride_tricks.sliding_window_view(given.astype(np.float64), (3, 3), (2, 3))
    answer = np.einsum("nchwij,ocij->nohw", windows, weights)
    return float(np.abs(returned - answer).max() / np.abs(answer).max())


def _convolution(weights: NDArray[np.float32]) -> bytes:
    """A model with one convolution, from x (1, 4, 8, 8) to y (1, 4, 6, 6)."""
    from onnx import TensorProto, helper, numpy_helper

    sides = {"x": (1, 4, 8, 8), "y": (1, 4, 6, 6)}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sides.items()]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="convolution")]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    opset = helper.make_opsetid("", 17)
    content: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return content

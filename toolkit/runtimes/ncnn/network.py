"""A loaded ncnn network, with every option that changes its arithmetic set explicitly."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ArtifactError
from toolkit.runtimes.reported import Executed

Planes = NDArray[np.float32]

_LOWERING = ("fp16", "bf16", "int8")
"""Parts of the names of ncnn's options that lower precision, where a device has it: some are on by default."""
_WINOGRAD = "winograd"
"""Likewise of those for Winograd convolutions, whose rounding depends on a pixel's position."""
_NO_ARITHMETIC = {"Input", "MemoryData", "Split", "Noop"}


class NcnnNetwork:
    """A network with one input and one output, for any size.

    Attributes:
        device: `CPU`, or the name of the Vulkan device.
    """

    def __init__(self, param: bytes, weights: bytes, *, threads: int, device: int | None = None) -> None:
        """Load a network.

        Args:
            param: layers, text.
            weights: float32.
            threads: of the CPU.
            device: index of a Vulkan device; None: the CPU.

        Raises:
            ArtifactError: ncnn does not load it, or it has several inputs or outputs.
        """
        import ncnn

        self._ncnn: Any = ncnn
        self._net: Any = ncnn.Net()
        options = self._net.opt
        for name in dir(options):
            if any(part in name for part in (*_LOWERING, _WINOGRAD)) and not name.startswith("_"):
                setattr(options, name, False)
        options.num_threads = threads
        options.use_vulkan_compute = device is not None
        if device is not None:
            self._net.set_vulkan_device(device)
        self.device = "CPU" if device is None else str(ncnn.get_gpu_info(device).device_name())
        self._load(param, weights)
        self._ends = self._net.input_names(), self._net.output_names()
        if [len(names) for names in self._ends] != [1, 1]:
            raise ArtifactError("an ncnn network must have one input and one output")

    def _load(self, param: bytes, weights: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="toolkit-ncnn-") as name:
            files = Path(name, "param"), Path(name, "bin")
            for file, content in zip(files, (param, weights), strict=True):
                file.write_bytes(content)
            if self._net.load_param(str(files[0])) or self._net.load_model(str(files[1])):
                kinds = sorted({line.split()[0] for line in param.decode(errors="replace").splitlines()[2:] if line})
                raise ArtifactError(f"ncnn does not load the network, which has the layers {', '.join(kinds)}")

    def run(self, planes: Planes) -> Planes:
        """Run on contiguous planes (C, H, W).

        Returns:
            Planes of the output, in memory of their own.

        Raises:
            ArtifactError: ncnn fails.
        """
        extractor = self._net.create_extractor()
        extractor.input(self._ends[0][0], self._ncnn.Mat(planes))
        code, result = extractor.extract(self._ends[1][0])
        if code:
            raise ArtifactError(f"ncnn failed with code {code}")
        return np.array(result)

    def executed(self) -> dict[str, Executed]:
        """Every layer that computes: ncnn runs it in the precision that the options allow, on the device if the layer
        has a shader."""
        options = self._net.opt
        return {
            layer.name: Executed(
                _precision(options, layer),
                self.device if not options.use_vulkan_compute or layer.support_vulkan else "CPU",
            )
            for layer in self._net.layers()
            if layer.type not in _NO_ARITHMETIC
        }


def _precision(options: Any, layer: Any) -> str:
    if (options.use_fp16_storage or options.use_fp16_packed) and layer.support_fp16_storage:
        return "fp16"
    return "bf16" if options.use_bf16_storage and layer.support_bf16_storage else "fp32"

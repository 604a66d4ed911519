"""Options of ONNX Runtime's CUDA and TensorRT execution providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.tensorrt.shapes import optimization_profile
from toolkit.workloads import Shape

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

ENGINE_CACHE, TIMING_CACHE = ".engine", ".timing"
CACHES = (ENGINE_CACHE, ".profile", TIMING_CACHE)
"""Suffixes of the files that the TensorRT provider writes: engines, their shapes, and kernel timings."""

_OPTIMIZATION_LEVEL = 3
"""TensorRT's own default."""

_GRAPHS = {CUDA: "enable_cuda_graph", TENSORRT: "trt_cuda_graph_enable"}
_TRUE = {"1", "True"}


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An execution provider and its options, as ONNX Runtime takes them."""

    name: str
    options: dict[str, str]

    @property
    def captures_graphs(self) -> bool:
        """Whether it replays its kernels as a CUDA graph."""
        return self.options.get(_GRAPHS.get(self.name, "")) in _TRUE

    def without_graphs(self) -> Provider:
        """The same, launching kernels one by one."""
        return Provider(self.name, {name: value for name, value in self.options.items() if name != _GRAPHS[self.name]})

    def on_stream(self, stream: int) -> Provider:
        """The same, on a CUDA stream of the caller."""
        return self._with({"user_compute_stream": str(stream)})

    def caching_in(self, directory: Path) -> Provider:
        """The same, with the TensorRT provider's caches in a directory."""
        return self._with({"trt_engine_cache_path": str(directory), "trt_timing_cache_path": str(directory)})

    def _with(self, options: Mapping[str, str]) -> Provider:
        return Provider(self.name, self.options | dict(options))


def cuda_provider(options: BuildOptions) -> Provider:
    """The CUDA provider. TF32, which keeps 10 of 23 mantissa bits, is off by default."""
    return Provider(
        CUDA,
        {
            "use_tf32": _digit(options.tf32),
            "prefer_nhwc": _digit(options.nhwc is not False),
            _GRAPHS[CUDA]: _digit(options.cuda_graph is not False),
        },
    )


def tensorrt_provider(artifact: Artifact, shape: Shape | None, options: BuildOptions) -> Provider:
    """The TensorRT provider, for the same shapes as the `tensorrt` runtime builds for.

    The provider creates a strongly typed network exactly when no precision flag is set (`network_flags` in its source);
    with any of them, TensorRT would choose types freely. So none is set, and the artifact's own types run.
    """
    level = _OPTIMIZATION_LEVEL if options.optimization_level is None else options.optimization_level
    given = {
        "trt_fp16_enable": "False",
        "trt_bf16_enable": "False",
        "trt_int8_enable": "False",
        "trt_builder_optimization_level": str(level),
        "trt_engine_cache_enable": "True",
        "trt_timing_cache_enable": "True",
        "trt_engine_hw_compatible": str(options.hardware_compatible),
        _GRAPHS[TENSORRT]: str(options.cuda_graph is not False),
    }
    if (profile := optimization_profile(artifact, shape)) is not None:
        for name, sides in (("min", profile.smallest), ("opt", profile.best), ("max", profile.largest)):
            given[f"trt_profile_{name}_shapes"] = _named(artifact.manifest.input.name, sides)
    return Provider(TENSORRT, given)


def _named(name: str, sides: Sequence[int]) -> str:
    return f"{name}:{'x'.join(map(str, sides))}"


def _digit(value: bool) -> str:
    """A truth value for the CUDA provider; the TensorRT provider takes `True` and `False`."""
    return "1" if value else "0"

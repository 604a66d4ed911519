"""What ONNX Runtime's CUDA and TensorRT execution providers are told, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact
from toolkit.runtimes.building import BuildOptions
from toolkit.runtimes.tensorrt.runtime import optimization_profile
from toolkit.workloads import Shape

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

ENGINE_CACHE, TIMING_CACHE = ".engine", ".timing"
CACHES = (ENGINE_CACHE, ".profile", TIMING_CACHE)
"""Suffixes of what the TensorRT provider writes: engines, the shapes they are for, and kernel timings."""

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
        """Running on a CUDA stream of ours; that there is one is implied."""
        return self._with({"user_compute_stream": str(stream)})

    def caching_in(self, directory: Path) -> Provider:
        """With the caches of the TensorRT provider in a directory."""
        return self._with({"trt_engine_cache_path": str(directory), "trt_timing_cache_path": str(directory)})

    def _with(self, options: Mapping[str, str]) -> Provider:
        return Provider(self.name, self.options | dict(options))


def cuda_provider(options: BuildOptions) -> Provider:
    """CUDA. TF32 is off unless asked for: it keeps 10 of 23 mantissa bits."""
    return Provider(
        CUDA,
        {
            "use_tf32": _digit(options.tf32),
            "prefer_nhwc": _digit(options.nhwc is not False),
            _GRAPHS[CUDA]: _digit(options.cuda_graph is not False),
        },
    )


def tensorrt_provider(artifact: Artifact, shape: Shape | None, options: BuildOptions) -> Provider:
    """TensorRT, for the same shapes as the native TensorRT runtime builds for.

    The provider makes a strongly typed network exactly when no precision flag is set (its source, `network_flags`), and
    with any of them TensorRT would choose types as it likes. So none is, and the artifact's own types are what runs.
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
    shapes = optimization_profile(artifact, shape)
    if shapes is not None:
        for name, sides in zip(("min", "opt", "max"), shapes, strict=True):
            given[f"trt_profile_{name}_shapes"] = _named(artifact.manifest.input.name, sides)
    return Provider(TENSORRT, given)


def _named(name: str, sides: Sequence[int]) -> str:
    return f"{name}:{'x'.join(map(str, sides))}"


def _digit(value: bool) -> str:
    """How the CUDA provider takes truth; TensorRT's wants `True` and `False`."""
    return "1" if value else "0"

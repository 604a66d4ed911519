"""Options of sessions and of engine builds, and how they are written on a command line and in engine.json."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from toolkit.errors import InputError
from toolkit.system.hardware import usable_cpus
from toolkit.workloads import Shape, parse_shape

MOST_THREADS = 512
"""More than the CPU cores of any machine this is for. Runtimes start as many threads as requested, and fail at some."""

_LEVELS = 6
"""TensorRT's builder optimization levels, from 0. TensorRT silently takes a higher one for the highest."""


@dataclass(frozen=True)
class SessionOptions:
    """How a session runs.

    Attributes:
        threads: CPU threads of the runtime; 0: one for each CPU that this process may use.

    Raises:
        InputError: the number of threads is out of range.

    Example:
        >>> session = toolkit.load_session("exported/rt4ksr_x2_fp32.onnx", "ort-cpu", toolkit.SessionOptions(threads=1))
    """

    threads: int = 0

    def __post_init__(self) -> None:
        check_threads(self.threads)

    def resolved_threads(self) -> int:
        return self.threads or usable_cpus()


@dataclass(frozen=True)
class BuildOptions:
    """How an engine is built. An option that a runtime does not have is refused, not ignored.

    Attributes:
        shape: input size to build for; None: the artifact's own, else that of its 4K workload.
        target: compute capabilities, for instance `sm86`, of GPUs that need not be present; for the native engine
            instruction set levels, for instance `x86-64-v3`.
        threads: CPU threads to build for; 0: one for each CPU that this process may use.
        optimization_level: TensorRT's builder optimization level, 0 to 5; None: TensorRT's default.
        version_compatible: loadable by later TensorRT versions.
        hardware_compatible: loadable on later GPUs than this one.
        tf32: allow TF32 in float32 convolutions, which keeps 10 of 23 mantissa bits.
        cuda_graph: replay the kernels of a frame as one CUDA graph; None: yes, as sizes and addresses stay the same.
        nhwc: let ONNX Runtime's CUDA provider use the channels-last layout; None: yes, as tensor cores need it.

    Raises:
        InputError: a number is out of range.

    Example:
        >>> toolkit.BuildOptions(shape=toolkit.Shape(720, 1280), threads=2).tf32
        False
    """

    shape: Shape | None = None
    target: tuple[str, ...] = ()
    threads: int = 0
    optimization_level: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    tf32: bool = False
    cuda_graph: bool | None = None
    nhwc: bool | None = None

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if self.optimization_level not in (None, *range(_LEVELS)):
            raise InputError(f"optimization-level {self.optimization_level} must be 0 to {_LEVELS - 1}")

    @classmethod
    def parse(cls, described: Mapping[str, str]) -> BuildOptions:
        """The options that `described` returned.

        Raises:
            InputError: an option does not exist, or has no such value.
        """
        if unknown := described.keys() - _UNSET.keys() - {"shape"}:
            raise InputError(f"there is no build option {', '.join(sorted(unknown))}")
        shape, target = described.get("shape", ""), described.get("target", "")
        return cls(
            shape=parse_shape(shape) if shape else None,
            target=tuple(target.split(",")) if target else (),
            threads=_number(described, "threads") or 0,
            optimization_level=_number(described, "optimization-level"),
            version_compatible=bool(_switch(described, "version-compatible")),
            hardware_compatible=bool(_switch(described, "hardware-compatible")),
            tf32=bool(_switch(described, "tf32")),
            cuda_graph=_switch(described, "cuda-graph"),
            nhwc=_switch(described, "nhwc"),
        )

    def described(self) -> dict[str, str]:
        """Names and values as on the command line, without options that are not set."""
        given = {
            "shape": "" if self.shape is None else str(self.shape),
            "target": ",".join(dict.fromkeys(target.lower() for target in self.target)),
            "threads": str(self.threads or ""),
            "optimization-level": "" if self.optimization_level is None else str(self.optimization_level),
            "version-compatible": "true" if self.version_compatible else "",
            "hardware-compatible": "true" if self.hardware_compatible else "",
            "tf32": "true" if self.tf32 else "",
            "cuda-graph": "" if self.cuda_graph is None else str(self.cuda_graph).lower(),
            "nhwc": "" if self.nhwc is None else str(self.nhwc).lower(),
        }
        return {name: value for name, value in given.items() if value}

    def settings(self, names: Collection[str]) -> dict[str, str]:
        """The values in effect of some options, for people."""
        given = self.described()
        return {name: given.get(name, _UNSET[name]) for name in sorted(names)}


_UNSET = {
    "target": "the GPU here",
    "threads": "all usable",
    "optimization-level": "TensorRT's own",
    "version-compatible": "false",
    "hardware-compatible": "false",
    "tf32": "false",
    "cuda-graph": "true",
    "nhwc": "true",
}
"""The effect of each option, besides `shape`, that is not set."""


def check_threads(threads: int) -> None:
    """Raise InputError if the number of threads is out of range."""
    if not 0 <= threads <= MOST_THREADS:
        raise InputError(f"threads {threads} must be 0 (all usable) to {MOST_THREADS}")


def _number(described: Mapping[str, str], name: str) -> int | None:
    text = described.get(name, "")
    if text and not (text.isascii() and text.isdigit()):
        raise InputError(f"{name} {text!r} is not a number")
    return int(text) if text else None


def _switch(described: Mapping[str, str], name: str) -> bool | None:
    text = described.get(name, "")
    if text not in ("", "true", "false"):
        raise InputError(f"{name} {text!r} is neither true nor false")
    return text == "true" if text else None

"""Triton's backends: what each takes, and how it is configured."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.artifact import Artifact, Contract, Manifest
from toolkit.clients import measured_clients
from toolkit.deployment.triton.configuration import InstanceKind, ModelConfiguration
from toolkit.errors import InputError, suggestion
from toolkit.quoting import shell
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import check_threads

_MOST_INSTANCES = _MOST_FRAMES = 1024
_DEFAULT_BATCH = 8


@dataclass(frozen=True)
class ServingOptions:
    """How Triton runs a model.

    Attributes:
        backend: onnxruntime, openvino or tensorrt; None: tensorrt for engines, otherwise onnxruntime.
        kind: where instances run; None: the first that the backend has.
        instances: how many run at the same time, per device.
        threads: CPU threads of each instance; 0: the backend's default.
        max_batch: most frames that Triton combines, for a network with a dynamic batch dimension; None: 8.

    Raises:
        InputError: a number is out of range.
    """

    backend: str | None = None
    kind: InstanceKind | None = None
    instances: int = 1
    threads: int = 0
    max_batch: int | None = None

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if not 1 <= self.instances <= _MOST_INSTANCES:
            raise InputError(f"instances {self.instances} must be 1 to {_MOST_INSTANCES}")
        if self.max_batch is not None and not 1 <= self.max_batch <= _MOST_FRAMES:
            raise InputError(f"max-batch {self.max_batch} must be 1 to {_MOST_FRAMES}")


@dataclass(frozen=True)
class Backend:
    """A backend.

    Attributes:
        name: Triton's.
        kinds: where its instances can run, the default first.
        file: the model's file in the repository.
        runtime: name of the runtime whose engines it loads; empty: it takes artifacts.
        threads: its parameter for the number of CPU threads; empty: it has none.
        batches: whether batches of any size up to a largest one are computed as they are.
    """

    name: str
    kinds: tuple[InstanceKind, ...]
    file: str
    runtime: str = ""
    threads: str = ""
    batches: bool = False

    def configuration(self, contract: Contract, options: ServingOptions) -> ModelConfiguration:
        """The configuration of a model of this backend.

        Raises:
            InputError: the backend, or the model, does not have what an option asks for.
        """
        kind = options.kind or self.kinds[0]
        if kind not in self.kinds:
            raise InputError(f"Triton's backend {self.name} does not run on {kind}", f"Use {' or '.join(self.kinds)}.")
        if options.threads and not self.threads:
            raise InputError(f"Triton's backend {self.name} has no number of CPU threads", "Leave out --threads.")
        batches = self.batches and isinstance(contract.input.shape[0], str)
        if options.max_batch is not None and not batches:
            reason = f"{contract.name} takes one frame at a time" if self.batches else f"{self.name} does not combine"
            raise InputError(f"frames cannot be combined into batches: {reason}", "Leave out --max-batch.")
        return ModelConfiguration(
            contract,
            self.name,
            self.file,
            kind,
            options.instances,
            (options.max_batch or _DEFAULT_BATCH) if batches else 0,
            {self.threads: str(options.threads)} if options.threads else {},
        )


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("onnxruntime", ("auto", "cpu", "gpu"), "model.onnx", threads="intra_op_thread_count", batches=True),
        # It would make a dynamic batch dimension static, and pad every smaller batch.
        Backend("openvino", ("cpu",), "model.onnx", threads="INFERENCE_NUM_THREADS"),
        Backend("tensorrt", ("gpu",), "model.plan", runtime="tensorrt"),
    )
}


def find_backend(given: Artifact | Engine, options: ServingOptions) -> Backend:
    """The backend that was asked for, or that fits.

    Raises:
        InputError: there is none, or it does not take what was given.
    """
    name = options.backend or ("tensorrt" if isinstance(given, Engine) else "onnxruntime")
    if name not in BACKENDS:
        raise InputError(f"Triton has no backend {name!r} for networks of the toolkit", suggestion(name, BACKENDS))
    backend = BACKENDS[name]
    if isinstance(given, Engine):
        _check_engine(given, backend)
    elif backend.runtime:
        build = shell(["toolkit", "build", given.path, "--runtime", backend.runtime])
        raise InputError(f"Triton's backend {name} takes an engine, and {given.path} is an artifact", f"Run {build}.")
    else:
        _check_precision(given.manifest, backend, options.kind or backend.kinds[0])
    return backend


def _check_engine(engine: Engine, backend: Backend) -> None:
    runtime, artifact = engine.info.runtime, f"{engine.info.artifact}.onnx"
    if not backend.runtime:
        reason = f"Triton's backend {backend.name} takes artifacts, and {engine.path} is an engine of {runtime}"
        raise InputError(reason, f"Give the artifact that it was built from, {artifact}.")
    if runtime != backend.runtime:
        raise InputError(
            f"{engine.path}: Triton has no backend that loads engines of {runtime}",
            f"Give the artifact that it was built from, {artifact}: onnxruntime and openvino take artifacts.",
        )


def _check_precision(manifest: Manifest, backend: Backend, kind: InstanceKind) -> None:
    """Refuse a precision that the backend does not run, as `docs/clients.md` has measured."""
    precision = manifest.precision
    if backend.name == "onnxruntime" and kind != "gpu" and not measured_clients()[precision]["onnxruntime, CPU"]:
        raise InputError(
            f"Triton's backend onnxruntime does not run {precision} on a CPU, as ONNX Runtime has no such convolution",
            "Use --backend openvino, or --kind gpu.",
        )


_BF16 = (
    "on CPUs with bf16 instructions OpenVINO computes float32 operators in bf16, and Triton's backend has no option "
    "against that: use --backend onnxruntime where it matters"
)


def notes(given: Artifact | Engine, backend: Backend) -> tuple[str, ...]:
    """What a user must know of a model on a backend."""
    if isinstance(given, Engine):
        built = ", ".join(f"{name} {value}" for name, value in given.info.identity.items())
        return (f"the server must have what the engine was built for: {built}",)
    return (_BF16,) if backend.name == "openvino" else ()

"""Triton's configuration of a model, `config.pbtxt`: protobuf text of its message `ModelConfig`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolkit.artifact import Contract
from toolkit.port import Port, PortType
from toolkit.quoting import protobuf_string

InstanceKind = Literal["auto", "cpu", "gpu"]
"""Where instances of a model run; auto: on the server's GPUs, or on its CPU if it has none."""

_TYPES: dict[PortType, str] = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "uint8": "TYPE_UINT8"}
_ANY = -1


@dataclass(frozen=True)
class ModelConfiguration:
    """What `config.pbtxt` says.

    Attributes:
        contract: name of the model, its input and output, and the only input size that it takes, if there is one.
        backend: Triton's name.
        file: name of the model's file in the directory of a version.
        kind: where instances run.
        instances: how many frames are computed at the same time, per device.
        max_batch: most frames that Triton combines into one batch; 0: none, and clients send the batch dimension.
        parameters: of the backend.
    """

    contract: Contract
    backend: str
    file: str
    kind: InstanceKind
    instances: int = 1
    max_batch: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The file's content."""
        batching = ["dynamic_batching { }"] if self.max_batch else []
        lines = [
            f"name: {protobuf_string(self.contract.name)}",
            f"backend: {protobuf_string(self.backend)}",
            f"default_model_filename: {protobuf_string(self.file)}",
            f"max_batch_size: {self.max_batch}",
            *self._tensor("input", self.contract.input, 1),
            *self._tensor("output", self.contract.output, self.contract.scale),
            *block("instance_group", [f"count: {self.instances}", f"kind: KIND_{self.kind.upper()}"]),
            *batching,
        ]
        for name, value in self.parameters.items():
            text = f"value {{ string_value: {protobuf_string(value)} }}"
            lines += block("parameters", [f"key: {protobuf_string(name)}", text])
        return "\n".join(lines) + "\n"

    def dims(self, port: Port, scale: int) -> list[int]:
        """Sizes of a port's frame as Triton counts them: -1 for any, without the batch dimension if Triton batches.

        Args:
            port: input or output.
            scale: of its height and width, relative to the input.
        """
        sizes = [size if isinstance(size, int) else _ANY for size in port.shape]
        if self.contract.fixed is not None:
            for axis, side in zip(port.spatial_axes, self.contract.fixed.upscaled(scale).sides, strict=True):
                sizes[axis] = side
        return sizes[1:] if self.max_batch else sizes

    def _tensor(self, role: str, port: Port, scale: int) -> list[str]:
        return tensor_block(role, port.name, triton_type(port), self.dims(port, scale))


def triton_type(port: Port) -> str:
    """Triton's name of the type of a port's values."""
    return _TYPES[port.dtype]


def tensor_block(role: str, name: str, kind: str, dims: Iterable[int]) -> list[str]:
    """An input or output: name, Triton's type, and sizes, -1 for any."""
    sizes = ", ".join(map(str, dims))
    return block(role, [f"name: {protobuf_string(name)}", f"data_type: {kind}", f"dims: [ {sizes} ]"])


def block(name: str, lines: Iterable[str]) -> list[str]:
    """Lines of a nested message."""
    return [f"{name} {{", *(f"  {line}" for line in lines), "}"]

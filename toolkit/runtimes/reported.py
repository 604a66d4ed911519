"""What runtimes report about a session: the precision of each node, the times of layers, the stages of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from toolkit.graph.precision.registry import common_name


@dataclass(frozen=True)
class Executed:
    """Precision and device that a node ran with, as the runtime itself reports them.

    Attributes:
        precision: `fp32`, `fp16`, `bf16`, `int8`, another type of `short_precision`, or `unknown`.
        device: the runtime's own name, for instance `CPUExecutionProvider` or `cuda:0`.
    """

    precision: str
    device: str


class Stages(msgspec.Struct, frozen=True):
    """Device time of one frame in seconds: copy to the device, inference, and copy back."""

    upload: float
    compute: float
    download: float


class LayerTime(msgspec.Struct, frozen=True):
    """Time that a layer takes for one frame.

    Attributes:
        name: the runtime's own name of the layer.
        kind: the runtime's own type of the layer; may be empty.
        seconds: mean over the frames that were measured.
        nodes: ONNX nodes that the layer computes: one, several where nodes were fused, none where they are unknown.
    """

    name: str
    kind: str
    seconds: float
    nodes: tuple[str, ...] = ()


def short_precision(dtype: str) -> str:
    """One name for `torch.float16`, `f16`, `FP16`, `tensor(float16)` and so on: fp32, fp16, bf16, int8, uint8, ..."""
    name = dtype.lower().removeprefix("torch.").removeprefix("tensor(").rstrip(")")
    return "uint8" if name == "u8" else common_name(name)

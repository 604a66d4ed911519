"""PyTorch modules as ONNX graphs, by the ways of torch's exporter: not every network can be written with free sizes."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.sizes import SizeRule
from toolkit.workloads import Shape

Way = Literal["dynamic sizes", "dynamic sizes, TorchScript", "fixed size"]

WAYS: tuple[Way, ...] = ("dynamic sizes", "dynamic sizes, TorchScript", "fixed size")
"""The best first. TorchScript records what one image does: its graph must be compared with the module at others."""

_SIDE = 48
"""Least height and width of the example, in pixels: larger than most windows."""


def traced(module: nn.Module, way: Way, channels: int, sizes: SizeRule, opset: int) -> bytes:
    """A module as an ONNX file, in its own floating type, with one input and one output (N, C, height, width).

    Args:
        module: in evaluation mode.
        way: of exporting.
        channels: of the input.
        sizes: of the input that the module takes.
        opset: asked for; exporters may write another.

    Raises:
        Exception: of any type, by the exporter.
    """
    shape = example_shape(sizes)
    example = torch.zeros(1, channels, *shape.sides, dtype=next(module.parameters()).dtype)
    with quiet_exporter(), _whole_pooling():
        if way == "dynamic sizes, TorchScript":
            return _scripted(module, example, opset)
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=opset,
            dynamic_shapes=(_dimensions(sizes),) if way == "dynamic sizes" else None,
            input_names=["input"],
            output_names=["output"],
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    content: bytes = program.model_proto.SerializeToString()
    return content


def example_shape(sizes: SizeRule) -> Shape:
    """Of the image that networks are traced with: its sides differ."""
    side = sizes.padded(_SIDE)
    return Shape(side, side + sizes.multiple)


def _dimensions(sizes: SizeRule) -> dict[int, object]:
    least = -(-sizes.smallest // sizes.multiple)
    sides = ((2, "height"), (3, "width"))
    return {axis: sizes.multiple * torch.export.Dim(f"{name}_parts", min=least) for axis, name in sides}


def _scripted(module: nn.Module, example: torch.Tensor, opset: int) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "network.onnx"
        torch.onnx.export(
            module,
            (example,),
            path,
            dynamo=False,
            opset_version=opset,
            dynamic_axes={name: {2: f"{name}_height", 3: f"{name}_width"} for name in ("input", "output")},
            input_names=["input"],
            output_names=["output"],
        )
        return path.read_bytes()


def rewrites_itself(module: nn.Module, channels: int, sizes: SizeRule) -> bool:
    """Whether a module replaces its weights when it is run, as blocks do that merge themselves for inference.

    The process of torch.export crashes on such modules; TorchScript records the weights of the last run.
    """
    before = [parameter.data_ptr() for parameter in module.parameters()]
    with torch.inference_mode():
        module(torch.zeros(1, channels, *example_shape(sizes).sides, dtype=next(module.parameters()).dtype))
    return before != [parameter.data_ptr() for parameter in module.parameters()]


@contextlib.contextmanager
def _whole_pooling() -> Iterator[None]:
    """Writes max pooling to a whole fraction of the size as pooling with a kernel: ONNX has no other for free sizes."""
    original: Any = functional.adaptive_max_pool2d

    def pooled(image: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        given = image.shape[-2:]
        wanted = tuple(output_size) if isinstance(output_size, list | tuple) else (output_size, output_size)
        if return_indices or None in wanted or any(have % want for have, want in zip(given, wanted, strict=True)):
            return original(image, output_size, return_indices)
        return functional.max_pool2d(image, [have // want for have, want in zip(given, wanted, strict=True)])

    functional.adaptive_max_pool2d = pooled  # type: ignore[assignment]  # not all of its overloads
    try:
        yield
    finally:
        functional.adaptive_max_pool2d = original


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silences torch's exporter, whose warnings are for the developers of torch."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

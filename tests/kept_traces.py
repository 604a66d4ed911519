"""Traces a network once per run: a later export of the same network reads what torch's exporter wrote for the first.

That exporter takes most of the time of an export, seconds even for the smallest network, and most artifacts of the
tests are made from the same few networks. All that follows it in an export runs each time. Tests of the exporter itself
export in a process of their own, or are the first to export their network.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import onnx
import torch

import toolkit.graph.export
from toolkit.graph.export import DEFAULT_OPSET, trace
from toolkit.network.module import NetworkModule
from toolkit.system.atomic import write_bytes

DIRECTORY = "RT4KSR_TEST_TRACES"
"""Environment variable: where traces are kept. If it is not set, each export traces."""

_exporter = torch.onnx.export


def keep_traces() -> None:
    """Make `toolkit.export` of this process keep its traces in the directory that `DIRECTORY` names."""
    toolkit.graph.export.trace = kept_trace


def kept_trace(network: NetworkModule, opset: int = DEFAULT_OPSET) -> onnx.ModelProto:
    """What `toolkit.graph.export.trace` returns."""
    directory = os.environ.get(DIRECTORY)
    if directory is None or torch.onnx.export is not _exporter:  # a test replaced it
        return trace(network, opset)
    path = Path(directory) / f"{_key(network, opset)}.onnx"
    if path.is_file():
        return onnx.load(path)
    model = trace(network, opset)
    write_bytes(path, model.SerializeToString())
    return model


def _key(network: NetworkModule, opset: int) -> str:
    """Of all that a trace depends on."""
    described = (opset, type(network).__qualname__, repr(network.config), repr(network), str(network.dtype))
    digest = hashlib.sha256(repr(described).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy())
    return digest.hexdigest()

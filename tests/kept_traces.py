"""Traces a network once per run: a later export of the same network reads what torch's exporter wrote for the first.

That exporter takes most of the time of an export, seconds even for the smallest network, and most artifacts of the
tests are made from the same few networks. All that follows it in an export runs each time, its comparisons with the
network in float64 included. Tests of the exporter itself export in a process of their own, or are the first to export
their network.

Networks that differ in their weights only share a trace, into which the weights of each are written. What the exporter
writes may depend on weights that are equal, 0 or 1 (it stores equal ones once, and leaves out what has no effect):
networks with such weights have traces of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from torch.onnx._internal.exporter._registration import ONNXRegistry

import toolkit.graph.export
from toolkit.graph.export import DEFAULT_OPSET, trace
from toolkit.network.module import NetworkModule
from toolkit.system.atomic import write_bytes

DIRECTORY = "RT4KSR_TEST_TRACES"
"""Environment variable: where traces are kept. If it is not set, each export traces."""

_exporter = torch.onnx.export


def keep_traces() -> None:
    """Make `toolkit.export` of this process keep its traces in the directory that `DIRECTORY` names.

    The exporter collects all operators that it knows, in a second, for each network: here once.
    """
    toolkit.graph.export.trace = kept_trace
    ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))


def kept_trace(network: NetworkModule, opset: int = DEFAULT_OPSET) -> onnx.ModelProto:
    """What `toolkit.graph.export.trace` returns."""
    directory = os.environ.get(DIRECTORY)
    if directory is None or torch.onnx.export is not _exporter:  # a test replaced it
        return trace(network, opset)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    shared = _every_value_matters(weights)
    path = Path(directory) / f"{_key(network, opset, {} if shared else weights)}.onnx"
    places = path.with_suffix(".json")  # written last: there are no places without a trace
    if places.is_file():
        return _with_weights(onnx.load(path), json.loads(places.read_bytes()), weights)
    model = trace(network, opset)
    found = _places(model, weights) if shared else {}
    if shared and set(found.values()) != weights.keys():  # some were computed with
        return model
    write_bytes(path, model.SerializeToString())
    write_bytes(places, json.dumps(found).encode())
    return model


def _every_value_matters(weights: dict[str, np.ndarray]) -> bool:
    """Whether no two tensors are equal, and none has the same value everywhere, or is a single 0 or 1."""
    contents = {values.tobytes() for values in weights.values()}
    constant = (np.ptp(values) == 0 if values.size > 1 else abs(values.item()) in {0, 1} for values in weights.values())
    return len(contents) == len(weights) and not any(constant)


def _places(model: onnx.ModelProto, weights: dict[str, np.ndarray]) -> dict[str, str]:
    """Initializers, and whose values each has; the exporter reshapes some weights, which then have other names."""
    names = {values.tobytes(): name for name, values in weights.items()}
    return {tensor.name: names[tensor.raw_data] for tensor in model.graph.initializer if tensor.raw_data in names}


def _with_weights(model: onnx.ModelProto, places: dict[str, str], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name in places:
            tensor.raw_data = weights[places[tensor.name]].tobytes()
    return model


def _key(network: NetworkModule, opset: int, weights: dict[str, np.ndarray]) -> str:
    """Of all that a trace depends on."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    described = (opset, type(network).__qualname__, repr(network.config), repr(network), str(network.dtype), shapes)
    digest = hashlib.sha256(repr(described).encode())
    for values in weights.values():
        digest.update(values.tobytes())
    return digest.hexdigest()

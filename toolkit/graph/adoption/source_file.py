"""Compares the float64 form of an adopted graph with the file itself, as ONNX Runtime runs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from toolkit.checks import Check
from toolkit.errors import CheckFailed
from toolkit.graph.adoption.contract import Measured
from toolkit.graph.adoption.ends import Function
from toolkit.graph.adoption.levels import suitable
from toolkit.graph.adoption.normalising import fixed_batch, fixed_size, without_fixed_sizes
from toolkit.graph.analysis.numerics import probe_images
from toolkit.graph.protos import stored_tensors
from toolkit.system.foreign import first_line
from toolkit.workloads import Shape

_SINGLE_BOUND, _HALF_BOUND = 2**-9, 2**-5
"""Largest difference, relative to the output's largest value, for files that store weights in float32 or wider, and for
those with float16 or bfloat16. Rounding changes results by far less; a wrong conversion of an operator by far more."""


_MOST_PIXELS = 1 << 18
"""Of an input that is run in float64: 512x512."""


@dataclass(frozen=True)
class Compared:
    """The comparison, or a note why there is none."""

    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()


def source_check(original: onnx.ModelProto, function: Function, measured: Measured) -> Compared:
    """Run the file as it is on ONNX Runtime, which the toolkit had no part in, and compare.

    Raises:
        CheckFailed: the float64 form computes something else.
    """
    original, shape = _at_own_size(original, suitable(measured.sizes, measured.fixed))
    image = probe_images((shape, shape, shape))[1]
    expected = function(measured.input.from_image(image, floating=np.float64)).astype(np.float64)
    try:
        result = _run(original, measured.input.from_image(image, floating=np.float64))
    except Exception as error:  # noqa: BLE001  (ONNX Runtime raises types of its own for what it does not support)
        return Compared(
            notes=(f"the file was not compared with ONNX Runtime, which cannot run it: {first_line(error)}",)
        )
    scale = np.maximum(np.abs(expected).max(), np.abs(measured.output.value_range).max())
    distance = float(np.abs(result.astype(np.float64) - expected).max() / scale)
    check = Check.of("source file", "ONNX Runtime", distance, _bound(original), f"at {shape}")
    if not check.passed:
        raise CheckFailed(
            f"the graph computes something else than its file on ONNX Runtime: the difference is {distance:.3g} of the "
            f"largest value, allowed {check.bound:.3g}",
            "Export the network again with another exporter or opset; the conversion of an operator is wrong.",
        )
    return Compared((check,))


def _at_own_size(original: onnx.ModelProto, small: Shape) -> tuple[onnx.ModelProto, Shape]:
    """The file and the size to run it at: its own, if it has a fixed one. At a very large one float64 arithmetic takes
    too much memory; the file is then run with dynamic sizes at a small one."""
    own = fixed_size(original)
    if own is None:
        return original, small
    if own.height * own.width <= max(_MOST_PIXELS, small.height * small.width):
        return original, own
    freed = without_fixed_sizes(original)
    del freed.graph.value_info[:]
    return freed, small


def _run(model: onnx.ModelProto, frame: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = model.graph.input[0]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
    batch = np.repeat(frame.astype(dtype), fixed_batch(model), axis=0)
    return np.asarray(session.run(None, {given.name: batch})[0])[:1]


def _bound(model: onnx.ModelProto) -> float:
    """By the narrowest floating-point type of the file."""
    kinds = {tensor.data_type for tensor in stored_tensors(model)}
    return _HALF_BOUND if kinds & {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16} else _SINGLE_BOUND

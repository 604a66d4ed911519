"""NV12 frames for a network on Triton: a model that converts them, and an ensemble of it and the network.

NV12 holds a picture of even height and width as bytes (1, 1, 3H/2, W): H rows of luma, then H/2 rows of pairs (Cb, Cr).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolkit.deployment.triton.configuration import ModelConfiguration, block, tensor_block, triton_type
from toolkit.errors import InputError
from toolkit.port import Port
from toolkit.quoting import protobuf_string
from toolkit.workloads import Shape

Matrix = Literal["709", "601"]
"""ITU-R BT.709 or BT.601."""

_LUMA: dict[Matrix, tuple[float, float]] = {"709": (0.2126, 0.0722), "601": (0.299, 0.114)}
"""Weights of red and blue in luma."""
_CUBIC = -0.6
"""FFmpeg's parameter of bicubic interpolation."""
_LARGEST = (2**15 - 1) / 2**7
"""To which FFmpeg limits rows of interpolated chroma: 15 bits, in units of bytes."""
_OPSET, _IR = 18, 8
_NAME, _FRAME, _FILE = "nv12", "frame", "model.onnx"


def nv12_models(network: ModelConfiguration, matrix: Matrix) -> dict[str, dict[str, bytes]]:
    """Files of two more models, by the model's name: the conversion, and the ensemble, which takes NV12.

    Args:
        network: configuration of the network's model.
        matrix: of the frames, whose range is limited (16..235) and whose chroma samples lie at the left.

    Raises:
        InputError: the matrix is unknown; or the network takes luma, batches, or only an odd size.
    """
    _check(network, matrix)
    contract = network.contract
    given, returned = contract.input, contract.output
    converter, ensemble = f"{contract.name}_from_nv12", f"{contract.name}_nv12"
    nv12 = tensor_block("input", _NAME, "TYPE_UINT8", _dims(contract.fixed))
    conversion = [
        f"name: {protobuf_string(converter)}",
        'backend: "onnxruntime"',
        f"default_model_filename: {protobuf_string(_FILE)}",
        *nv12,
        *tensor_block("output", _FRAME, triton_type(given), network.dims(given, 1)),
    ]
    whole = [
        f"name: {protobuf_string(ensemble)}",
        'platform: "ensemble"',
        *nv12,
        *tensor_block("output", returned.name, triton_type(returned), network.dims(returned, contract.scale)),
        *block(
            "ensemble_scheduling",
            [
                *_step(converter, (_NAME, _NAME), (_FRAME, _FRAME)),
                *_step(contract.name, (given.name, _FRAME), (returned.name, returned.name)),
            ],
        ),
    ]
    model = conversion_model(given, matrix).SerializeToString(deterministic=True)
    return {
        converter: {"config.pbtxt": _text(conversion), f"1/{_FILE}": model},
        # Triton wants a directory of the version, and a repository may be kept where empty directories are not.
        ensemble: {"config.pbtxt": _text(whole), "1/ensemble": b""},
    }


def conversion_model(port: Port, matrix: Matrix) -> onnx.ModelProto:
    """A model from `nv12`, bytes (1, 1, 3H/2, W), to `frame`, a frame of the port.

    Chroma is interpolated as FFmpeg does it for `toolkit upscale`, without its fixed-point rounding: bicubic, samples
    at the left of two columns of luma, and in the middle between two rows. Values are limited to black..white.
    """
    constants: dict[str, NDArray[Any]] = {
        "halves": np.array([0, 3, -1, 0]),
        "rows": np.array([0, 1, -1, 0]),
        "parts": np.array([2, 1]),
        **{f"at {value}": np.array([value]) for value in (0, 1, 2, 3)},
        "end": np.array([np.iinfo(np.int64).max]),
        "largest": np.array(_LARGEST, np.float32),
        "down": np.array([1, 1, 2, 1], np.float32),
        "across": np.array([1, 1, 1, 2], np.float32),
        **_weights(matrix, port.order == "BGR"),
        "black": np.array(0, np.float32),
        "white": np.array(1, np.float32),
        "span": np.array(port.span, np.float32),
        "low": np.array(port.value_range[0], np.float32),
    }
    cubic = {"mode": "cubic", "cubic_coeff_a": _CUBIC}
    # A third of the bytes each: two thirds are luma.
    steps: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("Reshape", [_NAME, "halves"], ["thirds"], {}),
        ("Split", ["thirds", "parts"], ["luma thirds", "pairs"], {"axis": 1}),
        ("Reshape", ["luma thirds", "rows"], ["luma"], {}),
        ("Slice", ["pairs", "at 0", "end", "at 3", "at 2"], ["cb"], {}),
        ("Slice", ["pairs", "at 1", "end", "at 3", "at 2"], ["cr"], {}),
        ("Concat", ["cb", "cr"], ["chroma bytes"], {"axis": 1}),
        ("Cast", ["luma"], ["y"], {"to": TensorProto.FLOAT}),
        ("Cast", ["chroma bytes"], ["chroma"], {"to": TensorProto.FLOAT}),
        ("Resize", ["chroma", "", "across"], ["wide"], {**cubic, "coordinate_transformation_mode": "asymmetric"}),
        ("Clip", ["wide", "", "largest"], ["limited"], {}),
        ("Resize", ["limited", "", "down"], ["full"], {**cubic, "coordinate_transformation_mode": "half_pixel"}),
        ("Concat", ["y", "full"], ["ycbcr"], {"axis": 1}),
        ("Conv", ["ycbcr", "matrix", "offset"], ["rgb"], {}),
        ("Clip", ["rgb", "black", "white"], ["unit"], {}),
        ("Mul", ["unit", "span"], ["scaled"], {}),
        ("Add", ["scaled", "low"], ["values"], {}),
        ("Round", ["values"], ["rounded"], {}),
        ("Cast", ["rounded" if port.dtype == "uint8" else "values"], ["typed"], {"to": _onnx_type(port)}),
        ("Transpose", ["typed"], [_FRAME], {"perm": [0, 1, 2, 3] if port.layout == "NCHW" else [0, 2, 3, 1]}),
    ]
    nodes = [helper.make_node(kind, given, made, made[0], **more) for kind, given, made, more in steps]
    shapes = {_NAME: (1, 1, "bytes", "width"), _FRAME: port.shape}
    types = {_NAME: TensorProto.UINT8, _FRAME: _onnx_type(port)}
    ends = [helper.make_tensor_value_info(name, types[name], shape) for name, shape in shapes.items()]
    graph = helper.make_graph(
        nodes, "from_nv12", ends[:1], ends[1:], [numpy_helper.from_array(*item[::-1]) for item in constants.items()]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.checker.check_model(made, full_check=True)
    return made


def _weights(matrix: Matrix, reverse: bool) -> dict[str, NDArray[np.float32]]:
    """A 1x1 convolution from bytes of Y, Cb, Cr in limited range to RGB, or BGR, with black 0 and white 1."""
    red, blue = _LUMA[matrix]
    green = 1 - red - blue
    cr, cb = 2 * (1 - red), 2 * (1 - blue)
    rows = np.array([[1, 0, cr], [1, -cb * blue / green, -cr * red / green], [1, cb, 0]])
    rows = rows[::-1] if reverse else rows
    scaled = rows / np.array([219, 224, 224])
    offset = -scaled @ np.array([16, 128, 128])
    return {"matrix": scaled[..., None, None].astype(np.float32), "offset": offset.astype(np.float32)}


def _check(network: ModelConfiguration, matrix: Matrix) -> None:
    contract, fixed = network.contract, network.contract.fixed
    if matrix not in get_args(Matrix):
        raise InputError(f"nv12 {matrix!r} is not a matrix", f"Give one of {', '.join(get_args(Matrix))}.")
    if contract.input.channels == 1:
        raise InputError(f"{contract.name} takes luma, which is the first plane of NV12", "Leave out --nv12.")
    if network.max_batch:
        raise InputError(f"{contract.name} takes batches, and NV12 frames are single", "Leave out --nv12.")
    if fixed is not None and any(side % 2 for side in fixed.sides):
        raise InputError(f"{contract.name} accepts only {fixed}, and NV12 has even sizes", "Leave out --nv12.")


def _dims(fixed: Shape | None) -> list[int]:
    return [1, 1, -1, -1] if fixed is None else [1, 1, fixed.height // 2 * 3, fixed.width]


def _step(model: str, given: Sequence[str], returned: Sequence[str]) -> list[str]:
    """A step of an ensemble: a model, and for its input and output the name there and in the ensemble."""
    maps = {"input_map": given, "output_map": returned}
    lines = [f"model_name: {protobuf_string(model)}", "model_version: -1"]
    for name, (inside, outside) in maps.items():
        lines += block(name, [f"key: {protobuf_string(inside)}", f"value: {protobuf_string(outside)}"])
    return block("step", lines)


def _onnx_type(port: Port) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype)))


def _text(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()

"""Weights of bf16 and int8 that are rounded together."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.analysis.tensors import tensor_function
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.integer_fit import fit_integers
from toolkit.graph.precision.quantise import weight_integers
from toolkit.graph.precision.rounding import _round_inputs, round_weights
from toolkit.graph.source import source_checkpoint


def weights(model: onnx.ModelProto) -> dict[str, list[np.ndarray]]:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {
        node.name: [constants[name] for name in node.input[1:]] for node in model.graph.node if node.op_type == "Conv"
    }


def is_bf16(array: np.ndarray) -> bool:
    return bool((array.astype(ml_dtypes.bfloat16).astype(np.float32) == array).all())


def smooth(seed: int, size: int = 96) -> np.ndarray:
    """Noise as images are: neighbouring pixels resemble each other."""
    noise = np.random.default_rng(seed).random((1, 3, size, size))
    for axis in (2, 3):
        noise = sum(np.roll(noise, shift, axis) for shift in range(-3, 4)) / 7
    return (3 * (noise - 0.5) + 0.5).astype(np.float32)


def test_together_is_better_than_nearest(small_artifact: Artifact) -> None:
    """On images that were not looked at, against the float32 network."""
    model, port = onnx.load(small_artifact.path), small_artifact.manifest.input
    rounded = round_weights(model, port, [smooth(seed) for seed in range(4)])
    assert all(is_bf16(array) for arrays in weights(rounded).values() for array in arrays)
    nearest = onnx.load(small_artifact.path)
    for tensor in nearest.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size > 1 and not tensor.name.endswith("shift"):
            values = array.astype(ml_dtypes.bfloat16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    unseen = smooth(9)
    exact = tensor_function(model, "output")(unseen, port)
    errors = []
    for candidate in (rounded, nearest):
        _round_inputs(candidate, lambda _: False)
        errors.append(np.square(tensor_function(candidate, "output")(unseen, port) - exact).mean())
    assert errors[0] < 0.8 * errors[1]


def test_what_stays_in_float32_keeps_its_weights(small_artifact: Artifact) -> None:
    model, port = onnx.load(small_artifact.path), small_artifact.manifest.input
    before, after = weights(model), weights(round_weights(model, port, [smooth(0)], lambda name: name == "head"))
    for old, new in zip(before["head"], after["head"], strict=True):
        np.testing.assert_array_equal(old, new)
    assert not is_bf16(after["head"][0])
    assert is_bf16(after["upsample"][0])


def test_bytes_and_no_images(small_artifact: Artifact, tmp_path) -> None:
    artifact = export(source_checkpoint(small_artifact), ExportOptions(uint8="NHWC"), tmp_path)
    image = (smooth(0).clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    rounded = round_weights(onnx.load(artifact.path), artifact.manifest.input, [np.ascontiguousarray(image)])
    assert all(is_bf16(array) for arrays in weights(rounded).values() for array in arrays)
    with pytest.raises(InputError, match="none were given"):
        round_weights(onnx.load(artifact.path), artifact.manifest.input, [])


def test_int8_weights_are_stored_as_they_were_fitted(small_artifact: Artifact) -> None:
    """The steps that the pass finds are those that they were rounded to."""
    model, port = onnx.load(small_artifact.path), small_artifact.manifest.input
    fitted = fit_integers(model, port, [smooth(seed) for seed in range(2)])
    before = weights(model)
    for name, (weight, _bias) in weights(fitted.model).items():
        whole, steps = weight_integers(weight.astype(np.float64))
        np.testing.assert_allclose(whole * steps[:, None, None, None], weight, rtol=1e-5, atol=1e-7)
        assert not np.array_equal(weight, before[name][0])
        pairs = np.sort(np.abs(whole.reshape(len(whole), -1).astype(int)), axis=1)[:, -2:].sum(axis=1)
        assert set(pairs) == {127}

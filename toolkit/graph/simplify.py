"""Simplifies a graph with onnxsim, whose result is checked by the caller."""

from __future__ import annotations

import onnx

from toolkit.errors import CheckFailed


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """The simplified graph. It is valid, but not proved to compute the same function.

    onnxsim's own check compares nothing by default (`check_n` is 0), so the caller must compare values. Input shapes
    are not overwritten, which would make a dynamic model static.

    Raises:
        CheckFailed: onnxsim returned an invalid model, or one with other inputs or outputs.
    """
    import onnxsim

    before = _ends(model)
    simplified: onnx.ModelProto = onnxsim.simplify(model)[0]
    try:
        onnx.checker.check_model(simplified, full_check=True)
    except onnx.checker.ValidationError as error:
        raise CheckFailed(f"onnxsim returned an invalid model: {error}", "Export with --no-simplify.") from error
    if _ends(simplified) != before:
        raise CheckFailed("onnxsim changed the model's inputs or outputs", "Export with --no-simplify.")
    return simplified


def _ends(model: onnx.ModelProto) -> list[bytes]:
    return [end.SerializeToString(deterministic=True) for end in [*model.graph.input, *model.graph.output]]

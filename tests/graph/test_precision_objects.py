"""What every precision's object says, against NumPy, ONNX and PyTorch: a new precision is tested here too."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch

from toolkit.checks import Limits
from toolkit.errors import InputError
from toolkit.graph.precision.base import PrecisionFormat, TargetPrecision
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.registry import PRECISIONS, TARGETS, common_name, find_precision, find_target
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.runtimes.reported import short_precision


def named(found: PrecisionFormat) -> str:
    return found.name


def test_every_name_has_one_object() -> None:
    names = [found.name for found in PRECISIONS]
    assert set(names) == set(Precision.__args__)
    assert len(names) == len(set(names))
    assert [found.name for found in PRECISIONS if found not in TARGETS] == [FULL_PRECISION]


@pytest.mark.parametrize("found", PRECISIONS, ids=named)
def test_its_type_is_the_same_everywhere(found: PrecisionFormat) -> None:
    dtype = np.dtype(getattr(ml_dtypes, found.storage, found.storage))
    assert onnx.helper.np_dtype_to_tensor_dtype(dtype) == onnx.TensorProto.DataType.Value(found.onnx_type)
    theirs: torch.dtype = getattr(torch, found.storage)
    assert theirs.itemsize == dtype.itemsize
    assert theirs.is_floating_point == found.floating
    assert short_precision(str(theirs)) == short_precision(found.onnx_type) == found.name


@pytest.mark.parametrize("found", PRECISIONS, ids=named)
def test_what_runtimes_call_it_is_no_other_precision(found: PrecisionFormat) -> None:
    assert {common_name(alias) for alias in (*found.runtime_names, found.name)} == {found.name}
    others = {alias for other in PRECISIONS if other is not found for alias in (*other.runtime_names, other.name)}
    assert not found.runtime_names & others
    assert common_name("uint8") == "uint8"


@pytest.mark.parametrize("found", PRECISIONS, ids=named)
def test_what_it_may_cost(found: PrecisionFormat) -> None:
    exact = find_precision(FULL_PRECISION).budget
    assert isinstance(found.budget, Limits)
    assert found is find_precision(FULL_PRECISION) or found.budget.mean > exact.mean


@pytest.mark.parametrize("target", TARGETS, ids=named)
def test_options_that_apply_are_those_that_there_are(target: TargetPrecision) -> None:
    assert target.options <= set(ConvertOptions.__dataclass_fields__)
    assert target.keeping(ConvertOptions(), ["head"]) != target.keeping(ConvertOptions(), [])
    assert target.bounds.mean < (target.bounds.largest or 1)
    assert target.calibration(ConvertOptions()).startswith("images of the toolkit")


def test_nothing_is_converted_to_what_artifacts_are_exported_in() -> None:
    with pytest.raises(InputError, match="nothing to convert"):
        find_target(FULL_PRECISION)


def test_a_cpu_computes_in_what_it_has_instructions_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.graph.precision.base.instruction_sets", lambda: frozenset({"avx2", "avx512_bf16"}))
    assert {found.name: found.cpu_computes() for found in PRECISIONS} == {
        "fp32": True,
        "fp16": False,
        "bf16": True,
        "int8": True,
    }


def test_asking_about_a_precision_is_light() -> None:
    """The command line and all runtimes do; only a conversion imports what rewrites graphs."""
    code = "import sys, toolkit.graph.precision.registry; print({'onnx', 'onnx_ir', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"

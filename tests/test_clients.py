"""What `inspect` says of other programs is what `docs/clients.md` says."""

import sys
from pathlib import Path
from typing import get_args

import pytest

from toolkit.clients import client_support, measured_clients
from toolkit.precisions import Precision

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "validation" / "clients"))
import table  # noqa: E402


def test_the_table_of_the_documentation_is_what_inspect_knows() -> None:
    written = (ROOT / "docs" / "clients.md").read_text().partition(table.BEGIN)[2].partition(table.END)[0]
    assert table.support(written.strip()) == table.SUPPORT.read_bytes()


@pytest.mark.parametrize(
    ("cell", "result"), [("0, 0 %", True), ("44, 92 %", True), ("255, 99 %", False), ("refused (1)", False)]
)
def test_garbage_is_no_result(cell: str, result: bool) -> None:
    assert table.is_result(cell) is result


def test_every_precision_is_described() -> None:
    assert set(measured_clients()) == set(get_args(Precision))
    assert "not" not in client_support("fp32")
    assert client_support("bf16").partition("; not by ")[2].startswith("onnxruntime, CPU")

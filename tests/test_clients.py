"""What `inspect` says of other programs is what `docs/clients.md` says."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

from toolkit.clients import client_support, measured_clients
from toolkit.precisions import Precision

ROOT = Path(__file__).parents[1]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("clients_table", ROOT / "validation" / "clients" / "table.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # its dataclasses look themselves up there
    spec.loader.exec_module(made)
    return made


def test_the_table_of_the_documentation_is_what_inspect_knows() -> None:
    module = script()
    table = (ROOT / "docs" / "clients.md").read_text().partition(module.BEGIN)[2].partition(module.END)[0]
    assert module.support(table.strip()) == module.SUPPORT.read_bytes()


def test_every_precision_is_described() -> None:
    assert set(measured_clients()) == set(get_args(Precision))
    assert "not" not in client_support("fp32")
    assert client_support("bf16").partition("; not by ")[2].startswith("onnxruntime, CPU")

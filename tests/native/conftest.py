from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from native.graphs import EVEN, artifact
from native.running import Native

from toolkit.artifact import Artifact
from toolkit.native.compiler import find_compiler
from toolkit.sizes import SizeRule


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_compiler() is None:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="there is no C++ compiler"))


@pytest.fixture(scope="session")
def native(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Native]:
    """A graph of the tests as something to run."""

    def made(model: onnx.ModelProto, scale: int = 2, sizes: SizeRule = EVEN) -> Native:
        directory: Path = tmp_path_factory.mktemp("graph")
        return Native(artifact(model, small_artifact, directory, scale, sizes=sizes))

    return made

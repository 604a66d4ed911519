from __future__ import annotations

import os
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="session", autouse=True)
def library_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled once a session, and nothing left in the user's own cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def native(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Native]:
    """A graph of the tests as something to run."""

    def made(model: onnx.ModelProto, scale: int = 2, sizes: SizeRule = EVEN) -> Native:
        directory: Path = tmp_path_factory.mktemp("graph")
        return Native(artifact(model, small_artifact, directory, scale, sizes=sizes))

    return made

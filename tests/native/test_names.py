"""Whatever names a graph and its manifest hold, the engine's source is the same program."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hostile import CONTROL, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native.graphs import Builder, artifact
from native.networks import float64, strided
from native.running import Native

import toolkit
from toolkit.artifact import Artifact, Manifest
from toolkit.native.compiler import sources
from toolkit.native.interface import EXAMPLE, HEADER, interface, symbol
from toolkit.native.program import Program
from toolkit.native.targets import NATIVE, find_target
from toolkit.workloads import Shape

TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|\s+|(?P<code>\w+|.)', re.DOTALL)
"""Comments, strings, white space, and what else there is in C++."""

INJECTION = 'x\n#include <cstdlib>\nstatic int ran = (std::system("touch CODE_RAN"), 0);\n//'
WORST = (
    "*/ /* ??/",
    "a\\",
    '"); //',
    "b\r\n#error",
    "\u2028#error",
    "",
    "@SYMBOL@",
    "\x00",
    "??/\n",
    "\x1b[2J",
    "é日本",
)


def code(text: str) -> list[str]:
    """What a compiler sees of a file: trigraphs and spliced lines replaced, comments and strings left out."""
    assert not CONTROL.search(text)
    spliced = re.sub(r"\\[ \t]*\n", "", text.replace("??/", "\\"))
    return [found["code"] for found in TOKENS.finditer(spliced) if found["code"] is not None]


def anonymous(tokens: list[str], prefix: str) -> list[str]:
    """Tokens whose prefix is the name of the artifact, without it."""
    codes = "ok|bad_size|bad_argument|no_memory|bad_processor|no_file"
    names = f"_({codes}|engine|create|destroy|shape|run|run_rows|run_yuv420|error|version|H|SCALE|UNIT)"
    named = re.compile(f"(?i){re.escape(prefix)}({names}|_working_bytes|_executed|_SMALLEST)")
    return [named.sub(r"@\1", token) if named.fullmatch(token) else token for token in tokens]


def files(program: Program, manifest: Manifest) -> dict[str, list[str]]:
    """Tokens of everything that is generated."""
    target = find_target("scalar")
    found = {"engine.cpp": code(sources(program, manifest, target)["engine.cpp"])}
    for template in (HEADER, EXAMPLE):
        tokens = code(interface(template, program, manifest, target))
        found[template] = anonymous(tokens, symbol(manifest.name))
    return found


def renamed(program: Program, names: list[str]) -> Program:
    """The same program of a graph whose nodes have other names."""
    new = dict(zip(program.executed, names, strict=False))
    stages = [replace(stage, nodes=[new.get(node, node) for node in stage.nodes]) for stage in program.stages]
    executed = {new.get(node, node): precision for node, precision in program.executed.items()}
    return replace(program, stages=stages, executed=executed)


@pytest.fixture(scope="module")
def network(native: Callable[..., Native]) -> Native:
    return native(strided())


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=texts(1), nodes=st.lists(texts(), min_size=8, max_size=20, unique=True))
def test_names_are_no_code(name: str, nodes: list[str], network: Native) -> None:
    manifest = network.artifact.manifest
    # A manifest refuses most of these names; the source does not rely on that.
    hostile: Any = SimpleNamespace(
        name=name, precision=manifest.precision, input=manifest.input, output=manifest.output
    )
    assert files(renamed(network.program, nodes), hostile) == files(network.program, manifest)


@pytest.mark.parametrize("name", ["timer", "pthread_mutex", "int", "std", "4k", "größe", "a b", "_x", "日本"])
def test_an_artifact_of_any_name_runs(name: str, small_artifact: Artifact, tmp_path: Path) -> None:
    """`timer_create` and `pthread_mutex_destroy` are functions of the C library."""
    b = Builder(0)
    model = b.model(b.node("DepthToSpace", b.conv("input", 3, 12, 3), blocksize=2, mode="CRD"))
    made = artifact(model, small_artifact, tmp_path, 2, name)
    session = toolkit.load_session(made, "native")
    session.bind(Shape(4, 4))
    frame = np.random.default_rng(0).random((1, 3, 4, 4), np.float32)
    np.testing.assert_allclose(session.run(frame), float64(model)(frame), rtol=0, atol=1e-5)


def test_a_name_cannot_run_code(small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled, loaded and run: every name says what it is, and nothing else has happened."""
    monkeypatch.chdir(tmp_path)
    model = strided()
    names = [INJECTION, *WORST]
    for node, name in zip(model.graph.node, names, strict=False):
        node.name = name
        node.metadata_props.add(key=INJECTION, value=INJECTION)
    model.opset_import.append(onnx.helper.make_opsetid(INJECTION, 1))
    for index in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[index].dim_param = f"{INJECTION}{index}"
    session = toolkit.load_session(artifact(model, small_artifact, tmp_path, 2), "native")
    session.bind(Shape(6, 10))
    frame = np.random.default_rng(0).random((1, 3, 6, 10), np.float32)
    np.testing.assert_allclose(session.run(frame), float64(model)(frame), rtol=0, atol=1e-5)
    assert INJECTION in session.executed()
    assert not (tmp_path / "CODE_RAN").exists()


def test_limits_that_are_no_numbers_compile(native: Callable[..., Native]) -> None:
    b = Builder(0)
    limits = (b.constant(np.float32(-np.inf)), b.constant(np.float32(0.25)))
    x = b.node("Clip", b.conv("input", 3, 12, 3), *limits)
    made = native(b.model(b.node("DepthToSpace", x, blocksize=2, mode="CRD")))
    frame = made.noise(4, 6)
    np.testing.assert_allclose(made.run(frame), float64(onnx.load(made.artifact.path))(frame), rtol=0, atol=1e-5)


def test_a_bundle_says_its_target(small_artifact: Artifact, tmp_path: Path) -> None:
    engine = toolkit.build(small_artifact, "native", directory=tmp_path).engine
    assert engine.info.settings["target"] == engine.info.identity["target"] == find_target(NATIVE).name

"""Whatever names an artifact has, a script is the same program with these names as text."""

from __future__ import annotations

import argparse
import ast
import copy
import shlex
from pathlib import Path

import msgspec
import pytest
from hostile import WORST, hidden, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.artifact import Artifact, Manifest
from toolkit.manifest_parts import is_plain_name
from toolkit.runtimes.building import BuildingRuntime
from toolkit.runtimes.engine import build_command
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import RUNTIMES
from toolkit.runtimes.script import ScriptJob, Timing
from toolkit.runtimes.subject import Subject
from toolkit.verification.polygraphy import polygraphy_script
from toolkit.workloads import Shape

SCRIPTED = ("ort-cpu", "ort-cuda", "ort-tensorrt", "openvino", "tensorrt", "tensorrt-rtx")


class Blank(ast.NodeTransformer):
    """Without the texts of a program."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node


def program(script: str) -> str:
    assert not hidden(script)
    return ast.dump(Blank().visit(ast.parse(script)))


def renamed(manifest: Manifest, name: str, first: str, second: str) -> Manifest:
    """A manifest refuses most of these names; scripts do not rely on that."""
    made = copy.copy(manifest)
    changes = {
        "input": msgspec.structs.replace(manifest.input, name=first),
        "output": msgspec.structs.replace(manifest.output, name=second),
        "name": name,
        "onnx_sha256": name,
    }
    for field, value in changes.items():
        msgspec.structs.force_setattr(made, field, value)
    return made


def script(runtime: str, artifact: Artifact, onnx: Path, timing: Timing | None = None) -> str:
    chosen = RUNTIMES[runtime]
    assert isinstance(chosen, BuildingRuntime)
    return chosen._script(ScriptJob(runtime, artifact, Shape(16, 24), BuildOptions(), onnx, timing))


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=texts(1), first=texts(), second=texts(), runtime=st.sampled_from(SCRIPTED), timed=st.booleans())
def test_names_are_text(
    name: str, first: str, second: str, runtime: str, timed: bool, small_artifact: Artifact
) -> None:
    def made(*names: str) -> str:
        artifact = Artifact(Path(names[0]), renamed(small_artifact.manifest, *names))
        timing = Timing(1.5, (0, 1), True, names[0]) if timed else None
        return script(runtime, artifact, Path("x") / names[0].replace("\0", ""), timing)

    text = made(name, first, second)
    assert program(text) == program(made("a", "b", "c"))
    tree = ast.parse(text)
    ports = [ast.literal_eval(node.value) for node in tree.body if is_ports(node)]
    assert ports == [(first, second)]
    parser = argparse.ArgumentParser(
        description=ast.get_docstring(tree), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    assert runtime in parser.format_help()


def is_ports(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "(INPUT, OUTPUT)"


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folder=texts(1).filter(is_plain_name), port=texts())
def test_a_polygraphy_script_holds_names_as_text(
    folder: str, port: str, small_artifact: Artifact, tmp_path: Path
) -> None:
    def made(folder: str, port: str) -> str:
        manifest = renamed(small_artifact.manifest, folder, port, port)
        sides = [Subject(Artifact(tmp_path / folder / f"{folder}.onnx", manifest), "ort-cpu") for _ in range(2)]
        polygraphy_script(*sides, 1e-3, tmp_path / "pair.py", overwrite=True)
        return (tmp_path / "pair.py").read_text("utf-8")

    assert program(made(folder, port)) == program(made("a", "b"))


@pytest.mark.parametrize("name", ["a b", "; rm -rf ~", "$(x)", "-o", "'", WORST.replace("\0", "")])
def test_a_command_to_build_again_is_one_command(name: str) -> None:
    """Options of a bundle are from a file too."""
    command = build_command(f"{name}.onnx", "native", {f"x{name}": name, "tf32": "true", "nhwc": "false"})
    assert not hidden(command) and "\n" not in command
    if not hidden(name) and "\n" not in name:
        file = f"./{name}.onnx" if name.startswith("-") else f"{name}.onnx"
        words = ["toolkit", "build", file, "--runtime", "native", f"--x{name}", name, "--tf32", "--no-nhwc"]
        assert shlex.split(command) == words

"""Options mean the same in every command; paths of the wrong kind are refused before anything heavy is imported."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from cyclopts import App
from cyclopts.argument import Argument

from toolkit.artifact import Artifact
from toolkit.cli import _COMMANDS, _function
from toolkit.cli.options import CheckpointOptions
from toolkit.cli.paths import output_directory, output_file, subject_of_kind
from toolkit.errors import ArtifactError, InputError

ROOT = Path(__file__).parents[2]
COMMANDS = [name for commands in _COMMANDS.values() for name in commands]
Command = Callable[..., subprocess.CompletedProcess[str]]


def collection(command: str) -> list[Argument]:
    app = App(name=command)
    app.default(_function(command))
    return [item for item in app.assemble_argument_collection(parse_docstring=True) if item.name != "*"]


def arguments(command: str) -> dict[str, Any]:
    """The options of a command, by name, and their types without `Annotated` and `None`."""
    return {argument.name: plain(argument.hint) for argument in collection(command)}


def plain(hint: Any) -> Any:
    inner = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) in (list, tuple):
        return list, plain(inner[0])
    return plain(inner[0]) if inner and not isinstance(inner[0], str) else hint


TYPES = {command: arguments(command) for command in COMMANDS}
DIFFERS = {
    "--precision",  # several in some commands, one of a few in others
    "--images",  # one directory where five images are enough
    "--clip",
    "--crf",  # several in `evaluate`
    "--weights",  # `upscale` can choose by the file
}


def test_an_option_has_one_type() -> None:
    """What is a path in one command is not a switch in another."""
    seen: dict[str, tuple[str, Any]] = {}
    for command, options in TYPES.items():
        for name, hint in options.items():
            if name.startswith("--") and name not in DIFFERS:
                first, known = seen.setdefault(name, (command, hint))
                assert known == hint, f"{name} is {known} in {first} and {hint} in {command}"
    assert seen["--within-budget"][1] is bool
    assert {command for command in COMMANDS if "--within-budget" in TYPES[command]} == {"evaluate", "export", "profile"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    for argument in collection(command):
        text = argument.parameter.help or ""
        assert text.partition(" [default")[0].endswith("."), f"{command} {argument.name}: {text!r}"
        assert re.match(r"[A-Z]|[\w.-]+:|report\.json", text), text  # a sentence, or the meaning of each choice


@pytest.mark.parametrize(
    ("path", "words"),
    [("a.onnx", "is a file name"), ("there.json", "it is a file"), ("page.html", "is a file name")],
)
def test_commands_that_write_several_files_take_a_directory(path: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "there.json").touch()
    with pytest.raises(InputError, match=words):
        output_directory(tmp_path / path)
    output_directory(tmp_path / "x2.v1")
    output_directory(tmp_path)


def test_commands_that_write_one_file_take_its_name(tmp_path: Path) -> None:
    check = output_file(".json")
    with pytest.raises(InputError, match="it is a directory"):
        check(Path, tmp_path)
    with pytest.raises(InputError, match=r"ends in \.json"):
        try:
            check(Path, tmp_path / "reports")
        except InputError as error:
            raise InputError(error.remedy) from error
    check(Path, tmp_path / "a.json")
    check(Path, None)
    output_file(".json", stdout=True)(Path, Path("-"))
    with pytest.raises(InputError, match="is standard output"):
        check(Path, Path("-"))


def test_one_network_is_named() -> None:
    for options, path, words in (
        (CheckpointOptions(weights="video"), Path("a.pth"), "--weights cannot be combined with a checkpoint"),
        (CheckpointOptions(preset="rt4ksr"), Path("a.pth"), "--preset cannot be combined with a checkpoint"),
        (CheckpointOptions(preset="rt4ksr", weights="clean"), None, "--preset and --weights cannot be combined"),
    ):
        with pytest.raises(InputError, match=words):
            options.check(path)
    CheckpointOptions(weights="video").check(None)
    assert not CheckpointOptions(weights="video", scale=3).reads_file


def test_a_subject_may_name_its_runtime(small_artifact: Artifact, tmp_path: Path) -> None:
    odd = tmp_path / "a@b.pth"
    odd.touch()
    check = subject_of_kind("checkpoint", "artifact", "engine")
    for text in (str(small_artifact.path), f"{small_artifact.path}@openvino", str(odd), f"{odd}@float64"):
        check(str, text)
    for text in ("missing.onnx", "missing.onnx@ort-cpu", f"{tmp_path}@ort-cpu"):
        with pytest.raises(ArtifactError):
            check(str, text)


_REFUSALS = """
import sys
sys.path.insert(0, "validation/bench")
from startup import missing_file
from toolkit.cli import _COMMANDS, main
for command in (name for commands in _COMMANDS.values() for name in commands):
    if not (arguments := missing_file(command)):
        continue
    sys.argv = ["toolkit", command, *arguments]
    try:
        main()
    except SystemExit as end:
        print(command, end.code)
print(*sys.modules)
"""


def test_missing_files_are_refused_before_heavy_imports() -> None:
    result = subprocess.run([sys.executable, "-c", _REFUSALS], cwd=ROOT, capture_output=True, text=True, check=True)
    *codes, modules = result.stdout.splitlines()
    assert {line.split()[0] for line in codes} == set(COMMANDS) - {"presets", "doctor", "demo"}
    assert {line.split()[1] for line in codes} == {"2"}, result.stderr
    heavy = {"torch", "onnx", "onnxruntime", "openvino", "numpy", "PIL", "onnx_ir", "onnxsim"}
    assert not heavy & {name.partition(".")[0] for name in modules.split()}
    assert "missing" in result.stderr


_COMPLETED = {
    "bash": ". {script}; COMP_WORDS=({words}); COMP_CWORD={last}; _toolkit; echo ${{COMPREPLY[@]}}",
    "fish": "complete -C '{words}'",
    "zsh": "zsh -n {script} && grep -e verify-fusion -e --dry-run {script}",  # completes in interactive shells only
}
"""A script for each shell that prints what it completes."""


@pytest.mark.parametrize("shell", sorted(_COMPLETED))
def test_shells_complete_commands_and_options(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"HOME": str(tmp_path), "PATH": path, "PYTHONPATH": str(ROOT)}

    def run(script: str) -> str:
        command = [shell, "-c", script]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    run("toolkit --install-completion; true")  # the shell must remain the parent of the command
    (script,) = [file for file in tmp_path.rglob("*toolkit*") if file.is_file()]
    for word in ("verify-fusion", "--codec-preset", "--within-budget"):
        assert word.removeprefix("--") in script.read_text()
    for words, expected in (("toolkit verif", "verify-fusion"), ("toolkit upscale --dry", "--dry-run")):
        template = _COMPLETED[shell]
        assert expected in run(template.format(script=script, words=words, last=words.count(" ")))

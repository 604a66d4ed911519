"""Command lines that no command takes: one error of the toolkit's own form, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from cyclopts import App
from cyclopts.argument import Argument

from toolkit.cli import _COMMANDS, _function, _run
from toolkit.cli.usage import _plain
from toolkit.errors import InputError, suggestion


def integers(command: str) -> list[Argument]:
    app = App(name=command)
    app.default(_function(command))
    arguments = app.assemble_argument_collection(parse_docstring=True)
    return [item for item in arguments if int in set(_plain(item.hint)) and item.name.startswith("--")]


INTEGERS = [(command, item.name) for group in _COMMANDS.values() for command in group for item in integers(command)]


def test_the_options_that_take_integers_are_found() -> None:
    assert {("adopt", "--scale"), ("upscale", "--jobs"), ("evaluate", "--border"), ("export", "--opset")} <= {*INTEGERS}


@pytest.mark.parametrize(("command", "option"), INTEGERS)
def test_no_integer_option_takes_a_fraction(command: str, option: str) -> None:
    for text in ("2.9", "0.5", "nan"):
        with pytest.raises(InputError, match=f"{option} {text} is not a whole number"):
            _run([command, option, text])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "x", "y"], "toolkit demo does not take x y"),
        (["export", "--opset", "many"], 'invalid value for --opset: unable to convert "many" into int'),
        (["export", "--opset"], "parameter --opset requires an argument"),
        (["report", "/dev/zero"], "/dev/zero is a device, not a file"),
        (["export", "/dev/zero"], "/dev/zero is"),
        (["demo", "-o", "out.html"], "out.html is a file name, but several files are written"),
        (["report", "--html", "./-"], "- is standard output, to which this option does not write"),
        (["profile", "--markdown", "./-"], "- is standard output, to which this option does not write"),
    ],
)
def test_usage_errors_have_one_form(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        _run(arguments)
    assert message in caught.value.args[0]
    assert "\n" not in caught.value.args[0]
    assert caught.value.remedy


def test_an_existing_file_is_not_a_directory_of_the_demonstration(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(InputError, match="there: it is a file"):
        _run(["demo", "-o", str(tmp_path / "there")])


@pytest.mark.parametrize("text", ["", "1", "0,1,2", "0..1"])
def test_a_value_range_is_quoted_in_its_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    with pytest.raises(InputError, match=f"--value-range '{text}' is not two numbers"):
        _run(["adopt", str(tmp_path / "a.onnx"), f"--value-range={text}"])


def test_many_names_are_not_all_listed() -> None:
    names = [f"net{number}.onnx" for number in range(60)]
    remedy = suggestion("nett7.onnx", names)
    assert "net7.onnx" in remedy
    assert remedy.count(".onnx") == 3
    assert suggestion("fp3", ["fp32", "fp16"]) == "Did you mean fp32? Choose from fp32, fp16."

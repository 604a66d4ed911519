"""The `toolkit` command: its commands by group, errors and exit codes.

A command's module is imported when that command runs, and imports only what its options need. Heavy libraries are
imported inside its functions, after the options were checked: a wrong path is refused within half a second.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from inspect import cleandoc  # the function only: the name of the module belongs to toolkit.cli.inspect
from typing import TYPE_CHECKING

from toolkit.errors import ToolkitError, Unavailable
from toolkit.system.shutdown import INTERRUPTED, exit_on_sigterm

if TYPE_CHECKING:
    from cyclopts import App

_COMPLETION = "--install-completion"
_COMPLETION_HELP = "Install completion of commands and options for this shell (bash, zsh, fish, PowerShell), and exit."

_EXIT_CODES = (
    "Exit codes: 0 success, 1 a check failed, 2 bad usage or input, 3 runtime or hardware not available, 4 "
    "inconclusive (the measurements are too noisy to decide)."
)

_COMMANDS = {
    "The job": {
        "demo": "Show in a minute what the toolkit does, without any file of yours.",
        "upscale": "Upscale images, videos, and directories of them.",
        "export": "Export a checkpoint as an ONNX artifact and check it.",
        "adopt": "Make an artifact from an ONNX file of any super-resolution network.",
        "verify-fusion": "Prove that the merged network and the exported graph compute the same function.",
        "profile": "Measure the speed of runtimes side by side, at 4K or any other size.",
        "report": "Show a saved profile again, or several side by side.",
        "gate": "Fail if a profile is slower than an older one, beyond the noise of both.",
    },
    "Precisions and engines": {
        "convert": "Convert an fp32 artifact to fp16, bf16 or int8.",
        "build": "Build an engine from an artifact for one runtime.",
    },
    "In other programs": {
        "web": "Write a static page that runs an artifact in the browser.",
        "triton": "Write a model repository of Triton Inference Server.",
        "vapoursynth": "Write a VapourSynth script that upscales video, for mpv and vspipe.",
    },
    "Quality": {
        "evaluate": "Measure image quality: PSNR and SSIM, compared with bicubic and fp32.",
        "rank": "Rank networks at one target size: quality, frame time, work and memory, beside bicubic.",
        "compare": "Compare two networks or runtimes on the same inputs, value by value.",
        "tune": "Find the nodes that must stay in float32 for a precision to stay within its budget.",
    },
    "Training": {
        "train": "Train a network on a directory of photographs.",
        "finetune": "Train the weights of an artifact for int8, bf16 or fp16, and write it in that precision.",
        "ablate": "Train the steps of the paper's progression and compare their cost and quality.",
        "presets": "List the networks that can be trained by name, and their cost.",
    },
    "Service": {
        "inspect": "Show the manifest of an artifact, or what an engine was built for.",
        "doctor": "Show which runtimes work on this machine, how to make others work, and defaults of options.",
    },
}


def main() -> None:
    """Run the command line; turn errors into one message and an exit code."""
    try:
        exit_on_sigterm()
        _run(_with_streams(sys.argv[1:]))
    except ToolkitError as error:
        from toolkit.cli.console import err, styled

        err.print(styled("[bold red]error:[/] {:line}", error.args[0]), soft_wrap=True)
        if error.remedy:
            err.print(styled("  {}", error.remedy), soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has exited (`toolkit inspect x | head`); Python would report that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> None:
    from cyclopts import CycloptsError

    from toolkit.cli.usage import usage_error

    try:
        _app(arguments)(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise usage_error(error) from error
    except ModuleNotFoundError as error:
        # One of those that the toolkit is installed with, as PyTorch, unless someone left it out on purpose.
        package = (error.name or "").partition(".")[0]
        if not package or package in (*sys.stdlib_module_names, "toolkit"):
            raise
        raise Unavailable(
            f"this needs the Python package {package}, which is not installed", f"Install it: pip install {package}."
        ) from error


def _with_streams(arguments: list[str]) -> list[str]:
    """Arguments in which a lone `-`, a standard stream, is the equal path `./-`: Cyclopts takes `-` for an option."""
    return ["./-" if argument == "-" else argument for argument in arguments]


def _app(arguments: list[str]) -> App:
    """The application. Cyclopts is imported here, inside `main`, so that Ctrl-C during the import prints no traceback.

    Args:
        arguments: of the command line. The first names the command that runs, or shows its docstring as help. The
            modules of the others are not imported: their summaries are enough.
    """
    from cyclopts import App, Group

    from toolkit.cli.console import plain_console
    from toolkit.cli.defaults import apply_defaults
    from toolkit.cli.usage import refuse_fractions

    app = App(
        console=plain_console(stderr=False),
        error_console=plain_console(stderr=True),
        name="toolkit",
        help="Export, prove, measure and run super-resolution networks.",
        version=_version,
        version_flags=["--version"],
        help_epilogue=_EXIT_CODES,
        help_format="plaintext",  # Markdown takes a third of the time of --help
        config=(apply_defaults, refuse_fractions),
        suppress_keyboard_interrupt=False,  # `main` handles it
    )
    for position, (title, commands) in enumerate(_COMMANDS.items()):
        group = Group(title, sort_key=position)
        for order, (name, summary) in enumerate(commands.items()):
            if arguments[:1] == [name]:
                app.command(_function(name), name=name, group=group, sort_key=order)
            else:
                app.command(_path(name), name=name, group=group, sort_key=order, help=summary)
    if not arguments or arguments[0] in ("--help", "-h"):
        # Listed by the help, which cannot call it: importing it takes a tenth of the time of `--help`.
        app.command("cyclopts.completion.install:unused", name=_COMPLETION, help=_COMPLETION_HELP)
    elif not any(arguments[0] in commands for commands in _COMMANDS.values()):
        app.register_install_completion_command(name=_COMPLETION, help=_COMPLETION_HELP)
    return app


def _path(name: str) -> str:
    """Where the function of a command is, as Cyclopts writes it."""
    module = name.replace("-", "_")
    return f"toolkit.cli.{module}:{module}"


def _function(name: str) -> Callable[..., None]:
    """The function of a command, with each paragraph of its docstring on one line: the help wraps it again."""
    module, _, attribute = _path(name).partition(":")
    function: Callable[..., None] = getattr(importlib.import_module(module), attribute)
    lines: list[str] = []
    for line in cleandoc(function.__doc__ or "").splitlines():
        before = lines[-1] if lines else ""
        same = line and before and _indent(line) == _indent(before) and not line.startswith("---")
        if same and not before.startswith("---"):
            lines[-1] = f"{before} {line.strip()}"
        else:
            lines.append(line)
    function.__doc__ = "\n".join(lines)
    return function


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _version() -> str:
    from importlib.metadata import version

    return version("rt4ksr-toolkit")

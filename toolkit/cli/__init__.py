"""The `toolkit` command. Commands are imported when they are run, heavy libraries when they are needed."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    from cyclopts import App

_INTERRUPTED = 130
_EXIT_CODES = (
    "Exit codes: 0 done, 1 a check failed, 2 bad usage or input, 3 runtime or hardware not available, 4 "
    "inconclusive (a gate that could not tell)."
)

_COMMANDS = {
    "upscale": "Upscale pictures, videos, and folders of them.",
    "export": "Make an ONNX artifact from a checkpoint: merge, trace, rewrite, simplify, check.",
    "convert": "Write an fp32 artifact as fp16, bf16 or int8.",
    "build": "Build an engine bundle from an artifact with a runtime.",
    "verify-fusion": "Prove that merged and unmerged blocks, and the exported graph, are the same function.",
    "profile": "Measure runtimes side by side at 720p→4K and 1080p→4K.",
    "report": "Show a profile again, or several of other machines or days side by side.",
    "gate": "Fail where a profile is slower than an older one, beyond the noise of both.",
    "compare": "Run two subjects on the same inputs and show how far they are apart, and where.",
    "evaluate": "Measure image quality: PSNR and SSIM against originals, bicubic, and fp32.",
    "tune": "Find the nodes that must stay in float32 for a precision to keep within its budget.",
    "train": "Train a network on a folder of photographs.",
    "ablate": "Train the steps of the paper's progression alike, and set their cost and quality side by side.",
    "presets": "Show the networks of the paper's design space, and what they cost.",
    "inspect": "Show what is known about an artifact.",
    "doctor": "Show what is installed, which runtimes work here, and what would make the others work.",
}


def main() -> None:
    """Run the command line; turn errors into one message and an exit code."""
    try:
        signal.signal(signal.SIGTERM, _end)
        _app()()
    except ToolkitError as error:
        from toolkit.cli.console import err, styled

        err.print(styled("[bold red]error:[/] {}", error.args[0]), soft_wrap=True)
        if error.remedy:
            err.print(styled("  {}", error.remedy), soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`toolkit inspect x | head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _app() -> App:
    """Imported here, inside `main`: someone who stops a command in its first moments wants no traceback either."""
    from importlib.metadata import version

    from cyclopts import App

    from toolkit.cli.console import plain_console

    app = App(
        console=plain_console(stderr=False),
        error_console=plain_console(stderr=True),
        name="toolkit",
        help="Export, prove and measure RT4KSR super-resolution networks.",
        version=lambda: version("rt4ksr-toolkit"),
        version_flags=["--version"],
        help_epilogue=_EXIT_CODES,
    )
    for name, summary in _COMMANDS.items():
        module = name.replace("-", "_")
        app.command(f"toolkit.cli.{module}:{module}", name=name, help=summary)
    return app


def _end(number: int, _frame: FrameType | None) -> None:
    """On the way out worker processes are ended and temporary files removed."""
    raise SystemExit(128 + number)

"""Adopts a file in a separate process with limits: `python -P -m toolkit.graph.adoption.isolated`, request on stdin.

A malformed graph may crash the libraries that read it, or make them hang or exhaust the memory. The process writes the
graph to the file that the request names, prints the manifest or the refusal as JSON, and its progress to stderr.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from toolkit.artifact import Manifest
from toolkit.errors import CheckFailed, InputError, ToolkitError
from toolkit.graph.adoption.stated import Stated
from toolkit.graph.reading import allowed_memory, dangerous
from toolkit.system.documents import from_json
from toolkit.system.foreign import first_line
from toolkit.system.isolated import run_isolated
from toolkit.system.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from toolkit.graph.adoption.adopting import Adopted

_SECONDS = 1800
"""Networks of some hundred convolutions with 64 channels take a minute or two."""


class Request(msgspec.Struct, frozen=True):
    """What to adopt.

    Attributes:
        path: of the ONNX file, or of a checkpoint.
        output: where the graph is written.
        name: of the artifact.
        stated: facts that are not measured.
        licence: of the weights.
        simplify: run onnxsim.
        checkpoint: it is a checkpoint, whose network spandrel builds.
        entry: of the checkpoint: which weights to take.
    """

    path: str
    output: str
    name: str
    stated: Stated
    licence: str | None
    simplify: bool
    checkpoint: bool = False
    entry: str | None = None


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Why a file is not adopted."""

    message: str
    remedy: str
    failed_check: bool


class Described(msgspec.Struct, frozen=True, tag=True):
    """The manifest of the graph that was written."""

    manifest: Manifest


class _Outcome(msgspec.Struct, frozen=True):
    found: Described | Refused


def run(request: Request, progress: ProgressCallback) -> Manifest:
    """Adopt in a separate process.

    Raises:
        InputError: the file is no super-resolution network.
        CheckFailed: a step changed the function.
        ArtifactError: reading or running it ended the process.
    """
    path = Path(request.path)
    ended = run_isolated(
        ["-m", "toolkit.graph.adoption.isolated"],
        msgspec.json.encode(request),
        seconds=_SECONDS,
        memory=allowed_memory(path.stat().st_size),
        on_line=lambda line: progress(Progress(line)),
    )
    if ended.end != "done":
        raise dangerous(path, "adopting it", ended)
    found = from_json(ended.output, _Outcome).found
    if isinstance(found, Described):
        return found.manifest
    raise (CheckFailed if found.failed_check else InputError)(found.message, found.remedy)


def _outcome(request: Request) -> Described | Refused:
    path = Path(request.path)

    def report(progress: Progress) -> None:
        print(progress.activity, file=sys.stderr, flush=True)

    try:
        made = _adopted(request, report)
    except ToolkitError as error:
        message = str(error.args[0])
        named = message if path.name in message else f"{path}: {message}"
        return Refused(named, error.remedy, isinstance(error, CheckFailed))
    except Exception as error:  # noqa: BLE001  (whatever a library raises about the file is the answer)
        return Refused(f"{path} cannot be adopted: {first_line(error)}", "Export it again.", failed_check=False)
    Path(request.output).write_bytes(made.content)
    return Described(made.manifest)


def _adopted(request: Request, report: ProgressCallback) -> Adopted:
    # These modules are only imported in the separate process, and those that take a second or more only for a file that
    # can be read.
    path = Path(request.path)
    if request.checkpoint:
        from toolkit.graph.adoption.checkpoints import adopted_checkpoint

        return adopted_checkpoint(
            path,
            request.entry,
            request.name,
            request.stated.scale,
            request.licence,
            report,
            with_simplify=request.simplify,
        )
    from toolkit.graph.adoption.reading import read_graph

    original = read_graph(path)
    from toolkit.graph.adoption.adopting import adopted

    return adopted(
        original, path, request.name, request.stated, request.licence, report, with_simplify=request.simplify
    )


if __name__ == "__main__":
    answer = _Outcome(_outcome(from_json(sys.stdin.buffer.read(), Request)))
    sys.stdout.buffer.write(msgspec.json.encode(answer))

"""`toolkit adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from toolkit.cli.attempts import Attempts
from toolkit.cli.clients import ClientChecks
from toolkit.cli.console import err, out, print_documents, progress_bar, styled, warn
from toolkit.cli.export import describe_checks, describe_findings, licence_note
from toolkit.cli.options import Json, Licence, OutputDirectory, Overwrite
from toolkit.cli.paths import of_kind
from toolkit.errors import InputError
from toolkit.kinds import DEFAULT_DIRECTORY

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.artifact import Artifact


_CLIENTS = ClientChecks()


def adopt(
    model: Annotated[Path, Parameter(validator=of_kind("graph", "artifact", "checkpoint"))],
    /,
    *,
    output: OutputDirectory = DEFAULT_DIRECTORY,
    scale: Annotated[int | None, Parameter(help="Expected scale; another one is refused. Default: measured.")] = None,
    value_range: Annotated[
        str | None,
        Parameter(
            help="Values of black and white, for example 0,1 or 0,255 or -1,1. Default: measured.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    channel_order: Annotated[
        Literal["RGB", "BGR", "Y"] | None, Parameter(help="Order of the channels. Default: measured.")
    ] = None,
    simplify: Annotated[bool, Parameter(help="Run onnxsim.")] = True,
    entry: Annotated[
        str | None, Parameter(help="Set of weights to take from a checkpoint with several, for example params_ema.")
    ] = None,
    name: Annotated[str | None, Parameter(help="Stem of the file name. Default: that of the file.")] = None,
    licence: Licence = None,
    clients: ClientChecks = _CLIENTS,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Make an artifact from any single-image super-resolution network: an ONNX file or a checkpoint.

    What the file does not say is found by experiments and shown with its evidence: scale, sizes, value range, channel
    order, whether the output is limited, receptive field. Reparameterizable parts are merged, each with a proof, and
    every step is compared with the file in float64. The file is read in a process of its own with limits. All other
    commands take the result. The network of a checkpoint is built by spandrel (extra "architectures").

    Parameters
    ----------
    model
        ONNX file, opset 11 or later, with one image as input and one as output; float32, float16 or uint8. Or a
        checkpoint of an architecture that the toolkit does not have; `toolkit export` takes all checkpoints.
    """
    from toolkit.graph.adoption.adopt import AdoptOptions
    from toolkit.graph.adoption.adopt import adopt as run

    options = AdoptOptions(scale, _value_range(value_range), channel_order, name, licence, simplify, entry)
    with progress_bar("adopt") as progress:
        artifact = run(model, options, output, progress, overwrite=overwrite)
        attempts = Attempts(done=1)  # it is written
        (artifact,) = clients.checked([artifact], progress, attempts)
    warn(artifact.manifest.notes)
    if licence is None:
        warn((licence_note(model.name),))
    if json:
        print_documents([artifact.manifest])
    console = err if json else out
    _describe(artifact, console)
    clients.describe([artifact], console, attempts)
    attempts.exit()


def _value_range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--value-range {text!r} is not two numbers", "Write for example 0,255.") from None
    return low, high


def _describe(artifact: Artifact, console: Console) -> None:
    manifest = artifact.manifest
    console.print(styled("{}, {:,} parameters", manifest.network, manifest.network.parameters))
    describe_findings(artifact, console)
    describe_checks(artifact, console)
    console.print(styled("[bold]{}[/] ({:,} bytes)", artifact.path, manifest.onnx_bytes), soft_wrap=True)

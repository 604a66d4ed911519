"""`toolkit vapoursynth`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_documents, styled
from toolkit.cli.options import Json, NetworkPath, Overwrite
from toolkit.cli.paths import STDOUT, each, existing_file, output_file
from toolkit.errors import InputError
from toolkit.kinds import kind_of
from toolkit.system.atomic import check_outputs, write_bytes


def vapoursynth(
    network: NetworkPath,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            help="Script to write (.vpy). `-`: standard output. Default: NAME.vpy.",
            alias="-o",
            validator=output_file(".vpy", stdout=True),
            allow_leading_hyphen=True,
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        Parameter(help="For artifacts: what vs-mlrt runs it with, ort-cpu, ort-cuda or openvino. Default: ort-cpu."),
    ] = None,
    plugin: Annotated[
        Path | None,
        Parameter(
            help="Library of the plugin, for example libvsrt4ksr.so. Default: VapourSynth finds it in its directory of "
            "plugins.",
            validator=each(existing_file),
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a VapourSynth script that upscales video, for mpv and vspipe.

    Artifacts are run by the plugins of vs-mlrt; engines of native by the toolkit's own plugin, those of tensorrt and
    tensorrt-rtx by vs-mlrt. See docs/clients.md for how to install them.

    Parameters
    ----------
    network
        Artifact (.onnx or .json), or engine that was built for native, tensorrt or tensorrt-rtx.
    """
    if json and output == STDOUT:
        raise InputError("--json and -o - both print on standard output", "Name a script with -o.")
    check_outputs(output if output != STDOUT else None, overwrite=overwrite)
    from toolkit.artifact import Artifact
    from toolkit.deployment.vapoursynth.script import mpv_command, script
    from toolkit.runtimes.engine import Engine

    given = Engine.read(network) if kind_of(network) == "engine" else Artifact.read(network)
    path = output or Path(f"{given.manifest.name}.vpy")
    check_outputs(path if path != STDOUT else None, overwrite=overwrite)
    text = script(given, Path("script.vpy") if path == STDOUT else path, runtime, plugin)
    if path == STDOUT:
        print(text, end="")
        return
    write_bytes(path, text.encode(), overwrite=overwrite)
    if json:
        print_documents([{"path": path, "network": given.path, "mpv": mpv_command(path)}])
    (err if json else out).print(styled("[bold]{}[/]", path))
    err.print(styled("  {}", mpv_command(path)), soft_wrap=True)

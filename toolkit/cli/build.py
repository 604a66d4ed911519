"""`toolkit build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

import toolkit
from toolkit.cli.arguments import DEFAULT_DIRECTORY, size, split
from toolkit.cli.console import out, print_documents, print_json, progress_bar, styled, table


def build(
    artifact: Path | None = None,
    /,
    *,
    runtime: str | None = None,
    shape: str | None = None,
    target: str | None = None,
    threads: int = 0,
    optimization_level: int | None = None,
    version_compatible: bool = False,
    hardware_compatible: bool = False,
    tf32: bool = False,
    cuda_graph: bool | None = None,
    nhwc: bool | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    gen: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Build an engine bundle from an artifact, list those that are there, or write the script that builds the same.

    Parameters
    ----------
    artifact
        The .onnx or .json file.
    runtime
        Which runtime builds. See `toolkit doctor`. A bundle holds machine code, which runs with your rights: load only
        bundles that you built, or from people whose programs you would run.
    shape
        Input size: WIDTHxHEIGHT, 720p, 1080p, ... Default: that of the artifact or of its 4K workload.
    target
        For tensorrt-rtx: comma-separated GPU generations, which need not be here: sm75,sm80,sm86,sm89,sm120. For
        native: x86-64-v3, x86-64-v4, x86-64-v4-vnni, x86-64-v4-bf16, scalar; default: native, the best here.
    threads
        Processor threads it is built for; 0: all usable.
    optimization_level
        TensorRT's builder optimization level, 0 to 5.
    version_compatible
        Loadable by later TensorRT versions.
    hardware_compatible
        Loadable on later GPUs than this one.
    tf32
        Allow TF32 in float32 convolutions.
    cuda_graph
        For ort-cuda and ort-tensorrt: replay each frame's kernels as one CUDA graph. Default: yes.
    nhwc
        For ort-cuda: keep channels last, as tensor cores take them. Default: yes.
    output
        Directory; default: beside the artifact.
    gen
        Build nothing, but write a Python script that does the same without the toolkit and runs one frame of noise. For
        TensorRT it uses Polygraphy. `-`: to standard output.
    list_
        List the bundles of the directory (default: exported) and whether they fit this machine.
    overwrite
        Replace a sound bundle of another artifact or with other options, or with --gen a script.
    json
        Print one JSON document.
    """
    if list_:
        _list(output, alone=gen is None and artifact is None and runtime is None, json=json)
        return
    if artifact is None or runtime is None:
        raise toolkit.InputError("name an artifact and a --runtime", "Or --list what is there.")
    options = toolkit.BuildOptions(
        shape=None if shape is None else toolkit.parse_shape(shape),
        target=tuple(split(target)),
        threads=threads,
        optimization_level=optimization_level,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        tf32=tf32,
        cuda_graph=cuda_graph,
        nhwc=nhwc,
    )
    if gen is not None:
        _write_script(artifact, runtime, options, gen, output, overwrite=overwrite, json=json)
    else:
        _build(artifact, runtime, options, output, overwrite=overwrite, json=json)


def _build(
    artifact: Path, runtime: str, options: toolkit.BuildOptions, output: Path | None, *, overwrite: bool, json: bool
) -> None:
    with progress_bar("build") as progress:
        built = toolkit.build(artifact, runtime, options, output, progress, overwrite=overwrite)
    if json:
        print_documents([built.engine.info])
    else:
        _print(built)


def _print(built: toolkit.Built) -> None:
    info = built.engine.info
    taken = sum(file.size for file in info.files.values())
    if built.fresh:
        out.print(styled("[bold]{}[/] ({:,} bytes) in {:.1f} s", built.engine.path, taken, info.build_seconds))
    else:
        out.print(styled("[bold]{}[/] is there already, and nothing has changed", built.engine.path))
    for name, value in ({"input size": size(info.shape)} | info.identity | info.machine | info.read_back).items():
        out.print(styled("  {}: {}", name, value))


def _write_script(
    artifact: Path,
    runtime: str,
    options: toolkit.BuildOptions,
    path: Path,
    output: Path | None,
    *,
    overwrite: bool,
    json: bool,
) -> None:
    toolkit.check_outputs(path, overwrite=overwrite)
    if output is not None or json:
        raise toolkit.InputError("--gen writes a script and builds nothing", "Leave out --output and --json.")
    to_stdout = path == Path("-")
    script = toolkit.build_script(artifact, runtime, options, None if to_stdout else path, overwrite=overwrite)
    if to_stdout:
        print(script, end="")
    else:
        out.print(styled("[bold]{}[/]; its --help says what it takes", path))


def _list(output: Path | None, *, alone: bool, json: bool) -> None:
    if not alone:
        raise toolkit.InputError("--list goes with --output alone, not with an artifact, --runtime or --gen")
    directory = output or DEFAULT_DIRECTORY
    # The default directory need not be there yet.
    found = toolkit.list_engines(directory) if output or directory.is_dir() else []
    if json:
        print_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    if not found:
        out.print(styled("no engines in {}", directory))
        return
    rows = table("engine", "precision", "input size", "state")
    for state in found:
        verdict = "[green]runs[/]" if state.runs else "[yellow]fits[/]" if state.fits else "[red]refused[/]"
        rows.add_row(state.name, state.precision, size(state.shape) if state.precision else "", styled(verdict))
    out.print(rows)
    for state in found:
        if not state.runs:
            does = "does not run here" if state.fits else "is refused"
            why = f"{state.reason}. {state.remedy}"
            out.print(styled("[yellow]{} {}:[/] {}", state.name, does, why), soft_wrap=True)

"""`toolkit build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.markup import escape

import toolkit
from toolkit.cli.arguments import split
from toolkit.cli.console import out, print_documents, steps, table


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
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Build an engine bundle from an artifact, or list those that are there.

    Parameters
    ----------
    artifact
        The .onnx or .json file.
    runtime
        Which runtime builds. See `toolkit doctor`.
    shape
        Input size: HxW, 720p, 1080p, ... Default: that of the artifact or of its 4K workload.
    target
        For tensorrt-rtx: comma-separated GPU generations, which need not be here: sm75,sm80,sm86,sm89,sm120.
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
    output
        Directory; default: beside the artifact.
    list_
        List the bundles of the directory (default: exported) and whether they fit this machine.
    json
        Print one JSON document.
    """
    if list_:
        _list(output or Path("exported"), json=json)
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
    )
    with steps("build") as report:
        built = toolkit.build(artifact, runtime, options, output, report)
    info = built.engine.info
    if json:
        print_documents([info])
        return
    size = sum(file.size for file in info.files.values())
    if built.fresh:
        out.print(f"[bold]{escape(str(built.engine.path))}[/] ({size:,} bytes) in {info.build_seconds:.1f} s")
    else:
        out.print(f"[bold]{escape(str(built.engine.path))}[/] is there already, and nothing has changed")
    for name, value in (info.identity | info.read_back | {"shape": info.shape}).items():
        out.print(f"  {name}: {value}", markup=False)


def _list(directory: Path, *, json: bool) -> None:
    found = toolkit.list_engines(directory)
    if json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    rows = table("engine", "precision", "shape", "state")
    for state in found:
        verdict = "[green]fits[/]" if state.fits else f"[red]no[/]: {escape(state.reason)}"
        rows.add_row(escape(state.name), state.precision, state.shape, verdict)
    out.print(rows if found else f"no engines in {directory}")

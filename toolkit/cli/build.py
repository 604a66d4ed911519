"""`toolkit build`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from toolkit.cli.console import out, print_documents, progress_bar, styled, table
from toolkit.cli.options import ArtifactPath, BesideArtifact, Json, Overwrite, Script, Threads, flag
from toolkit.cli.paths import STDOUT
from toolkit.cli.values import size, split
from toolkit.errors import InputError
from toolkit.kinds import DEFAULT_DIRECTORY
from toolkit.system.atomic import check_outputs
from toolkit.workloads import parse_shape

if TYPE_CHECKING:
    from toolkit.runtimes.building import Built
    from toolkit.runtimes.options import BuildOptions

_ENGINE = Group("Engine", sort_key=1)


@Parameter(name="*", group=_ENGINE)
@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What the engine is built for."""

    shape: Annotated[
        str | None,
        Parameter(
            help="Input size: WIDTHxHEIGHT, 720p, 1080p, ... Default: the size of the artifact, or of its 4K workload."
        ),
    ] = None
    target: Annotated[
        str | None,
        Parameter(
            help="Comma-separated. For tensorrt-rtx: GPU generations, which need not be present: "
            "sm75,sm80,sm86,sm89,sm120. For native: x86-64-v3, x86-64-v4, x86-64-v4-vnni, x86-64-v4-bf16, x86-64-amx, "
            "aarch64, scalar; of several, the fastest that a CPU supports runs there. Default: this machine."
        ),
    ] = None
    threads: Threads = 0
    optimization_level: Annotated[
        int | None, Parameter(help="For TensorRT: builder optimization level, 0 to 5. Default: TensorRT's.")
    ] = None
    version_compatible: Annotated[bool, flag("For TensorRT: allow loading by later TensorRT versions.")] = False
    hardware_compatible: Annotated[bool, flag("For TensorRT: allow loading on later GPUs.")] = False
    tf32: Annotated[bool, flag("Allow TF32 in float32 convolutions on NVIDIA GPUs.")] = False
    cuda_graph: Annotated[
        bool | None,
        Parameter(help="For ort-cuda and ort-tensorrt: replay each frame's kernels as one CUDA graph. Default: yes."),
    ] = None
    nhwc: Annotated[
        bool | None, Parameter(help="For ort-cuda: use the channels-last layout of tensor cores. Default: yes.")
    ] = None

    def build_options(self) -> BuildOptions:
        """The same, for the API."""
        from toolkit.runtimes.options import BuildOptions

        if self.target is not None and not split(self.target):
            raise InputError("--target names no target", "Leave it out to build for this machine.")
        return BuildOptions(
            shape=None if self.shape is None else parse_shape(self.shape),
            target=tuple(split(self.target)),
            threads=self.threads,
            optimization_level=self.optimization_level,
            version_compatible=self.version_compatible,
            hardware_compatible=self.hardware_compatible,
            tf32=self.tf32,
            cuda_graph=self.cuda_graph,
            nhwc=self.nhwc,
        )


_DEFAULTS = EngineOptions()


def build(
    artifact: ArtifactPath | None = None,
    /,
    *,
    runtime: str | None = None,
    engine: EngineOptions = _DEFAULTS,
    output: BesideArtifact = None,
    gen: Script = None,
    list_: Annotated[bool, Parameter(name="--list"), flag("List engines and whether they run here.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Build an engine from an artifact for one runtime, list engines, or write a script that builds the same engine.

    An engine is a directory, NAME.RUNTIME.engine, that holds machine code. Load only engines that you built or that
    come from people whose programs you would run. An existing engine is replaced only if the same artifact is built
    again with the same options, or with --overwrite.

    Parameters
    ----------
    artifact
        ONNX artifact (.onnx or .json).
    runtime
        Runtime that the engine is for. See `toolkit doctor`.
    """
    if list_:
        _list(output, alone=gen is None and artifact is None and runtime is None, json=json)
    elif artifact is None or runtime is None:
        raise InputError("an artifact and --runtime are required", "Or list existing engines with --list.")
    elif gen is not None:
        if output is not None or json:
            raise InputError("--gen only writes a script", "Leave out --output and --json.")
        _write_script(artifact, runtime, engine, gen, overwrite=overwrite)
    else:
        _build(artifact, runtime, engine, output, overwrite=overwrite, json=json)


def _build(
    artifact: Path, runtime: str, engine: EngineOptions, output: Path | None, *, overwrite: bool, json: bool
) -> None:
    from toolkit.runtimes.registry import build as run

    with progress_bar("build") as progress:
        built = run(artifact, runtime, engine.build_options(), output, progress, overwrite=overwrite)
    if json:
        print_documents([built.engine.info])
    else:
        _print(built)


def _print(built: Built) -> None:
    info = built.engine.info
    total = sum(file.size for file in info.files.values())
    if built.fresh:
        out.print(styled("[bold]{}[/] ({:,} bytes) in {:.1f} s", built.engine.path, total, info.build_seconds))
    else:
        out.print(styled("[bold]{}[/] exists already and nothing has changed", built.engine.path))
    for name, value in ({"input size": size(info.shape)} | info.identity | info.machine | info.read_back).items():
        out.print(styled("  {}: {}", name, value))


def _write_script(artifact: Path, runtime: str, engine: EngineOptions, path: Path, *, overwrite: bool) -> None:
    check_outputs(path, overwrite=overwrite)
    from toolkit.runtimes.registry import build_script

    to_stdout = path == STDOUT
    options = engine.build_options()
    script = build_script(artifact, runtime, options, None if to_stdout else path, overwrite=overwrite)
    if to_stdout:
        print(script, end="")
    else:
        out.print(styled("[bold]{}[/]; --help lists its options", path))


def _list(output: Path | None, *, alone: bool, json: bool) -> None:
    if not alone:
        raise InputError("--list takes --output and --json only: no artifact, no --gen, no option of a build")
    from toolkit.runtimes.registry import list_engines

    directory = output or DEFAULT_DIRECTORY
    # The default directory may not exist yet.
    found = list_engines(directory) if output or directory.is_dir() else []
    if json:
        print_documents([found])
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
            problem = "does not run here" if state.fits else "is refused"
            reason = f"{state.reason}. {state.remedy}"
            out.print(styled("[yellow]{} {}:[/] {}", state.name, problem, reason), soft_wrap=True)
